// Activations without parameters of a channel, by the number that `activation_code` in `implicit.rs` gives them.
#pragma once

__device__ static float activated(float x, unsigned activation, float slope) {
    switch (activation) {
        case 1: return x > 0.0f ? x : slope * x;
        case 2: return 0.5f * x * (1.0f + tanhf(0.7978846f * (x + 0.044715f * x * x * x)));
        case 3: return 0.5f * x * (1.0f + erff(x * 0.70710678f));
        case 4: return x / (1.0f + expf(-x));
        case 5: {
            // Beyond 20 the tangent is 1 in f32, and the exponential would be infinite.
            float e = expf(fminf(x, 20.0f)), square = e * e + 2.0f * e;
            return x * (square / (square + 2.0f));
        }
        case 6: return x > 0.0f ? x : expf(x) - 1.0f;
        case 7: return tanhf(x);
        case 8: return 1.0f / (1.0f + expf(-x));
        default: return x;
    }
}

// What surrounds convolutions and would be two to ten of candle's ops, in one launch each: activations, means, upsampling.
//
// Everything is f32 but for products that tensor cores gave. The tests of `implicit.rs` compile this file for the host as well and run it there.
#include "activation.cuh"
#include "numbers.cuh"

#define POINT_THREADS 256

// Whether a column belongs to a sequence; without lengths each does.
__device__ static bool is_anybodys(unsigned column, const unsigned* lens, unsigned pitch) {
    return !lens || column % pitch < lens[column / pitch];
}

// An activation of `x`, (channels, columns), `count` numbers: x + sin(alpha x)^2 / alpha with an alpha for each channel, or, without
// alphas, the one of that number. Columns that are nobody's come out as zeros.
extern "C" __global__ void __launch_bounds__(POINT_THREADS)
    activate(const float* x, const float* alphas, const unsigned* lens, float* out, unsigned count, unsigned columns,
             unsigned pitch, unsigned activation, float slope) {
    unsigned place = blockIdx.x * POINT_THREADS + threadIdx.x;
    if (place >= count) return;
    float y = 0.0f;
    if (is_anybodys(place % columns, lens, pitch)) {
        y = x[place];
        if (alphas) {
            float alpha = alphas[place / columns], wave = sinf(alpha * y);
            y += wave * wave / alpha;
        } else {
            y = activated(y, activation, slope);
        }
    }
    out[place] = y;
}

template <typename Number, typename Out>
__device__ static void finish(const Number* x, const float* bias, const float* other, Out* out, unsigned count,
                              unsigned columns, unsigned activation, float slope) {
    unsigned place = blockIdx.x * POINT_THREADS + threadIdx.x;
    if (place >= count) return;
    float y = single(x[place]);
    if (bias) y += bias[place % columns];
    y = activated(y, activation, slope);
    put(out + place, other ? y + other[place] : y);
}

// What follows a product of rows: `x` (rows, columns) plus a bias for each column, then the activation, then plus `other`.
extern "C" __global__ void __launch_bounds__(POINT_THREADS)
    finish_rows(const float* x, const float* bias, const float* other, float* out, unsigned count, unsigned columns,
                unsigned activation, float slope) {
    finish(x, bias, other, out, count, columns, activation, slope);
}

extern "C" __global__ void __launch_bounds__(POINT_THREADS)
    finish_half_rows(const half* x, const float* bias, const float* other, float* out, unsigned count, unsigned columns,
                     unsigned activation, float slope) {
    finish(x, bias, other, out, count, columns, activation, slope);
}

// And what is multiplied next stays half.
extern "C" __global__ void __launch_bounds__(POINT_THREADS)
    finish_half_rows_to_half(const half* x, const float* bias, const float* other, half* out, unsigned count, unsigned columns,
                             unsigned activation, float slope) {
    finish(x, bias, other, out, count, columns, activation, slope);
}

// `x` (rows, columns) with zeros in the rows that are nobody's.
extern "C" __global__ void __launch_bounds__(POINT_THREADS)
    clear_rows(const float* x, const unsigned* lens, float* out, unsigned count, unsigned columns, unsigned pitch) {
    unsigned place = blockIdx.x * POINT_THREADS + threadIdx.x;
    if (place < count) out[place] = is_anybodys(place / columns, lens, pitch) ? x[place] : 0.0f;
}

// The mean of three tensors.
extern "C" __global__ void __launch_bounds__(POINT_THREADS)
    mean_of_three(const float* a, const float* b, const float* c, float* out, unsigned count, float scale) {
    unsigned place = blockIdx.x * POINT_THREADS + threadIdx.x;
    if (place < count) out[place] = (a[place] + b[place] + c[place]) * scale;
}

// Each `wide` numbers twice: one for the columns of (channels, columns), a row's for the rows of a matrix. `count` is the output's.
extern "C" __global__ void __launch_bounds__(POINT_THREADS)
    repeat_twice(const float* x, float* out, unsigned count, unsigned wide) {
    unsigned place = blockIdx.x * POINT_THREADS + threadIdx.x;
    if (place < count) out[place] = x[place / wide / 2 * wide + place % wide];
}

// The depthwise transposed convolution of kernel 3 and stride 2 that doubles the columns of (channels, columns); `weight` is
// (channels, 3). Columns of the output that are nobody's come out as zeros; `count`, `lens` and `pitch` are the output's.
extern "C" __global__ void __launch_bounds__(POINT_THREADS)
    depthwise_upsample(const float* x, const float* weight, const float* bias, const unsigned* lens, float* out,
                       unsigned count, unsigned columns, unsigned pitch) {
    unsigned place = blockIdx.x * POINT_THREADS + threadIdx.x;
    if (place >= count) return;
    unsigned channel = place / (2 * columns), column = place % (2 * columns), at = column / 2;
    const float *row = x + (size_t)channel * columns, *taps = weight + 3 * channel;
    float y = 0.0f;
    if (is_anybodys(column, lens, pitch)) {
        y = bias[channel];
        if (column % 2 == 0) {
            y += taps[1] * row[at];
        } else {
            y += taps[2] * row[at] + (at + 1 < columns ? taps[0] * row[at + 1] : 0.0f);
        }
    }
    out[place] = y;
}

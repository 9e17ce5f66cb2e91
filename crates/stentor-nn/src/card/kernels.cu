// What costs a card most when it is composed of candle's ops: dozens of launches for a norm, ten for each step of an LSTM.
//
// Everything is f32, but for what is only multiplied next. `tests/kernels.rs` compiles this file for the host as well and runs it there.
#include "activation.cuh"
#include "numbers.cuh"

// Threads of a block that normalises a row, a multiple of 32: as many as a block may have, since a row is long and what waits for
// memory must be much at once.
#define ROW_THREADS 1024
// The widest hidden state whose four gates fit a block.
#define MOST_HIDDEN 256

// Threads of a block that normalises a row of one moment's channels, of which there are few.
#define LAYER_THREADS 256

// The sum of every thread's `x`, for all of a block's threads, in the same order always. `shared` has room for 32 more.
template <unsigned THREADS>
__device__ static float sum_of_block(float x, float* shared) {
    unsigned thread = threadIdx.x;
    shared[thread] = x;
    __syncthreads();
    float* parts = shared + THREADS;
    if (thread < 32) {
        float part = 0.0f;
        for (unsigned i = thread; i < THREADS; i += 32) part += shared[i];
        parts[thread] = part;
    }
    __syncthreads();
    float sum = 0.0f;
    for (unsigned i = 0; i < 32; i++) sum += parts[i];
    return sum;
}

// Instance norm over each sequence of a row of `x`, (channels, sequences * pitch), then gain and shift, then the activation:
// x + sin(alpha x)^2 / alpha with an alpha for each channel, or, where there are none, x for x > 0 and slope * x else. Gain and shift
// are a linear map of the sequence's style: `weight` is (2 * channels, style), first what the gain is beyond one. Behind a
// sequence's end come zeros. One block of ROW_THREADS for each channel and sequence.
extern "C" __global__ void __launch_bounds__(ROW_THREADS, 1)
    styled_norm(const float* x, const float* styles, const float* weight, const float* bias, const float* alphas,
                const unsigned* lens, float* out, unsigned pitch, unsigned style, float slope, float eps) {
    __shared__ float shared[ROW_THREADS + 32];
    unsigned channel = blockIdx.x, sequence = blockIdx.y, channels = gridDim.x, sequences = gridDim.y;
    unsigned len = lens[sequence], thread = threadIdx.x;
    size_t start = ((size_t)channel * sequences + sequence) * pitch;
    x += start;
    out += start;

    float gain = 0.0f, shift = 0.0f;
    for (unsigned i = thread; i < style; i += ROW_THREADS) {
        gain += styles[sequence * style + i] * weight[(size_t)channel * style + i];
        shift += styles[sequence * style + i] * weight[(size_t)(channels + channel) * style + i];
    }
    gain = 1.0f + (sum_of_block<ROW_THREADS>(gain, shared) + bias[channel]);
    shift = sum_of_block<ROW_THREADS>(shift, shared) + bias[channels + channel];

    float sum = 0.0f;
    for (unsigned i = thread; i < len; i += ROW_THREADS) sum += x[i];
    float mean = sum_of_block<ROW_THREADS>(sum, shared) / (float)len;
    // In two passes: a mean far from zero would leave nothing of E[x^2] - E[x]^2.
    sum = 0.0f;
    for (unsigned i = thread; i < len; i += ROW_THREADS) sum += (x[i] - mean) * (x[i] - mean);
    float variance = sum_of_block<ROW_THREADS>(sum, shared) / (float)len;

    float scale = gain / sqrtf(variance + eps);
    float alpha = alphas ? alphas[channel] : 0.0f;
    for (unsigned i = thread; i < pitch; i += ROW_THREADS) {
        float y = 0.0f;
        if (i < len) {
            y = (x[i] - mean) * scale + shift;
            if (alphas) {
                float wave = sinf(alpha * y);
                y += wave * wave / alpha;
            } else if (y < 0.0f) {
                y *= slope;
            }
        }
        out[i] = y;
    }
}

// Of a layer norm: what each column is multiplied by and what is added; what is added behind the activation, or null; the lengths of
// sequences that begin `pitch` rows apart, or null, if all rows are somebody's.
struct Layer {
    const float *gain, *shift, *offset;
    const unsigned* lens;
    unsigned columns, pitch, activation;
    float slope, eps;
};

template <typename Out>
__device__ static void normalize(const float* x, Out* out, const Layer& layer) {
    __shared__ float shared[LAYER_THREADS + 32];
    unsigned thread = threadIdx.x, columns = layer.columns, row = blockIdx.x;
    x += (size_t)row * columns;
    out += (size_t)row * columns;
    if (layer.lens && row % layer.pitch >= layer.lens[row / layer.pitch]) {
        for (unsigned i = thread; i < columns; i += LAYER_THREADS) put(out + i, 0.0f);
        return;
    }
    float sum = 0.0f;
    for (unsigned i = thread; i < columns; i += LAYER_THREADS) sum += x[i];
    float mean = sum_of_block<LAYER_THREADS>(sum, shared) / (float)columns;
    sum = 0.0f;
    for (unsigned i = thread; i < columns; i += LAYER_THREADS) sum += (x[i] - mean) * (x[i] - mean);
    float scale = 1.0f / sqrtf(sum_of_block<LAYER_THREADS>(sum, shared) / (float)columns + layer.eps);
    for (unsigned i = thread; i < columns; i += LAYER_THREADS) {
        float y = activated((x[i] - mean) * scale * layer.gain[i] + layer.shift[i], layer.activation, layer.slope);
        put(out + i, layer.offset ? y + layer.offset[i] : y);
    }
}

// Layer norm of each row of `x`, (rows, columns), then the activation, then plus `offset`; rows that are nobody's come out as zeros. One
// block of LAYER_THREADS for each row.
extern "C" __global__ void __launch_bounds__(LAYER_THREADS)
    layer_norm(const float* x, const float* gain, const float* shift, const float* offset, const unsigned* lens, float* out,
               unsigned columns, unsigned pitch, unsigned activation, float slope, float eps) {
    normalize(x, out, {gain, shift, offset, lens, columns, pitch, activation, slope, eps});
}

// And what is multiplied next is half.
extern "C" __global__ void __launch_bounds__(LAYER_THREADS)
    layer_norm_to_half(const float* x, const float* gain, const float* shift, const float* offset, const unsigned* lens, half* out,
                       unsigned columns, unsigned pitch, unsigned activation, float slope, float eps) {
    normalize(x, out, {gain, shift, offset, lens, columns, pitch, activation, slope, eps});
}

// Layer norm of each row of `product` plus a bias for each column (or null) plus `other`, all (rows, columns). Both the sum and its norm are wanted.
template <typename Number>
__device__ static void add_and_normalize(const Number* product, const float* bias, const float* other, float* sum, Number* out,
                                         const Layer& layer) {
    size_t row = (size_t)blockIdx.x * layer.columns;
    for (unsigned i = threadIdx.x; i < layer.columns; i += LAYER_THREADS) {
        float x = single(product[row + i]);
        if (bias) x += bias[i];
        sum[row + i] = x + other[row + i];
    }
    // A thread reads there what it wrote itself.
    normalize(sum, out, layer);
}

extern "C" __global__ void __launch_bounds__(LAYER_THREADS)
    add_layer_norm(const float* product, const float* bias, const float* other, const float* gain, const float* shift, float* sum,
                   float* out, unsigned columns, float eps) {
    add_and_normalize(product, bias, other, sum, out, {gain, shift, nullptr, nullptr, columns, 1, 0, 0.0f, eps});
}

extern "C" __global__ void __launch_bounds__(LAYER_THREADS)
    add_layer_norm_halves(const half* product, const float* bias, const float* other, const float* gain, const float* shift, float* sum,
                          half* out, unsigned columns, float eps) {
    add_and_normalize(product, bias, other, sum, out, {gain, shift, nullptr, nullptr, columns, 1, 0, 0.0f, eps});
}

__device__ static float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// All steps of a bidirectional LSTM. `gates` are the input's part, (rows, 2 directions, 4 gates, hidden) in torch's order, with both
// biases; `recurrent` is (2 directions, hidden from, 4 gates, hidden to); a sequence has `lens` rows from `starts` on. `out` is
// (rows, 2 directions, hidden). One block of 4 * hidden threads for each direction and sequence; hidden is MOST_HIDDEN at most.
extern "C" __global__ void __launch_bounds__(4 * MOST_HIDDEN) bidirectional_lstm(const float* gates, const float* recurrent, const unsigned* starts,
                                              const unsigned* lens, float* out, unsigned hidden) {
    __shared__ float state[MOST_HIDDEN];
    __shared__ float sums[4 * MOST_HIDDEN];
    unsigned direction = blockIdx.x, sequence = blockIdx.y, gate = threadIdx.x, len = lens[sequence];
    recurrent += (size_t)direction * hidden * 4 * hidden;
    float cell = 0.0f;
    if (gate < hidden) state[gate] = 0.0f;
    __syncthreads();
    for (unsigned step = 0; step < len; step++) {
        size_t row = starts[sequence] + (direction ? len - 1 - step : step);
        float sum = gates[(row * 2 + direction) * 4 * hidden + gate];
        for (unsigned from = 0; from < hidden; from++) sum += state[from] * recurrent[from * 4 * hidden + gate];
        sums[gate] = sum;
        __syncthreads();
        if (gate < hidden) {
            float kept = sigmoid(sums[hidden + gate]) * cell;
            cell = sigmoid(sums[gate]) * tanhf(sums[2 * hidden + gate]) + kept;
            float next = sigmoid(sums[3 * hidden + gate]) * tanhf(cell);
            state[gate] = next;
            out[(row * 2 + direction) * hidden + gate] = next;
        }
        __syncthreads();
    }
}

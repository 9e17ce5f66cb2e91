// Convolutions as matrix products whose right operand is never written out: a tile of the output gathers what it sees of the
// input into shared memory, multiplies, and adds bias and residual on the way to memory. One launch for each layer.
//
// Everything in memory is f32 but the weights of the half precision kernels, which also round the input while they gather it and
// sum in f32. The tests of `implicit.rs` compile this file for the host as well and run it there.
#ifdef __CUDACC__
#include <cuda_fp16.h>
#include <mma.h>
#endif

// Of a layer; `Geometry` in `implicit.rs`, field by field.
struct Geometry {
    // Channels of the input, and its columns.
    unsigned input, len;
    // Rows and columns of the product: sums of `input * kernel` products.
    unsigned rows, columns;
    // Numbers of the weight, (kernel, input, pitch), for one channel of the input at one tap; a multiple of eight.
    unsigned weight_pitch;
    unsigned kernel;
    // Column n of the product sees column n * stride + tap * dilation - padding of the input.
    int stride, dilation, padding;
    // Each column of the product holds `spread` columns of the output, one behind the other: row r is channel r / spread, and its
    // place is n * spread + r % spread - cut. A convolution has one, a transposed convolution as many as its stride.
    unsigned spread, cut;
    // Columns of the output.
    unsigned total;
    // Sums below zero are multiplied by it.
    float slope;
    // Blocks that share the sums of a tile; with more than one, `conv_finish` puts them together.
    unsigned splits;
};

// Where a layer reads and writes; what may be missing is null.
struct Ends {
    const float *x, *bias, *residual;
    float *out, *partial;
};

// Puts a sum where it belongs. The output is (channels, total), or (total, channels) if it is made of rows.
template <bool ROWS>
__device__ static void put(const Geometry& g, const Ends& ends, unsigned row, unsigned column, float sum) {
    unsigned channel = row, at = column, channels = g.rows;
    if (g.spread > 1) {
        channel = row / g.spread;
        channels = g.rows / g.spread;
        // Before the first column it wraps to a number far behind the last.
        at = column * g.spread + row % g.spread - g.cut;
    }
    if (row >= g.rows || at >= g.total) return;
    size_t place = ROWS ? (size_t)at * channels + channel : (size_t)channel * g.total + at;
    if (ends.bias) sum += ends.bias[channel];
    if (sum < 0.0f) sum *= g.slope;
    ends.out[place] = ends.residual ? sum + ends.residual[place] : sum;
}

// Puts a sum where it belongs, or, if it is one of several for that place, aside.
template <bool ROWS>
__device__ static void put_or_keep(const Geometry& g, const Ends& ends, unsigned row, unsigned column, float sum) {
    if (g.splits == 1) {
        put<ROWS>(g, ends, row, column, sum);
    } else if (row < g.rows && column < g.columns) {
        size_t place = ROWS ? (size_t)column * g.rows + row : (size_t)row * g.columns + column;
        ends.partial[(size_t)blockIdx.z * g.rows * g.columns + place] = sum;
    }
}

// The input at a channel and a column that may lie outside.
template <bool ROWS>
__device__ static float seen(const Geometry& g, const float* x, unsigned channel, int column) {
    if (channel >= g.input || (unsigned)column >= g.len) return 0.0f;
    return x[ROWS ? (size_t)column * g.input + channel : (size_t)channel * g.len + column];
}

// The part of `count` steps that block z of a tile has.
__device__ static unsigned share(unsigned count, unsigned splits, unsigned index) {
    return (unsigned)((unsigned long long)count * index / splits);
}

// Channels of the input that are multiplied between two barriers.
#define SINGLE_DEPTH 8

// Of four numbers each, TM / 4 groups of rows and TN / 4 of columns are a thread's; groups are so far apart that a warp reads its
// operands without conflicts.
template <unsigned BM, unsigned BN, unsigned TM, unsigned TN, bool ROWS>
__device__ static void convolve_single(const Geometry& g, const Ends& ends, const float* weight) {
    constexpr unsigned THREADS = BM / TM * (BN / TN), WIDE = ROWS ? BN + 4 : BN;
    constexpr unsigned WEIGHTS = (SINGLE_DEPTH * BM / 4 + THREADS - 1) / THREADS, INPUTS = SINGLE_DEPTH * BN / THREADS;
    __shared__ __align__(16) float weights[2][SINGLE_DEPTH][BM];
    __shared__ __align__(16) float inputs[2][SINGLE_DEPTH][WIDE];
    unsigned thread = threadIdx.x, row0 = blockIdx.y * BM, column0 = blockIdx.x * BN;
    // Neighbouring threads write what lies side by side.
    unsigned mine_m = ROWS ? thread % (BM / TM) : thread / (BN / TN), mine_n = ROWS ? thread / (BM / TM) : thread % (BN / TN);
    float sums[TM][TN];
    for (unsigned i = 0; i < TM; i++)
        for (unsigned j = 0; j < TN; j++) sums[i][j] = 0.0f;

    // A step is a tap of a few channels; taps go first, as they see almost the same columns, which are in cache then.
    unsigned steps = (g.input + SINGLE_DEPTH - 1) / SINGLE_DEPTH * g.kernel;
    unsigned first = share(steps, g.splits, blockIdx.z), last = share(steps, g.splits, blockIdx.z + 1);
    float4 next_weights[WEIGHTS];
    float next_inputs[INPUTS];
    auto fetch = [&](unsigned step) {
        unsigned tap = step % g.kernel, channel0 = step / g.kernel * SINGLE_DEPTH;
        const float* part = weight + ((size_t)tap * g.input + channel0) * g.weight_pitch + row0;
#pragma unroll
        for (unsigned i = 0; i < WEIGHTS; i++) {
            unsigned item = thread + i * THREADS, k = item / (BM / 4), m = item % (BM / 4) * 4;
            bool inside = k < SINGLE_DEPTH && channel0 + k < g.input && row0 + m < g.weight_pitch;
            next_weights[i] = inside ? *(const float4*)(part + (size_t)k * g.weight_pitch + m) : float4{0, 0, 0, 0};
        }
        int shift = (int)tap * g.dilation - g.padding;
#pragma unroll
        for (unsigned i = 0; i < INPUTS; i++) {
            unsigned item = thread + i * THREADS;
            unsigned k = ROWS ? item % SINGLE_DEPTH : item / BN, n = ROWS ? item / SINGLE_DEPTH : item % BN;
            next_inputs[i] = seen<ROWS>(g, ends.x, channel0 + k, (int)(column0 + n) * g.stride + shift);
        }
    };
    auto keep = [&](unsigned buffer) {
#pragma unroll
        for (unsigned i = 0; i < WEIGHTS; i++) {
            unsigned item = thread + i * THREADS, k = item / (BM / 4), m = item % (BM / 4) * 4;
            if (k < SINGLE_DEPTH) *(float4*)&weights[buffer][k][m] = next_weights[i];
        }
#pragma unroll
        for (unsigned i = 0; i < INPUTS; i++) {
            unsigned item = thread + i * THREADS;
            unsigned k = ROWS ? item % SINGLE_DEPTH : item / BN, n = ROWS ? item / SINGLE_DEPTH : item % BN;
            inputs[buffer][k][n] = next_inputs[i];
        }
    };
    if (first < last) {
        fetch(first);
        keep(0);
    }
    __syncthreads();
    for (unsigned step = first; step < last; step++) {
        unsigned buffer = (step - first) % 2;
        if (step + 1 < last) fetch(step + 1);
#pragma unroll
        for (unsigned k = 0; k < SINGLE_DEPTH; k++) {
            __align__(16) float left[TM];
            __align__(16) float right[TN];
#pragma unroll
            for (unsigned i = 0; i < TM; i += 4)
                *(float4*)&left[i] = *(const float4*)&weights[buffer][k][i * (BM / TM) + mine_m * 4];
#pragma unroll
            for (unsigned j = 0; j < TN; j += 4)
                *(float4*)&right[j] = *(const float4*)&inputs[buffer][k][j * (BN / TN) + mine_n * 4];
#pragma unroll
            for (unsigned i = 0; i < TM; i++)
#pragma unroll
                for (unsigned j = 0; j < TN; j++) sums[i][j] += left[i] * right[j];
        }
        // The other buffer was read before the last barrier.
        if (step + 1 < last) keep(1 - buffer);
        __syncthreads();
    }
    // Through shared memory, a part of each thread's sums after the other, they go to threads that write what lies side by side.
    constexpr unsigned ACROSS = ROWS ? BM : BN, DOWN = ROWS ? BN / TN : BM / TM, HELD = ROWS ? TM : TN;
    static_assert(DOWN * ACROSS * sizeof(float) <= sizeof(inputs), "the part fits");
    float* part = &inputs[0][0][0];
#pragma unroll
    for (unsigned turn = 0; turn < (ROWS ? TN : TM); turn++) {
        if (turn > 0) __syncthreads();
#pragma unroll
        for (unsigned i = 0; i < HELD; i++) {
            unsigned across = i / 4 * 4 * (ACROSS / HELD) + (ROWS ? mine_m : mine_n) * 4 + i % 4;
            part[(ROWS ? mine_n : mine_m) * ACROSS + across] = ROWS ? sums[i][turn] : sums[turn][i];
        }
        __syncthreads();
#pragma unroll 1
        for (unsigned item = thread; item < DOWN * ACROSS; item += THREADS) {
            unsigned down = turn / 4 * 4 * DOWN + item / ACROSS * 4 + turn % 4, across = item % ACROSS;
            put_or_keep<ROWS>(g, ends, row0 + (ROWS ? across : down), column0 + (ROWS ? down : across), part[item]);
        }
    }
}

// Channels of the input that are multiplied between two barriers, and columns that taps of one gathering see beyond a tile, at most.
#define HALF_DEPTH 32
#define HALF_REACH 64
// A matrix of the tensor cores has so many rows and columns.
#define SIDE 16
// Numbers from one column of the gathered input to the next: a multiple of 32 bytes, and not one of 128.
#define COLUMN_PITCH (HALF_DEPTH + 16)

// The columns that a tile sees are gathered once for all taps, if they are few enough: (column, channel), so that every tap's part
// begins at a multiple of 32 bytes, as tensor cores want it. A warp has 32 rows and BN / 2 columns.
template <unsigned BM, unsigned BN, bool ROWS>
__device__ static void convolve_half(const Geometry& g, const Ends& ends, const half* weight) {
    using namespace nvcuda::wmma;
    constexpr unsigned WARPS = BM / 32 * 2, THREADS = WARPS * 32, PITCH = BM + 8, TILES = BN / 2 / SIDE, LANES = THREADS / 4;
    constexpr unsigned WEIGHTS = HALF_DEPTH * BM / 8 / THREADS;
    __shared__ __align__(32) half weights[2][HALF_DEPTH][PITCH];
    __shared__ __align__(32) half inputs[BN + HALF_REACH][COLUMN_PITCH];
    unsigned thread = threadIdx.x, row0 = blockIdx.y * BM, column0 = blockIdx.x * BN;
    unsigned warp = thread / 32, warp_m = warp / 2 * 32, warp_n = warp % 2 * (BN / 2);
    fragment<accumulator, SIDE, SIDE, SIDE, float> sums[2][TILES];
#pragma unroll
    for (unsigned i = 0; i < 2; i++)
#pragma unroll
        for (unsigned j = 0; j < TILES; j++) fill_fragment(sums[i][j], 0.0f);

    int reach = (int)(g.kernel - 1) * g.dilation, before = reach < 0 ? -reach : 0;
    bool at_once = g.stride == 1 && reach + 2 * before <= HALF_REACH;
    unsigned taps = at_once ? g.kernel : 1, seen_columns = at_once ? BN + reach + 2 * before : BN;
    unsigned gatherings = (g.input + HALF_DEPTH - 1) / HALF_DEPTH * (g.kernel / taps);
    unsigned first = share(gatherings, g.splits, blockIdx.z), last = share(gatherings, g.splits, blockIdx.z + 1);
    uint4 next[WEIGHTS];
    auto fetch = [&](unsigned tap, unsigned channel0) {
        const half* part = weight + ((size_t)tap * g.input + channel0) * g.weight_pitch + row0;
#pragma unroll
        for (unsigned i = 0; i < WEIGHTS; i++) {
            unsigned item = thread + i * THREADS, k = item / (BM / 8), m = item % (BM / 8) * 8;
            bool inside = channel0 + k < g.input && row0 + m < g.weight_pitch;
            next[i] = inside ? *(const uint4*)(part + (size_t)k * g.weight_pitch + m) : uint4{0, 0, 0, 0};
        }
    };
    auto keep = [&](unsigned buffer) {
#pragma unroll
        for (unsigned i = 0; i < WEIGHTS; i++) {
            unsigned item = thread + i * THREADS, k = item / (BM / 8), m = item % (BM / 8) * 8;
            *(uint4*)&weights[buffer][k][m] = next[i];
        }
    };
    for (unsigned gathering = first; gathering < last; gathering++) {
        unsigned tap0 = at_once ? 0 : gathering % g.kernel, channel0 = (at_once ? gathering : gathering / g.kernel) * HALF_DEPTH;
        fetch(tap0, channel0);
        // What was gathered before is still read.
        __syncthreads();
        keep(0);
        int start = (int)column0 * g.stride - g.padding - before + (at_once ? 0 : (int)tap0 * g.dilation + before);
        unsigned group = (ROWS ? thread % 4 : thread / LANES) * 8;
        for (unsigned n = ROWS ? thread / 4 : thread % LANES; n < seen_columns; n += LANES) {
            __align__(16) half gathered[8];
#pragma unroll
            for (unsigned k = 0; k < 8; k++)
                gathered[k] = __float2half(seen<ROWS>(g, ends.x, channel0 + group + k, start + (int)n * g.stride));
            *(uint4*)&inputs[n][group] = *(const uint4*)gathered;
        }
        __syncthreads();
        for (unsigned tap = 0; tap < taps; tap++) {
            if (tap + 1 < taps) fetch(tap0 + tap + 1, channel0);
            const half* right = inputs[at_once ? before + (int)tap * g.dilation : 0];
#pragma unroll
            for (unsigned k = 0; k < HALF_DEPTH; k += SIDE) {
                fragment<matrix_a, SIDE, SIDE, SIDE, half, col_major> a[2];
                for (unsigned i = 0; i < 2; i++) load_matrix_sync(a[i], &weights[tap % 2][k][warp_m + i * SIDE], PITCH);
#pragma unroll
                for (unsigned j = 0; j < TILES; j++) {
                    fragment<matrix_b, SIDE, SIDE, SIDE, half, col_major> b;
                    load_matrix_sync(b, right + (warp_n + j * SIDE) * COLUMN_PITCH + k, COLUMN_PITCH);
#pragma unroll
                    for (unsigned i = 0; i < 2; i++) mma_sync(sums[i][j], a[i], b, sums[i][j]);
                }
            }
            // The other buffer was read before the last barrier.
            if (tap + 1 < taps) {
                keep((tap + 1) % 2);
                __syncthreads();
            }
        }
    }
    // The sums of a warp's tiles, one tile after the other, go through shared memory to threads that write what lies side by side.
    __syncthreads();
    constexpr unsigned PATCH = SIDE + 4;
    float* patch = (float*)&weights[0][0][0] + warp * SIDE * PATCH;
    static_assert(WARPS * SIDE * PATCH * sizeof(float) <= sizeof(weights), "the patches fit");
    unsigned lane = thread % 32;
#pragma unroll
    for (unsigned i = 0; i < 2; i++)
#pragma unroll
        for (unsigned j = 0; j < TILES; j++) {
            store_matrix_sync(patch, sums[i][j], PATCH, mem_row_major);
            __syncwarp();
#pragma unroll 1
            for (unsigned item = lane; item < SIDE * SIDE; item += 32) {
                unsigned m = ROWS ? item % SIDE : item / SIDE, n = ROWS ? item / SIDE : item % SIDE;
                unsigned row = row0 + warp_m + i * SIDE + m, column = column0 + warp_n + j * SIDE + n;
                put_or_keep<ROWS>(g, ends, row, column, patch[m * PATCH + n]);
            }
            __syncwarp();
        }
}

#define KERNEL(name, Number, threads, blocks, run)                                                                        \
    extern "C" __global__ void __launch_bounds__(threads, blocks)                                                         \
        name(const float* x, const Number* weight, const float* bias, const float* residual, float* out, float* partial,  \
             Geometry g) {                                                                                                \
        run(g, Ends{x, bias, residual, out, partial}, weight);                                                            \
    }

// A block for each tile: columns along x, rows along y, splits along z. `implicit.rs` knows their sizes.
KERNEL(conv_single_wide, float, 256, 2, (convolve_single<128, 128, 8, 8, false>))
KERNEL(conv_single_square, float, 128, 4, (convolve_single<64, 64, 8, 4, false>))
KERNEL(conv_single_flat, float, 128, 4, (convolve_single<32, 128, 4, 8, false>))
KERNEL(row_conv_single_wide, float, 256, 2, (convolve_single<128, 128, 8, 8, true>))
KERNEL(row_conv_single_square, float, 128, 4, (convolve_single<64, 64, 8, 4, true>))
KERNEL(conv_half_wide, half, 256, 2, (convolve_half<128, 128, false>))
KERNEL(conv_half_square, half, 128, 4, (convolve_half<64, 64, false>))
KERNEL(row_conv_half_wide, half, 256, 2, (convolve_half<128, 128, true>))
KERNEL(row_conv_half_square, half, 128, 4, (convolve_half<64, 64, true>))

// The sums of a tile that several blocks shared, in the order of the blocks: the same numbers give the same sum.
template <bool ROWS>
__device__ static void finish(const Geometry& g, const Ends& ends) {
    size_t place = (size_t)blockIdx.x * blockDim.x + threadIdx.x, count = (size_t)g.rows * g.columns;
    if (place >= count) return;
    float sum = 0.0f;
    for (unsigned split = 0; split < g.splits; split++) sum += ends.partial[split * count + place];
    unsigned row = ROWS ? place % g.rows : place / g.columns, column = ROWS ? place / g.rows : place % g.columns;
    put<ROWS>(g, ends, row, column, sum);
}

extern "C" __global__ void __launch_bounds__(256)
    conv_finish(const float* bias, const float* residual, float* out, float* partial, Geometry g) {
    finish<false>(g, Ends{nullptr, bias, residual, out, partial});
}

extern "C" __global__ void __launch_bounds__(256)
    row_conv_finish(const float* bias, const float* residual, float* out, float* partial, Geometry g) {
    finish<true>(g, Ends{nullptr, bias, residual, out, partial});
}

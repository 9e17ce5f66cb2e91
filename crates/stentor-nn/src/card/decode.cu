// One step of a transformer: one new position each of several rows, whose keys and values lie in caches of different lengths.
//
// A layer is five launches (seven with layer norms), whatever the number of rows and caches. Lengths and places are read from the
// card's memory, so that the same launches, with the same arguments, serve every step. What becomes of a row does not depend on the
// others: every sum has the same order however many rows there are. Weights, keys and values are f32 or f16, all else is f32.
// `tests/decode_kernels.rs` compiles this file for the host as well and runs it there.
#ifdef __CUDACC__
#include <cuda_fp16.h>
#endif

// Width of a head.
#define HEAD 64
#define PAIRS (HEAD / 2)
// 1 / sqrt(HEAD).
#define SCALE 0.125f
#define WARP 32
#define ALL_LANES 0xffffffffu
// Numbers that a thread reads at once.
#define EIGHT 8
// Below all scores; unlike an infinity, its distance to itself is a number.
#define NO_SCORE (-1e30f)

// Where a row of a cache lies. A layer's keys are `2 * layer` parts after `keys`, its values one part further;
// there, `[head][capacity][HEAD]`.
struct Row {
    // Null in rows that only fill up a batch.
    void* keys;
    // Numbers from a part to the next.
    unsigned part;
    unsigned capacity;
    // Positions that are held; the new one goes there.
    unsigned len;
    unsigned unused;
};

// A cache whose first row's attention is looked at: `count` positions from `first` on. Its results begin at `offset`.
struct Watched {
    unsigned row, first, count, offset;
};

// What a product is added to or put through.
enum Then { STORE, ADD, GELU, GATE };

struct Products {
    // (outs, depth)
    const void* weight;
    // (rows, depth)
    const float* x;
    // (depth) or null: x is divided by its root mean square and multiplied by this.
    const float* gain;
    // (outs) or null
    const float* bias;
    // (rows, outs), or where two outputs gate each other (rows, outs / 2)
    float* out;
    unsigned rows, depth, outs;
    // Warps that share an output's depth.
    unsigned split;
    unsigned then;
    float eps;
};

struct Attention {
    // (rows, 3, heads, HEAD): queries, keys and values of the new positions.
    const float* qkv;
    const struct Row* rows;
    // [position][PAIRS], or null if nothing turns.
    const float* cos;
    const float* sin;
    // [row][head][SPLITS][HEAD + 2]
    float* partials;
    // [row][head], zero before and after.
    unsigned* arrived;
    // (rows, heads * HEAD)
    float* out;
    // [row][head]: the largest score, and the sum of all weights relative to it.
    float* totals;
    unsigned heads, layer;
};

struct Looks {
    const float* qkv;
    const struct Row* rows;
    const float* cos;
    const float* sin;
    const struct Watched* watched;
    // Heads of this layer that are looked at.
    const unsigned* list;
    // What `attend` has written.
    const float* totals;
    // [slot][stride], a slot for each head that is looked at in any layer.
    float* seen;
    unsigned heads, layer, first_slot, stride;
};

__device__ static float narrow_to(const float*, float x) { return x; }
__device__ static __half narrow_to(const __half*, float x) { return __float2half_rn(x); }

// Eight numbers as they lie in memory: read early, used late.
template <typename T>
struct Eight;
template <>
struct Eight<float> {
    float4 low, high;
    __device__ void read(const float* from) {
        low = ((const float4*)from)[0];
        high = ((const float4*)from)[1];
    }
    __device__ void widen(float* to) const {
        to[0] = low.x, to[1] = low.y, to[2] = low.z, to[3] = low.w;
        to[4] = high.x, to[5] = high.y, to[6] = high.z, to[7] = high.w;
    }
};
template <>
struct Eight<__half> {
    union {
        uint4 raw;
        __half halves[EIGHT];
    };
    __device__ Eight() : raw() {}
    __device__ void read(const __half* from) { raw = *(const uint4*)from; }
    __device__ void widen(float* to) const {
#pragma unroll
        for (unsigned i = 0; i < EIGHT; i++) to[i] = __half2float(halves[i]);
    }
};

// ---- Products with few rows ----

#define PRODUCT_THREADS 256
#define PRODUCT_WARPS (PRODUCT_THREADS / WARP)
// Outputs of a warp: what it reads of x serves all of them.
#define OUTS 4

// The sum of each of N values, a power of two up to WARP, over a warp; that of value lane / (WARP / N) is returned. Lanes are paired
// in the same order for every N.
template <int N>
__device__ static float sums_of_warp(float* values) {
    unsigned lane = threadIdx.x % WARP;
    int count = N;
#pragma unroll
    for (unsigned offset = WARP / 2; offset > 0; offset /= 2) {
        if (count > 1) {
            count /= 2;
#pragma unroll
            for (int i = 0; i < N / 2; i++) {
                if (i < count) {
                    bool upper = lane & offset;
                    float mine = upper ? values[i + count] : values[i], other = upper ? values[i] : values[i + count];
                    values[i] = mine + __shfl_xor_sync(ALL_LANES, other, offset);
                }
            }
        } else {
            values[0] += __shfl_xor_sync(ALL_LANES, values[0], offset);
        }
    }
    return values[0];
}

__device__ static float put_through(unsigned then, float sum) {
    if (then != GELU) return sum;
    return 0.5f * sum * (1.0f + tanhf(0.7978845608028654f * (sum + 0.044715f * sum * sum * sum)));
}

// What a warp adds up: its share of the depth for OUTS outputs and ROWS rows, and of the rows' squares.
template <typename T, int ROWS>
__device__ static void add_up(const Products& p, const unsigned* outs, unsigned first_row, unsigned part, float* sums, float* squares) {
    const T* __restrict__ weight = (const T*)p.weight;
    const float* __restrict__ all = p.x;
    const float* __restrict__ gains = p.gain;
    unsigned lane = threadIdx.x % WARP;
#pragma unroll
    for (int i = 0; i < OUTS * ROWS; i++) sums[i] = 0.0f;
#pragma unroll
    for (int i = 0; i < ROWS; i++) squares[i] = 0.0f;
    for (unsigned k = (part * WARP + lane) * EIGHT; k < p.depth; k += p.split * WARP * EIGHT) {
        Eight<T> raw[OUTS];
#pragma unroll
        for (int out = 0; out < OUTS; out++) raw[out].read(weight + (size_t)outs[out] * p.depth + k);
        float w[OUTS][EIGHT], gain[EIGHT] = {1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f};
        if (gains) {
            Eight<float> eight;
            eight.read(gains + k);
            eight.widen(gain);
        }
#pragma unroll
        for (int out = 0; out < OUTS; out++) raw[out].widen(w[out]);
#pragma unroll
        for (int row = 0; row < ROWS; row++) {
            unsigned from = first_row + row < p.rows ? first_row + row : p.rows - 1;
            float x[EIGHT];
            Eight<float> eight;
            eight.read(all + (size_t)from * p.depth + k);
            eight.widen(x);
#pragma unroll
            for (int i = 0; i < EIGHT; i++) {
                squares[row] = fmaf(x[i], x[i], squares[row]);
                float scaled = x[i] * gain[i];
#pragma unroll
                for (int out = 0; out < OUTS; out++) sums[out * ROWS + row] = fmaf(w[out][i], scaled, sums[out * ROWS + row]);
            }
        }
    }
}

// x Wᵀ. Blocks are (rows / ROWS, outs / OUTS / (warps / split)); the rows of the same outputs run side by side, so that the weights
// come from memory once.
template <typename T, int ROWS>
__device__ static void products(const Products& p) {
    __shared__ float partial[PRODUCT_WARPS][OUTS * ROWS];
    __shared__ float partial_squares[PRODUCT_WARPS][ROWS];
    unsigned warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    unsigned groups = PRODUCT_WARPS / p.split, first_group = blockIdx.y * groups;
    bool gated = p.then == GATE;
    // Outputs of a group: four in a row, or two gates and what they let through.
    unsigned width = gated ? p.outs / 2 : p.outs, each = gated ? OUTS / 2 : OUTS;
    unsigned group = first_group + warp / p.split, first_row = blockIdx.x * ROWS;
    unsigned outs[OUTS];
#pragma unroll
    for (unsigned out = 0; out < OUTS; out++) {
        unsigned at = group * each + (gated ? out % 2 : out);
        outs[out] = (at < width ? at : width - 1) + (gated && out >= 2 ? width : 0);
    }
    float sums[OUTS * ROWS], squares[ROWS];
    add_up<T, ROWS>(p, outs, first_row, warp % p.split, sums, squares);
    float sum = sums_of_warp<OUTS * ROWS>(sums);
    if (lane % (WARP / (OUTS * ROWS)) == 0) partial[warp][lane / (WARP / (OUTS * ROWS))] = sum;
    if (p.gain) {
        float square = sums_of_warp<ROWS>(squares);
        if (lane % (WARP / ROWS) == 0) partial_squares[warp][lane / (WARP / ROWS)] = square;
    }
    __syncthreads();
    for (unsigned index = threadIdx.x; index < groups * each * ROWS; index += PRODUCT_THREADS) {
        unsigned row = index % ROWS, out = index / ROWS % each, own = index / ROWS / each;
        unsigned at = (first_group + own) * each + out;
        if (first_row + row >= p.rows || at >= width) continue;
        float scale = 1.0f, sum = 0.0f, other = 0.0f;
        if (p.gain) {
            float square = 0.0f;
            for (unsigned part = 0; part < p.split; part++) square += partial_squares[own * p.split + part][row];
            scale = 1.0f / sqrtf(square / (float)p.depth + p.eps);
        }
        for (unsigned part = 0; part < p.split; part++) {
            const float* parts = partial[own * p.split + part];
            sum += parts[out * ROWS + row];
            if (gated) other += parts[(out + 2) * ROWS + row];
        }
        // Said outright, lest it be compiled to one operation for some numbers of rows and to two for others.
        sum = fmaf(sum, scale, p.bias ? p.bias[at] : 0.0f);
        float* to = p.out + (size_t)(first_row + row) * width + at;
        if (gated) {
            other = fmaf(other, scale, p.bias ? p.bias[width + at] : 0.0f);
            *to = sum / (1.0f + expf(-sum)) * other;
        } else if (p.then == ADD) {
            *to += sum;
        } else {
            *to = put_through(p.then, sum);
        }
    }
}

// As many blocks as are to have room on a processor, where reading weights is all that counts; with eight rows sums and weights want the
// registers of a whole one.
#define PRODUCTS(name, T, ROWS, BLOCKS) \
    extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, BLOCKS) name(Products p) { products<T, ROWS>(p); }
PRODUCTS(products_f32_1, float, 1, 3)
PRODUCTS(products_f32_2, float, 2, 2)
PRODUCTS(products_f32_4, float, 4, 2)
PRODUCTS(products_f32_8, float, 8, 1)
PRODUCTS(products_f16_1, __half, 1, 4)
PRODUCTS(products_f16_2, __half, 2, 4)
PRODUCTS(products_f16_4, __half, 4, 2)
PRODUCTS(products_f16_8, __half, 8, 1)

// ---- Layer norm ----

#define NORM_THREADS 256

__device__ static float sum_of_norm(float x, float* shared) {
#pragma unroll
    for (unsigned offset = WARP / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(ALL_LANES, x, offset);
    __syncthreads();
    if (threadIdx.x % WARP == 0) shared[threadIdx.x / WARP] = x;
    __syncthreads();
    float sum = 0.0f;
    for (unsigned warp = 0; warp < NORM_THREADS / WARP; warp++) sum += shared[warp];
    return sum;
}

// Each row of (rows, width) to zero mean and unit variance, then gain and shift. A block for each row.
extern "C" __global__ void __launch_bounds__(NORM_THREADS) row_norm(const float* x, const float* gain, const float* shift, float* out,
                                                                    unsigned width, float eps) {
    __shared__ float shared[NORM_THREADS / WARP];
    x += (size_t)blockIdx.x * width;
    out += (size_t)blockIdx.x * width;
    float sum = 0.0f;
    for (unsigned i = threadIdx.x; i < width; i += NORM_THREADS) sum += x[i];
    float mean = sum_of_norm(sum, shared) / (float)width;
    // In two passes: a mean far from zero would leave nothing of E[x^2] - E[x]^2.
    sum = 0.0f;
    for (unsigned i = threadIdx.x; i < width; i += NORM_THREADS) sum = fmaf(x[i] - mean, x[i] - mean, sum);
    float scale = 1.0f / sqrtf(sum_of_norm(sum, shared) / (float)width + eps);
    for (unsigned i = threadIdx.x; i < width; i += NORM_THREADS) out[i] = (x[i] - mean) * scale * gain[i] + shift[i];
}

// ---- Attention of a new position over its row ----

#define ATTENTION_THREADS 128
// Eight threads read a position's key or value together.
#define SLICES (HEAD / EIGHT)
#define GROUPS (ATTENTION_THREADS / SLICES)
// Positions that a group reads before it uses the first.
#define AHEAD 4
// Blocks that share a row's positions, always as many: more or fewer would change the order of the sums.
#define SPLITS 8

// Number `at` of a head that stands at `position`.
__device__ static float turned(const float* head, unsigned at, const float* cos, const float* sin, unsigned position) {
    if (!cos) return head[at];
    unsigned pair = at % PAIRS;
    float c = cos[(size_t)position * PAIRS + pair], s = sin[(size_t)position * PAIRS + pair];
    return at < PAIRS ? head[at] * c - head[at + PAIRS] * s : head[at] * c + head[at - PAIRS] * s;
}

// The scaled product of a key with the query, a slice of which each of eight threads has; all get it.
template <typename T>
__device__ static float score(const Eight<T>& key, const float* query) {
    float k[EIGHT], sum = 0.0f;
    key.widen(k);
#pragma unroll
    for (int i = 0; i < EIGHT; i++) sum = fmaf(query[i], k[i], sum);
#pragma unroll
    for (unsigned offset = SLICES / 2; offset > 0; offset /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, offset);
    return sum;
}

// What is seen of some positions: the largest score, the sum of weights relative to it, and this slice of the weighted values.
struct Seen {
    float most, sum, values[EIGHT];
};

template <typename T>
__device__ static Seen see(const T* keys, const T* values, const float* query, unsigned from, unsigned to) {
    unsigned group = threadIdx.x / SLICES, slice = threadIdx.x % SLICES * EIGHT;
    Seen seen = {NO_SCORE, 0.0f, {}};
    for (unsigned base = from; base < to; base += GROUPS * AHEAD) {
        Eight<T> key[AHEAD], value[AHEAD];
        float scores[AHEAD], most = seen.most;
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            unsigned at = base + i * GROUPS + group;
            size_t place = (size_t)(at < to ? at : to - 1) * HEAD + slice;
            key[i].read(keys + place);
            value[i].read(values + place);
        }
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            scores[i] = score(key[i], query);
            if (base + i * GROUPS + group >= to) scores[i] = NO_SCORE;
            most = fmaxf(most, scores[i]);
        }
        float kept = expf(seen.most - most);
        seen.most = most;
        seen.sum *= kept;
#pragma unroll
        for (int i = 0; i < EIGHT; i++) seen.values[i] *= kept;
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            float weight = scores[i] > NO_SCORE ? expf(scores[i] - most) : 0.0f, v[EIGHT];
            value[i].widen(v);
            seen.sum += weight;
#pragma unroll
            for (int j = 0; j < EIGHT; j++) seen.values[j] = fmaf(weight, v[j], seen.values[j]);
        }
    }
    return seen;
}

// One of HEAD numbers, put together of what `count` have seen: largest scores `stride` apart, then sums, then values. What other
// blocks have written must not come from this one's cache.
__device__ static float blend(const volatile float* parts, unsigned count, unsigned stride, unsigned at, float* most, float* sum) {
    float value = 0.0f;
    *most = NO_SCORE, *sum = 0.0f;
    for (unsigned i = 0; i < count; i++) *most = fmaxf(*most, parts[i * stride]);
    for (unsigned i = 0; i < count; i++) {
        float weight = expf(parts[i * stride] - *most);
        *sum = fmaf(weight, parts[i * stride + 1], *sum);
        value = fmaf(weight, parts[i * stride + 2 + at], value);
    }
    return value;
}

// Turns and stores the new keys and values, then softmax(q Kᵀ / 8) V over all positions up to them. Blocks are
// (SPLITS, heads, rows).
template <typename T>
__device__ static void attend(const Attention& a) {
    __shared__ float groups[GROUPS][HEAD + 2];
    __shared__ unsigned is_last;
    unsigned split = blockIdx.x, head = blockIdx.y, row = blockIdx.z, thread = threadIdx.x;
    Row place = a.rows[row];
    if (!place.keys) return;
    T* keys = (T*)place.keys + (size_t)2 * a.layer * place.part + (size_t)head * place.capacity * HEAD;
    T* values = keys + place.part;
    const float* query = a.qkv + ((size_t)row * 3 * a.heads + head) * HEAD;
    unsigned len = place.len + 1, chunk = (len + SPLITS - 1) / SPLITS;
    unsigned from = split * chunk < len ? split * chunk : len, to = from + chunk < len ? from + chunk : len;
    if (from <= place.len && place.len < to && thread < HEAD) {
        const float *key = query + (size_t)a.heads * HEAD, *value = key + (size_t)a.heads * HEAD;
        size_t at = (size_t)place.len * HEAD + thread;
        keys[at] = narrow_to(keys, turned(key, thread, a.cos, a.sin, place.len));
        values[at] = narrow_to(values, value[thread]);
    }
    __syncthreads();
    unsigned group = thread / SLICES, slice = thread % SLICES * EIGHT;
    float q[EIGHT];
#pragma unroll
    for (int i = 0; i < EIGHT; i++) q[i] = SCALE * turned(query, slice + i, a.cos, a.sin, place.len);
    Seen seen = see(keys, values, q, from, to);
    groups[group][0] = seen.most;
    groups[group][1] = seen.sum;
#pragma unroll
    for (int i = 0; i < EIGHT; i++) groups[group][2 + slice + i] = seen.values[i];
    __syncthreads();
    size_t whole = (size_t)row * a.heads + head;
    float most, sum, *partials = a.partials + whole * SPLITS * (HEAD + 2), *partial = partials + split * (HEAD + 2);
    if (thread < HEAD) {
        partial[2 + thread] = blend(&groups[0][0], GROUPS, HEAD + 2, thread, &most, &sum);
        if (thread == 0) partial[0] = most, partial[1] = sum;
    }
    // The block that comes last puts the others' parts together.
    __threadfence();
    __syncthreads();
    if (thread == 0) is_last = atomicAdd(a.arrived + whole, 1u) == SPLITS - 1;
    __syncthreads();
    if (!is_last) return;
    __threadfence();
    if (thread < HEAD) {
        float value = blend(partials, SPLITS, HEAD + 2, thread, &most, &sum);
        a.out[whole * HEAD + thread] = value / sum;
    }
    if (thread == 0) a.arrived[whole] = 0, a.totals[whole * 2] = most, a.totals[whole * 2 + 1] = sum;
}

extern "C" __global__ void __launch_bounds__(ATTENTION_THREADS) attend_f32(Attention a) { attend<float>(a); }
extern "C" __global__ void __launch_bounds__(ATTENTION_THREADS) attend_f16(Attention a) { attend<__half>(a); }

// ---- Where a new position looks ----

// The attention of one head of a cache's first row to some positions. Blocks are (heads in the list, caches); `attend` has been there.
template <typename T>
__device__ static void look(const Looks& l) {
    unsigned head = l.list[blockIdx.x];
    Watched watched = l.watched[blockIdx.y];
    if (watched.count == 0) return;
    Row place = l.rows[watched.row];
    const T* keys = (const T*)place.keys + (size_t)2 * l.layer * place.part + (size_t)head * place.capacity * HEAD;
    const float* query = l.qkv + ((size_t)watched.row * 3 * l.heads + head) * HEAD;
    const float* total = l.totals + ((size_t)watched.row * l.heads + head) * 2;
    unsigned group = threadIdx.x / SLICES, slice = threadIdx.x % SLICES * EIGHT;
    float q[EIGHT];
#pragma unroll
    for (int i = 0; i < EIGHT; i++) q[i] = SCALE * turned(query, slice + i, l.cos, l.sin, place.len);
    float* seen = l.seen + (size_t)(l.first_slot + blockIdx.x) * l.stride + watched.offset;
    for (unsigned base = 0; base < watched.count; base += GROUPS) {
        unsigned at = base + group;
        Eight<T> key;
        key.read(keys + (size_t)(watched.first + (at < watched.count ? at : 0)) * HEAD + slice);
        float found = score(key, q);
        if (at < watched.count && slice == 0) seen[at] = expf(found - total[0]) / total[1];
    }
}

extern "C" __global__ void __launch_bounds__(ATTENTION_THREADS) look_f32(Looks l) { look<float>(l); }
extern "C" __global__ void __launch_bounds__(ATTENTION_THREADS) look_f16(Looks l) { look<__half>(l); }

// The mean over the slots, a block for each cache.
extern "C" __global__ void __launch_bounds__(NORM_THREADS) mean_of_looks(const Watched* watched, const float* seen, float* out, unsigned slots, unsigned stride) {
    Watched own = watched[blockIdx.x];
    for (unsigned at = threadIdx.x; at < own.count; at += NORM_THREADS) {
        float sum = 0.0f;
        for (unsigned slot = 0; slot < slots; slot++) sum += seen[(size_t)slot * stride + own.offset + at];
        out[own.offset + at] = sum / (float)slots;
    }
}

// Self-attention of all heads and sequences of a packing in one launch: softmax(Q K^T / sqrt(width)) V, optionally with relative positions.
//
// Queries, keys and values are read where a product has put them, rows of many heads. A block has one head and 64 queries of one sequence and
// goes through the keys by 64, keeping for each query the largest score so far, and sums relative to that: scores are never in
// memory, nothing overflows, and what becomes of a sequence does not depend on what is beside it, as all sums go from its first
// key to its last. `tests/attention_kernels.rs` compiles this file for the host as well and runs it there.
#ifdef __CUDACC__
#include <math_constants.h>
#include "matrices.cuh"
#else
#define CUDART_INF_F INFINITY
#endif

// Queries of a block, and keys between two barriers.
#define QUERIES 64
#define KEYS 64
#define ATTEND_THREADS 128
#define ALL_LANES 0xffffffffu

// Of a launch, whose blocks are (queries / QUERIES, heads, sequences).
struct Attended {
    // Where each sequence's rows begin, and how many they are. Without starts a sequence begins `pitch` rows after the one before,
    // and its rows behind its end come out as zeros; without lengths it has no such rows.
    const unsigned *starts, *lens;
    // Of relative positions, else null: (2 * pitch - 1, heads * width) for distances from pitch - 1 down, and what is added to queries
    // before they meet keys and before they meet distances, (heads * width).
    const float *distances, *key_bias, *distance_bias;
    unsigned pitch;
    // Numbers from a row of queries, keys and values to the next.
    unsigned stride;
    // Of scores, to the base of two: log2(e) / sqrt(width).
    float scale;
};

// A block's sequence.
struct Sequence {
    size_t start;
    unsigned len;
    // Rows that are to be written.
    unsigned rows;
};

__device__ static Sequence sequence_of(const Attended& a) {
    unsigned index = blockIdx.z, len = a.lens ? a.lens[index] : a.pitch;
    size_t start = a.starts ? a.starts[index] : (size_t)index * a.pitch;
    return {start, len, a.starts ? len : a.pitch};
}

// A few numbers that are read at once.
template <unsigned N>
struct __align__(4 * N) Few {
    float at[N];
};

__device__ static float dot(float4 a, float4 b, float sum) { return sum + a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w; }

// A thread has eight queries, which are eight apart, with keys that are sixteen apart, and of the result WIDTH / 16 numbers side by side: sixteen
// neighbouring threads have all keys of the same queries, so what they share of the scores goes through a part of shared memory that
// no other warp knows.
template <unsigned WIDTH>
struct Single {
    static constexpr unsigned PITCH = WIDTH + 4, EACH = WIDTH / 16, ITEMS = KEYS * WIDTH / 4 / ATTEND_THREADS;
    static constexpr unsigned HALF = KEYS / 2;

    // Rows of a head, `stride` apart; those that are not among the `count` are zeros.
    __device__ static void fetch(float4 (&to)[ITEMS], const float* from, size_t stride, unsigned count) {
#pragma unroll
        for (unsigned i = 0; i < ITEMS; i++) {
            unsigned item = threadIdx.x + i * ATTEND_THREADS, row = item / (WIDTH / 4), at = item % (WIDTH / 4) * 4;
            to[i] = row < count ? *(const float4*)(from + row * stride + at) : float4{0, 0, 0, 0};
        }
    }

    __device__ static void keep(float (*to)[PITCH], const float4 (&from)[ITEMS]) {
#pragma unroll
        for (unsigned i = 0; i < ITEMS; i++) {
            unsigned item = threadIdx.x + i * ATTEND_THREADS;
            *(float4*)&to[item / (WIDTH / 4)][item % (WIDTH / 4) * 4] = from[i];
        }
    }

    // What the thread's queries and keys give.
    __device__ static void meet_keys(float (&scores)[8][4], const float (*queries)[PITCH], const float (*keys)[PITCH], const float* bias) {
        unsigned mine = threadIdx.x / 16, key = threadIdx.x % 16;
#pragma unroll 1
        for (unsigned at = 0; at < WIDTH; at += 4) {
            float4 right[4];
#pragma unroll
            for (unsigned j = 0; j < 4; j++) right[j] = *(const float4*)&keys[key + 16 * j][at];
            float4 more = bias ? *(const float4*)(bias + at) : float4{0, 0, 0, 0};
#pragma unroll
            for (unsigned i = 0; i < 8; i++) {
                float4 left = *(const float4*)&queries[mine + 8 * i][at];
                if (bias) left = {left.x + more.x, left.y + more.y, left.z + more.z, left.w + more.w};
#pragma unroll
                for (unsigned j = 0; j < 4; j++) scores[i][j] = dot(left, right[j], scores[i][j]);
            }
        }
    }

    // What the thread's queries give with the distances of its keys. `part` says which of the block's 127 distances are there: the first 64, or
    // the rest. Query i and key j are eight times 2j - i apart, but for the same number in all of a thread's pairs, so few distances serve all.
    __device__ static void meet_distances(float (&scores)[8][4], const float (*queries)[PITCH], const float (*distances)[PITCH],
                                          const float* bias, unsigned part) {
        unsigned mine = threadIdx.x / 16, key = threadIdx.x % 16;
#pragma unroll 1
        for (unsigned at = 0; at < WIDTH; at += 4) {
            float4 left[8], more = *(const float4*)(bias + at);
#pragma unroll
            for (unsigned i = 0; i < 8; i++) {
                left[i] = *(const float4*)&queries[mine + 8 * i][at];
                left[i] = {left[i].x + more.x, left[i].y + more.y, left[i].z + more.z, left[i].w + more.w};
            }
#pragma unroll
            for (int apart = -7; apart <= 6; apart++) {
                unsigned row = key - mine + 8 * apart + QUERIES - 1 - part * KEYS;
                if (row >= KEYS) continue;
                float4 right = *(const float4*)&distances[row][at];
#pragma unroll
                for (int j = 0; j < 4; j++)
                    if (2 * j >= apart && 2 * j - apart < 8) scores[2 * j - apart][j] = dot(left[2 * j - apart], right, scores[2 * j - apart][j]);
            }
        }
    }

    // Scores to weights relative to the largest so far, of the first `count` keys; what was summed before shrinks to that.
    __device__ static void weigh(float (&scores)[8][4], float (&largest)[8], float (&sums)[8], float (&seen)[8][EACH], unsigned count,
                                 float scale) {
        unsigned key = threadIdx.x % 16;
#pragma unroll
        for (unsigned i = 0; i < 8; i++) {
            float most = largest[i];
#pragma unroll
            for (unsigned j = 0; j < 4; j++) {
                if (key + 16 * j >= count) scores[i][j] = -CUDART_INF_F;
                most = fmaxf(most, scores[i][j]);
            }
#pragma unroll
            for (unsigned offset = 8; offset > 0; offset /= 2) most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, offset));
            float shrink = exp2f((largest[i] - most) * scale), sum = 0.0f;
            largest[i] = most;
#pragma unroll
            for (unsigned j = 0; j < 4; j++) {
                scores[i][j] = exp2f((scores[i][j] - most) * scale);
                sum += scores[i][j];
            }
            sums[i] = sums[i] * shrink + sum;
#pragma unroll
            for (unsigned e = 0; e < EACH; e++) seen[i][e] *= shrink;
        }
    }

    // Adds the values by their weights, half of the keys after the other.
    __device__ static void add_values(float (&seen)[8][EACH], const float (&weights)[8][4], float (*shared)[HALF + 4],
                                      const float (*values)[PITCH]) {
        unsigned mine = threadIdx.x / 16, key = threadIdx.x % 16;
#pragma unroll
        for (unsigned half = 0; half < 2; half++) {
            __syncwarp();
#pragma unroll
            for (unsigned i = 0; i < 8; i++)
#pragma unroll
                for (unsigned j = 0; j < 2; j++) shared[mine + 8 * i][key + 16 * j] = weights[i][2 * half + j];
            __syncwarp();
#pragma unroll 1
            for (unsigned at = 0; at < HALF; at += 4) {
                Few<EACH> right[4];
#pragma unroll
                for (unsigned j = 0; j < 4; j++) right[j] = *(const Few<EACH>*)&values[half * HALF + at + j][key * EACH];
#pragma unroll
                for (unsigned i = 0; i < 8; i++) {
                    float4 left = *(const float4*)&shared[mine + 8 * i][at];
#pragma unroll
                    for (unsigned e = 0; e < EACH; e++)
                        seen[i][e] += left.x * right[0].at[e] + left.y * right[1].at[e] + left.z * right[2].at[e] + left.w * right[3].at[e];
                }
            }
        }
    }
};

template <unsigned WIDTH, bool RELATIVE>
__device__ static void attend_single(const float* q, const float* k, const float* v, float* out, const Attended& a) {
    using S = Single<WIDTH>;
    __shared__ __align__(16) float queries[QUERIES][S::PITCH];
    // Keys, then distances, then values.
    __shared__ __align__(16) float others[KEYS][S::PITCH];
    __shared__ __align__(16) float shared[QUERIES][S::HALF + 4];
    Sequence own = sequence_of(a);
    unsigned first = blockIdx.x * QUERIES, hidden = gridDim.y * WIDTH, head = blockIdx.y * WIDTH;
    if (first >= own.rows) return;
    size_t start = own.start * a.stride + head;
    unsigned mine = threadIdx.x / 16, key = threadIdx.x % 16;
    float largest[8], sums[8], seen[8][S::EACH];
#pragma unroll
    for (unsigned i = 0; i < 8; i++) {
        largest[i] = -CUDART_INF_F;
        sums[i] = 0.0f;
#pragma unroll
        for (unsigned e = 0; e < S::EACH; e++) seen[i][e] = 0.0f;
    }
    // Where the block has only rows behind the end, there is nothing to see.
    unsigned len = first < own.len ? own.len : 0;
    float4 next[S::ITEMS];
    if (len > 0) {
        S::fetch(next, q + start + (size_t)first * a.stride, a.stride, len - first);
        S::keep(queries, next);
        S::fetch(next, k + start, a.stride, len);
    }
#pragma unroll 1
    for (unsigned at = 0; at < len; at += KEYS) {
        // What was there before is still read.
        __syncthreads();
        S::keep(others, next);
        __syncthreads();
        size_t from = start + (size_t)at * a.stride;
        float scores[8][4];
#pragma unroll
        for (unsigned i = 0; i < 8; i++)
#pragma unroll
            for (unsigned j = 0; j < 4; j++) scores[i][j] = 0.0f;
        S::meet_keys(scores, queries, others, RELATIVE ? a.key_bias + head : nullptr);
        if (RELATIVE) {
            // The last query's distance to the first key comes first.
            long from_row = (long)a.pitch + at - first - QUERIES;
#pragma unroll 1
            for (unsigned part = 0; part < 2; part++) {
                __syncthreads();
                for (unsigned item = threadIdx.x; item < KEYS * WIDTH / 4; item += ATTEND_THREADS) {
                    unsigned row = item / (WIDTH / 4), place = item % (WIDTH / 4) * 4;
                    long distance = from_row + part * KEYS + row;
                    bool is_one = distance >= 0 && distance < 2 * (long)a.pitch - 1;
                    const float* numbers = a.distances + (is_one ? distance : 0) * hidden + head + place;
                    *(float4*)&others[row][place] = is_one ? *(const float4*)numbers : float4{0, 0, 0, 0};
                }
                __syncthreads();
                S::meet_distances(scores, queries, others, a.distance_bias + head, part);
            }
        }
        S::fetch(next, v + from, a.stride, len - at);
        S::weigh(scores, largest, sums, seen, len - at, a.scale);
        __syncthreads();
        S::keep(others, next);
        __syncthreads();
        if (at + KEYS < len) S::fetch(next, k + from + (size_t)KEYS * a.stride, a.stride, len - at - KEYS);
        S::add_values(seen, scores, shared, others);
    }
#pragma unroll
    for (unsigned i = 0; i < 8; i++) {
        float sum = sums[i];
#pragma unroll
        for (unsigned offset = 8; offset > 0; offset /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, offset);
        unsigned row = first + mine + 8 * i;
        if (row >= own.rows) continue;
        float inverse = row < own.len ? 1.0f / sum : 0.0f;
        Few<S::EACH> numbers;
#pragma unroll
        for (unsigned e = 0; e < S::EACH; e++) numbers.at[e] = row < own.len ? seen[i][e] * inverse : 0.0f;
        *(Few<S::EACH>*)(out + (own.start + row) * hidden + head + key * S::EACH) = numbers;
    }
}

// Width of a head in half precision, where the sums of scores and values are of tensor cores and in f32. A warp has sixteen queries.
#define HALF_WIDTH 64
// Halves from a row in shared memory to the next: eight rows' sixteen bytes are in all of the banks.
#define HALF_PITCH (HALF_WIDTH + 8)
#define HALF_ITEMS (KEYS * HALF_WIDTH / 8 / ATTEND_THREADS)

// Rows between those of a thread where all threads read or write a tile, eight numbers each.
#define HALF_STEP (KEYS / HALF_ITEMS)

// What the thread has of the rows of a tile, its first being at `from`; those that are not among the `count` are zeros.
__device__ static void fetch_halves(uint4 (&to)[HALF_ITEMS], const half* from, unsigned stride, unsigned count) {
    unsigned row = threadIdx.x / (HALF_WIDTH / 8);
#pragma unroll
    for (unsigned i = 0; i < HALF_ITEMS; i++)
        to[i] = row + i * HALF_STEP < count ? *(const uint4*)(from + i * HALF_STEP * stride) : uint4{0, 0, 0, 0};
}

__device__ static void keep_halves(half (*to)[HALF_PITCH], const uint4 (&from)[HALF_ITEMS]) {
#pragma unroll
    for (unsigned i = 0; i < HALF_ITEMS; i++) {
        unsigned row = threadIdx.x / (HALF_WIDTH / 8) + i * HALF_STEP;
        *(uint4*)&to[row][threadIdx.x % (HALF_WIDTH / 8) * 8] = from[i];
    }
}

// `weigh` of a single precision block, where a thread has two rows: four numbers of each eight keys.
__device__ static void weigh_halves(float (&scores)[KEYS / 8][4], float (&largest)[2], float (&sums)[2], float (&seen)[HALF_WIDTH / 8][4],
                                    unsigned count, float scale) {
    unsigned key = threadIdx.x % 4 * 2;
#pragma unroll
    for (unsigned row = 0; row < 2; row++) {
        float most = largest[row];
#pragma unroll
        for (unsigned n = 0; n < KEYS / 8; n++)
#pragma unroll
            for (unsigned i = 0; i < 2; i++) {
                float& score = scores[n][2 * row + i];
                if (8 * n + key + i >= count) score = -CUDART_INF_F;
                most = fmaxf(most, score);
            }
        most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, 1));
        most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, 2));
        float shrink = exp2f((largest[row] - most) * scale), sum = 0.0f;
        largest[row] = most;
#pragma unroll
        for (unsigned n = 0; n < KEYS / 8; n++)
#pragma unroll
            for (unsigned i = 0; i < 2; i++) {
                float& score = scores[n][2 * row + i];
                score = exp2f((score - most) * scale);
                sum += score;
            }
        sums[row] = sums[row] * shrink + sum;
#pragma unroll
        for (unsigned n = 0; n < HALF_WIDTH / 8; n++)
#pragma unroll
            for (unsigned i = 0; i < 2; i++) seen[n][2 * row + i] *= shrink;
    }
}

// A thread's numbers of the queries of its two rows, of which those from `len` on are zero, as a left operand has them.
__device__ static void load_queries(unsigned (&queries)[HALF_WIDTH / 16][4], const half* rows, unsigned stride, unsigned mine, unsigned len) {
    unsigned pair = threadIdx.x % 4 * 2;
#pragma unroll
    for (unsigned part = 0; part < HALF_WIDTH / 16; part++)
#pragma unroll
        for (unsigned i = 0; i < 4; i++) {
            unsigned row = mine + i % 2 * 8, at = 16 * part + i / 2 * 8 + pair;
            queries[part][i] = row < len ? *(const unsigned*)(rows + (size_t)row * stride + at) : 0;
        }
}

// Writes a thread's numbers of what its two rows have seen, over the sum of their weights; zeros behind the sequence's end.
__device__ static void put_seen(const float (&seen)[HALF_WIDTH / 8][4], const float (&sums)[2], half* out, unsigned hidden, unsigned mine, Sequence own) {
    unsigned pair = threadIdx.x % 4 * 2;
#pragma unroll
    for (unsigned i = 0; i < 2; i++) {
        float sum = sums[i] + __shfl_xor_sync(ALL_LANES, sums[i], 1);
        sum += __shfl_xor_sync(ALL_LANES, sum, 2);
        unsigned row = mine + 8 * i;
        if (row >= own.rows) continue;
        float inverse = 1.0f / sum;
        half* to = out + (own.start + row) * hidden + pair;
#pragma unroll
        for (unsigned n = 0; n < HALF_WIDTH / 8; n++) {
            bool is_one = row < own.len;
            float first = is_one ? seen[n][2 * i] * inverse : 0.0f, second = is_one ? seen[n][2 * i + 1] * inverse : 0.0f;
            *(unsigned*)(to + 8 * n) = halves_of(first, second);
        }
    }
}

extern "C" __global__ void __launch_bounds__(ATTEND_THREADS, 3)
    attend_half_64(const half* qkv, half* out, const unsigned* lens, unsigned pitch, unsigned stride, float scale) {
    __shared__ __align__(16) half keys[KEYS][HALF_PITCH];
    __shared__ __align__(16) half values[KEYS][HALF_PITCH];
    Attended a = {nullptr, lens, nullptr, nullptr, nullptr, pitch, stride, scale};
    Sequence own = sequence_of(a);
    unsigned hidden = gridDim.y * HALF_WIDTH, head = blockIdx.y * HALF_WIDTH, lane = threadIdx.x % 32;
    if (blockIdx.x * QUERIES >= own.rows) return;
    qkv += own.start * a.stride + head;
    // The thread's first row; the other is eight further.
    unsigned mine = blockIdx.x * QUERIES + threadIdx.x / 32 * 16 + lane / 4;
    unsigned len = blockIdx.x * QUERIES < own.len ? own.len : 0;
    unsigned queries[HALF_WIDTH / 16][4];
    load_queries(queries, qkv, a.stride, mine, len);
    float largest[2] = {-CUDART_INF_F, -CUDART_INF_F}, sums[2] = {0.0f, 0.0f}, seen[HALF_WIDTH / 8][4];
#pragma unroll
    for (unsigned n = 0; n < HALF_WIDTH / 8; n++)
#pragma unroll
        for (unsigned i = 0; i < 4; i++) seen[n][i] = 0.0f;
    uint4 next_keys[HALF_ITEMS], next_values[HALF_ITEMS];
    qkv += (size_t)(threadIdx.x / (HALF_WIDTH / 8)) * a.stride + threadIdx.x % (HALF_WIDTH / 8) * 8;
    fetch_halves(next_keys, qkv + hidden, a.stride, len);
    fetch_halves(next_values, qkv + 2 * hidden, a.stride, len);
#pragma unroll 1
    for (unsigned at = 0; at < len; at += KEYS) {
        // What was there before is still read.
        __syncthreads();
        keep_halves(keys, next_keys);
        keep_halves(values, next_values);
        __syncthreads();
        qkv += (size_t)KEYS * a.stride;
        unsigned left = len - at, more = left > KEYS ? left - KEYS : 0;
        fetch_halves(next_keys, qkv + hidden, a.stride, more);
        float scores[KEYS / 8][4];
#pragma unroll
        for (unsigned n = 0; n < KEYS / 8; n++)
#pragma unroll
            for (unsigned i = 0; i < 4; i++) scores[n][i] = 0.0f;
#pragma unroll
        for (unsigned part = 0; part < HALF_WIDTH / 16; part++)
#pragma unroll
            for (unsigned n = 0; n < KEYS / 16; n++) {
                // Eight keys, their next eight numbers, then the next eight keys.
                unsigned right[4];
                load_matrices(right, &keys[16 * n + lane / 16 * 8 + lane % 8][16 * part + lane / 8 % 2 * 8]);
                add_products(scores[2 * n], queries[part], right[0], right[1]);
                add_products(scores[2 * n + 1], queries[part], right[2], right[3]);
            }
        fetch_halves(next_values, qkv + 2 * hidden, a.stride, more);
        weigh_halves(scores, largest, sums, seen, left, a.scale);
#pragma unroll
        for (unsigned part = 0; part < KEYS / 16; part++) {
            // A thread's sums of scores are what it has to hold of a left operand.
            const float(&low)[4] = scores[2 * part], (&high)[4] = scores[2 * part + 1];
            unsigned weights[4] = {halves_of(low[0], low[1]), halves_of(low[2], low[3]), halves_of(high[0], high[1]), halves_of(high[2], high[3])};
#pragma unroll
            for (unsigned n = 0; n < HALF_WIDTH / 16; n++) {
                unsigned right[4];
                load_matrices_turned(right, &values[16 * part + lane % 16][16 * n + lane / 16 * 8]);
                add_products(seen[2 * n], weights, right[0], right[1]);
                add_products(seen[2 * n + 1], weights, right[2], right[3]);
            }
        }
    }
    put_seen(seen, sums, out + head, hidden, mine, own);
}

#define ATTEND(name, run)                                                                                                \
    extern "C" __global__ void __launch_bounds__(ATTEND_THREADS, 3)                                                      \
        name(const float* q, const float* k, const float* v, float* out, const unsigned* starts, const unsigned* lens,   \
             const float* distances, const float* key_bias, const float* distance_bias, unsigned pitch, unsigned stride, \
             float scale) {                                                                                              \
        run(q, k, v, out, {starts, lens, distances, key_bias, distance_bias, pitch, stride, scale});                     \
    }

ATTEND(attend_single_64, (attend_single<64, false>))
ATTEND(attend_single_32, (attend_single<32, false>))
ATTEND(attend_relative_64, (attend_single<64, true>))

// What kernels use of tensor cores, for the host. A matrix of 16 x 16 is spread over the 32 threads of a warp in a
// way of its own, which kernels must not rely on: a thread has half a row of the sums, all of that row of the left operand, and those
// columns of the right one. As on a card, addresses must be multiples of 32 bytes and rows of 16.
#pragma once
#include "card.h"

namespace nvcuda::wmma {

struct row_major {};
struct col_major {};
struct matrix_a {};
struct matrix_b {};
struct accumulator {};
enum layout_t { mem_row_major };

template <typename Use, int M, int N, int K, typename Number, typename Layout = void>
struct fragment;
template <>
struct fragment<accumulator, 16, 16, 16, float, void> {
    float sums[8];
};
template <>
struct fragment<matrix_a, 16, 16, 16, half, col_major> {
    float row[16];
};
template <>
struct fragment<matrix_b, 16, 16, 16, half, col_major> {
    float columns[16][8];
};

static inline unsigned row() { return threadIdx.x % 32 / 2; }
static inline unsigned first_column() { return threadIdx.x % 2 * 8; }

static inline void check(const void* address, size_t pitch_bytes) {
    if ((uintptr_t)address % 32 || pitch_bytes % 16) {
        fprintf(stderr, "tensor cores cannot read there\n");
        exit(3);
    }
}

template <typename Fragment>
static inline void fill_fragment(Fragment& to, float value) {
    for (float& sum : to.sums) sum = value;
}

static inline void load_matrix_sync(fragment<matrix_a, 16, 16, 16, half, col_major>& to, const half* from, unsigned pitch) {
    check(from, pitch * sizeof(half));
    for (unsigned k = 0; k < 16; k++) to.row[k] = __half2float(from[k * pitch + row()]);
}

static inline void load_matrix_sync(fragment<matrix_b, 16, 16, 16, half, col_major>& to, const half* from, unsigned pitch) {
    check(from, pitch * sizeof(half));
    for (unsigned k = 0; k < 16; k++)
        for (unsigned j = 0; j < 8; j++) to.columns[k][j] = __half2float(from[(first_column() + j) * pitch + k]);
}

template <typename Sums, typename A, typename B>
static inline void mma_sync(Sums& to, const A& a, const B& b, const Sums& c) {
    for (unsigned j = 0; j < 8; j++) to.sums[j] = c.sums[j];
    for (unsigned k = 0; k < 16; k++)
        for (unsigned j = 0; j < 8; j++) to.sums[j] += a.row[k] * b.columns[k][j];
}

template <typename Sums>
static inline void store_matrix_sync(float* to, const Sums& from, unsigned pitch, layout_t) {
    check(to, pitch * sizeof(float));
    for (unsigned j = 0; j < 8; j++) to[row() * pitch + first_column() + j] = from.sums[j];
}

}  // namespace nvcuda::wmma

// What `matrices.cuh` has of a card: there a thread's numbers are where the instructions want them, and so they are here.
static inline unsigned halves_of(float first, float second) {
    return __float2half(first).bits | (unsigned)__float2half(second).bits << 16;
}
static inline float half_of(unsigned both, unsigned which) { return __half2float({(uint16_t)(both >> 16 * which)}); }

// What each thread of a warp tells all others, `N` words.
template <unsigned N>
static const uint64_t (*exchanged(const uint64_t (&mine)[N]))[N] {
    static uint64_t all[1024][N];
    memcpy(all[threadIdx.x], mine, sizeof mine);
    __syncwarp();
    return all + threadIdx.x / 32 * 32;
}

static inline void load_matrices_as(unsigned (&to)[4], const half* row, bool turned) {
    if ((uintptr_t)row % 16) {
        fprintf(stderr, "tensor cores cannot read there\n");
        exit(3);
    }
    auto rows = exchanged<1>({(uint64_t)row});
    unsigned lane = threadIdx.x % 32, across = lane / 4, along = lane % 4 * 2;
    for (unsigned matrix = 0; matrix < 4; matrix++) {
        to[matrix] = 0;
        for (unsigned i = 0; i < 2; i++) {
            unsigned from = turned ? along + i : across, at = turned ? across : along + i;
            to[matrix] |= (unsigned)((const half*)rows[8 * matrix + from][0])[at].bits << 16 * i;
        }
    }
    __syncwarp();
}
static inline void load_matrices(unsigned (&to)[4], const half* row) { load_matrices_as(to, row, false); }
static inline void load_matrices_turned(unsigned (&to)[4], const half* row) { load_matrices_as(to, row, true); }

static inline void add_products(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    auto all = exchanged<6>({a[0], a[1], a[2], a[3], b0, b1});
    unsigned across = threadIdx.x % 32 / 4, along = threadIdx.x % 4 * 2;
    for (unsigned i = 0; i < 4; i++) {
        // Row and column of the sum.
        unsigned down = i / 2, column = along + i % 2;
        for (unsigned k = 0; k < 16; k++) {
            unsigned of_left = k / 8 * 2 + down, of_right = 4 + k / 8, lane = k % 8 / 2;
            sums[i] += half_of(all[across * 4 + lane][of_left], k % 2) * half_of(all[column * 4 + lane][of_right], k % 2);
        }
    }
    __syncwarp();
}

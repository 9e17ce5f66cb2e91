// What kernels use of half precision and of tensor cores, for the host. A matrix of 16 x 16 is spread over the 32 threads of a warp in a
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

static unsigned row() { return threadIdx.x % 32 / 2; }
static unsigned first_column() { return threadIdx.x % 2 * 8; }

static void check(const void* address, size_t pitch_bytes) {
    if ((uintptr_t)address % 32 || pitch_bytes % 16) {
        fprintf(stderr, "tensor cores cannot read there\n");
        exit(3);
    }
}

template <typename Fragment>
static void fill_fragment(Fragment& to, float value) {
    for (float& sum : to.sums) sum = value;
}

static void load_matrix_sync(fragment<matrix_a, 16, 16, 16, half, col_major>& to, const half* from, unsigned pitch) {
    check(from, pitch * sizeof(half));
    for (unsigned k = 0; k < 16; k++) to.row[k] = __half2float(from[k * pitch + row()]);
}

static void load_matrix_sync(fragment<matrix_b, 16, 16, 16, half, col_major>& to, const half* from, unsigned pitch) {
    check(from, pitch * sizeof(half));
    for (unsigned k = 0; k < 16; k++)
        for (unsigned j = 0; j < 8; j++) to.columns[k][j] = __half2float(from[(first_column() + j) * pitch + k]);
}

template <typename Sums, typename A, typename B>
static void mma_sync(Sums& to, const A& a, const B& b, const Sums& c) {
    for (unsigned j = 0; j < 8; j++) to.sums[j] = c.sums[j];
    for (unsigned k = 0; k < 16; k++)
        for (unsigned j = 0; j < 8; j++) to.sums[j] += a.row[k] * b.columns[k][j];
}

template <typename Sums>
static void store_matrix_sync(float* to, const Sums& from, unsigned pitch, layout_t) {
    check(to, pitch * sizeof(float));
    for (unsigned j = 0; j < 8; j++) to[row() * pitch + first_column() + j] = from.sums[j];
}

}  // namespace nvcuda::wmma

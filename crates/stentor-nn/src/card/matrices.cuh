// Tensor cores by the instruction, for kernels that have to know which thread holds which number: 16 x 16 by 16 x 8 halves, summed in f32.
//
// Thread `lane` of a warp holds, with g = lane / 4 and t = lane % 4: of the left operand (16 rows, 16 deep) in a[0] the pair from (g, 2t) on,
// in a[1] that of row g + 8, in a[2] and a[3] the same eight columns on; of the right one (16 deep, 8 columns) in b[0] (2t, g) and
// (2t + 1, g), in b[1] the same eight rows on; of the sums (g, 2t), (g, 2t + 1) and the same of row g + 8. The host's tests have these
// functions of their own.
#pragma once
#include <cuda_fp16.h>

// Two numbers as halves, the first in the lower bits.
__device__ static unsigned halves_of(float first, float second) {
    __half2 both = __floats2half2_rn(first, second);
    return *(const unsigned*)&both;
}

// Four matrices of 8 x 8 halves: thread l says where row l % 8 of matrix l / 8 begins, 16 bytes at a multiple of 16, and gets of each
// matrix the pair from (l / 4, l % 4 * 2) on.
__device__ static void load_matrices(unsigned (&to)[4], const half* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"((unsigned)__cvta_generic_to_shared(row))
                 : "memory");
}

// The same, and gets of each matrix (l % 4 * 2, l / 4) and what is below it.
__device__ static void load_matrices_turned(unsigned (&to)[4], const half* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"((unsigned)__cvta_generic_to_shared(row))
                 : "memory");
}

__device__ static void add_products(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    // Turing multiplies half as deep.
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(a[0]), "r"(a[1]), "r"(b0));
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(a[2]), "r"(a[3]), "r"(b1));
#endif
}

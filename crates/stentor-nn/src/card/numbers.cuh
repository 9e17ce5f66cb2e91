// Numbers that a kernel reads or writes in single or in half precision.
#pragma once
#ifdef __CUDACC__
#include <cuda_fp16.h>
#endif

__device__ static float single(float x) { return x; }
__device__ static float single(half x) { return __half2float(x); }
__device__ static void put(float* to, float x) { *to = x; }
__device__ static void put(half* to, float x) { *to = __float2half(x); }

// What candle uses of cuBLAS and cuRAND. The types are those of the libraries' C interface, which the toolkit's compiler comes without.
#include <cstdint>
#include <cstdio>

#include "emulator.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace {

using half = _Float16;
enum { SUCCESS = 0, EXECUTION_FAILED = 13, NOT_SUPPORTED = 15 };
enum { SINGLE = 0, HALF = 2 };

struct Handle {
    void* stream;
};

struct Matrix {
    const void* numbers;
    bool turned;
    int pitch;
    long long step;
};

// Columns first, as cuBLAS has it; sums are single.
template <class T>
void multiply(int m, int n, int k, float alpha, Matrix a, Matrix b, float beta, T* c, int pitch, long long step, int count) {
    std::vector<float> left((size_t)m * k), right((size_t)k * n), sums(m);
    for (int batch = 0; batch < count; batch++) {
        auto* of_a = (const T*)a.numbers + batch * a.step;
        auto* of_b = (const T*)b.numbers + batch * b.step;
        for (int p = 0; p < k; p++)
            for (int i = 0; i < m; i++) left[(size_t)p * m + i] = of_a[a.turned ? (size_t)i * a.pitch + p : (size_t)p * a.pitch + i];
        for (int j = 0; j < n; j++)
            for (int p = 0; p < k; p++) right[(size_t)j * k + p] = of_b[b.turned ? (size_t)p * b.pitch + j : (size_t)j * b.pitch + p];
        for (int j = 0; j < n; j++) {
            std::fill(sums.begin(), sums.end(), 0.0f);
            for (int p = 0; p < k; p++) {
                float factor = right[(size_t)j * k + p];
                for (int i = 0; i < m; i++) sums[i] += left[(size_t)p * m + i] * factor;
            }
            T* out = c + batch * step + (size_t)j * pitch;
            for (int i = 0; i < m; i++) out[i] = (T)(alpha * sums[i] + (beta != 0 ? beta * (float)out[i] : 0));
        }
    }
}

}  // namespace

EXPORTED int cublasCreate_v2(void** handle) { return *handle = new Handle{}, SUCCESS; }
EXPORTED int cublasDestroy_v2(void* handle) { return delete (Handle*)handle, SUCCESS; }
EXPORTED int cublasSetStream_v2(void* handle, void* stream) { return ((Handle*)handle)->stream = stream, SUCCESS; }
EXPORTED int cublasSetWorkspace_v2(void*, void*, size_t) { return SUCCESS; }
EXPORTED int cublasSetMathMode(void*, int) { return SUCCESS; }

EXPORTED int cublasGemmStridedBatchedEx(void* handle, int turn_a, int turn_b, int m, int n, int k, const void* alpha, const void* a, int type_a,
                                        int pitch_a, long long step_a, const void* b, int type_b, int pitch_b, long long step_b,
                                        const void* beta, void* c, int type_c, int pitch_c, long long step_c, int count, int compute, int) {
    enum { COMPUTE_SINGLE = 68 };
    bool known = (type_a == SINGLE || type_a == HALF) && type_b == type_a && type_c == type_a && compute >= COMPUTE_SINGLE;
    if (!known) return fprintf(stderr, "the emulated card has no such product: %d %d\n", type_a, compute), NOT_SUPPORTED;
    Matrix left = {a, turn_a != 0, pitch_a, step_a}, right = {b, turn_b != 0, pitch_b, step_b};
    float scale = *(const float*)alpha, kept = *(const float*)beta;
    if (emulator::is_idle(((Handle*)handle)->stream)) return EXECUTION_FAILED;
    emulator::submit(((Handle*)handle)->stream, "a matrix product", [=] {
        if (type_a == HALF) multiply(m, n, k, scale, left, right, kept, (half*)c, pitch_c, step_c, count);
        else multiply(m, n, k, scale, left, right, kept, (float*)c, pitch_c, step_c, count);
    });
    return SUCCESS;
}

EXPORTED int curandCreateGenerator(void** generator, int) { return *generator = new int, SUCCESS; }
EXPORTED int curandDestroyGenerator(void* generator) { return delete (int*)generator, SUCCESS; }
EXPORTED int curandSetPseudoRandomGeneratorSeed(void*, unsigned long long) { return SUCCESS; }
EXPORTED int curandSetStream(void*, void*) { return SUCCESS; }

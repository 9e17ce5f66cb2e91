// What a card's kernel needs to run on the host: a block's threads as fibers of one thread, which run until they wait for each other.
//
// They take turns in ascending or descending order, as the program was asked to: a barrier that is missing shows as a difference.
#pragma once
#include <csetjmp>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <ucontext.h>
#include <vector>

struct Index {
    unsigned x, y, z;
};
static Index threadIdx, blockIdx, blockDim, gridDim;

struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};
struct __half {
    uint16_t bits;
};
using half = __half;
// To the nearest, ties to even, as the compiler does. Back it goes through a table, as the compiler's is slow.
static inline __half __float2half_rn(float x) {
    _Float16 rounded = (_Float16)x;
    __half bits;
    memcpy(&bits, &rounded, sizeof bits);
    return bits;
}
static inline __half __float2half(float x) { return __float2half_rn(x); }
static const std::vector<float> SINGLES = [] {
    std::vector<float> all(1 << 16);
    for (unsigned bits = 0; bits < all.size(); bits++) {
        _Float16 value;
        uint16_t narrow = bits;
        memcpy(&value, &narrow, sizeof value);
        all[bits] = (float)value;
    }
    return all;
}();
static inline float __half2float(__half x) { return SINGLES.data()[x.bits]; }
static inline uint32_t __float_as_uint(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
static inline float __uint_as_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline unsigned atomicAdd(unsigned* at, unsigned more) { return *at += more, *at - more; }
static inline void __threadfence() {}

#define __global__
#define __device__
#define __launch_bounds__(...)
// Blocks run one after the other, so that what a block shares can be what all share.
#define __shared__ static
#define __align__(bytes) __attribute__((aligned(bytes)))

enum Waits { NOT, FOR_WARP, FOR_BLOCK, ENDED };
struct Fiber {
    ucontext_t start;
    jmp_buf here;
    bool started = false;
    Waits waits;
    std::vector<char> stack = std::vector<char>(1 << 16);
};
static std::vector<Fiber> fibers;
static jmp_buf scheduler;
static unsigned running;
static const std::function<void()>* body;
static bool backwards;

static void wait(Waits what) {
    fibers[running].waits = what;
    if (!_setjmp(fibers[running].here)) _longjmp(scheduler, 1);
}
// A fiber goes on with the next block when it is started again: making a new one costs more than most kernels do.
static void run_fiber() {
    for (;; wait(ENDED)) (*body)();
}
static void go_on(unsigned thread) {
    Fiber& fiber = fibers[thread];
    running = thread;
    threadIdx = {thread, 0, 0};
    if (_setjmp(scheduler)) return;
    if (fiber.started) _longjmp(fiber.here, 1);
    fiber.started = true;
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = fiber.stack.data();
    fiber.start.uc_stack.ss_size = fiber.stack.size();
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, run_fiber, 0);
    setcontext(&fiber.start);
}

// Releases the fibers from `first` on if those that have not ended all wait for the same.
static bool release(unsigned first, unsigned count, Waits what) {
    bool any = false;
    for (unsigned i = first; i < first + count; i++) {
        if (fibers[i].waits != what && fibers[i].waits != ENDED) return false;
        any |= fibers[i].waits == what;
    }
    for (unsigned i = first; i < first + count; i++) {
        if (fibers[i].waits == what) fibers[i].waits = NOT;
    }
    return any;
}

// Runs a warp until its threads wait for the rest of the block, so that it is as far ahead of others as it can be.
static void run_warp(unsigned first, unsigned count) {
    do {
        for (unsigned i = 0; i < count; i++) {
            unsigned thread = first + (backwards ? count - 1 - i : i);
            if (fibers[thread].waits == NOT) go_on(thread);
        }
    } while (release(first, count, FOR_WARP));
}

static void run_block(unsigned threads) {
    if (fibers.size() < threads) fibers.resize(threads);
    for (unsigned i = 0; i < threads; i++) fibers[i].waits = NOT;
    unsigned warps = (threads + 31) / 32;
    do {
        for (unsigned i = 0; i < warps; i++) {
            unsigned first = 32 * (backwards ? warps - 1 - i : i);
            run_warp(first, threads - first < 32 ? threads - first : 32);
        }
    } while (release(0, threads, FOR_BLOCK));
    for (unsigned i = 0; i < threads; i++) {
        // Some wait for a warp and some for the block: on a card they would wait for ever.
        if (fibers[i].waits != ENDED) fprintf(stderr, "threads wait for each other\n"), exit(3);
    }
}

static void launch(Index grid, unsigned threads, const std::function<void()>& kernel) {
    gridDim = grid;
    blockDim = {threads, 1, 1};
    body = &kernel;
    unsigned blocks = grid.x * grid.y * grid.z;
    for (unsigned i = 0; i < blocks; i++) {
        unsigned block = backwards ? blocks - 1 - i : i;
        blockIdx = {block % grid.x, block / grid.x % grid.y, block / grid.x / grid.y};
        run_block(threads);
    }
}

static inline void __syncthreads() { wait(FOR_BLOCK); }
static inline void __syncwarp() { wait(FOR_WARP); }
static uint64_t said[1024];
template <typename T>
static T __shfl_xor_sync(unsigned, T value, unsigned offset) {
    unsigned thread = running;
    memcpy(&said[thread], &value, sizeof value);
    wait(FOR_WARP);
    memcpy(&value, &said[thread ^ offset], sizeof value);
    wait(FOR_WARP);
    return value;
}
static inline int __syncthreads_or(int mine) {
    unsigned thread = running;
    said[thread] = mine != 0;
    wait(FOR_BLOCK);
    uint64_t any = 0;
    for (unsigned i = 0; i < blockDim.x; i++) any |= said[i];
    wait(FOR_BLOCK);
    return any != 0;
}

template <typename T>
static std::vector<T> read() {
    uint32_t count = 0;
    if (fread(&count, sizeof count, 1, stdin) != 1) exit(2);
    std::vector<T> values(count);
    if (fread(values.data(), sizeof(T), count, stdin) != count) exit(2);
    return values;
}

[[maybe_unused]] static void write(const std::vector<float>& values) {
    if (fwrite(values.data(), sizeof(float), values.size(), stdout) != values.size()) exit(2);
}

template <typename T>
static const T* or_null(const std::vector<T>& values) {
    return values.empty() ? nullptr : values.data();
}

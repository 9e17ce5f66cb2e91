// A block of a card's threads on the host. Each is a context of its own, and all take turns on one thread of the host: one runs until
// it waits for the others, then the next. So those that are ahead are as far ahead as they can be, which shows where a barrier is missing; turned
// around (`backwards`), it shows it for what threads with lower numbers need of those with higher ones.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>
#include <ucontext.h>

struct Index {
    unsigned x, y, z;
};
static Index threadIdx, blockIdx, blockDim, gridDim;

#define __global__
#define __device__
#define __launch_bounds__(...)
// Blocks run one after the other, so that what a block shares can be what all share.
#define __shared__ static
#define __align__(bytes) __attribute__((aligned(bytes)))

struct float4 {
    float x, y, z, w;
};
struct uint4 {
    unsigned x, y, z, w;
};

namespace block {

struct Turn {
    ucontext_t context;
    std::vector<char> stack;
    bool done;
};
static std::vector<Turn> turns;
static ucontext_t home;
static const std::function<void()>* kernel;
static bool backwards;

static void run_one() {
    (*kernel)();
    turns[threadIdx.x].done = true;
    swapcontext(&turns[threadIdx.x].context, &home);
}

// Ends this thread's turn. All others get theirs before its next.
static void wait() {
    unsigned mine = threadIdx.x;
    swapcontext(&turns[mine].context, &home);
    threadIdx.x = mine;
}

static void run(unsigned threads) {
    if (turns.size() < threads) turns.resize(threads);
    for (unsigned thread = 0; thread < threads; thread++) {
        Turn& turn = turns[thread];
        turn.stack.resize(1 << 16);
        turn.done = false;
        getcontext(&turn.context);
        turn.context.uc_stack.ss_sp = turn.stack.data();
        turn.context.uc_stack.ss_size = turn.stack.size();
        turn.context.uc_link = nullptr;
        makecontext(&turn.context, run_one, 0);
    }
    for (bool running = true; running;) {
        running = false;
        for (unsigned i = 0; i < threads; i++) {
            threadIdx = {backwards ? threads - 1 - i : i, 0, 0};
            if (turns[threadIdx.x].done) continue;
            swapcontext(&home, &turns[threadIdx.x].context);
            running = true;
        }
    }
}

}  // namespace block

#define __syncthreads() block::wait()
// All threads of a warp wait at the same place, and so, here, do all of a block.
#define __syncwarp() block::wait()

static void launch(Index grid, unsigned threads, const std::function<void()>& kernel) {
    gridDim = grid;
    blockDim = {threads, 1, 1};
    block::kernel = &kernel;
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++) {
                blockIdx = {x, y, z};
                block::run(threads);
            }
}

// Runs the card's kernels on the host: a thread for each of a block's, a barrier where they wait for each other, one block after the
// other. A kernel's name and numbers come in on stdin, what it wrote goes out on stdout.
#include <barrier>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <thread>
#include <vector>

struct Index {
    unsigned x, y;
};
static thread_local Index threadIdx;
static Index blockIdx, gridDim;
static std::barrier<>* all_threads;

#define __global__
#define __device__
#define __launch_bounds__(threads)
// Blocks run one after the other, so that what a block shares can be what all share.
#define __shared__ static
#define __syncthreads() all_threads->arrive_and_wait()

#include "kernels.cu"

static void launch(Index grid, unsigned threads, const std::function<void()>& kernel) {
    gridDim = grid;
    for (unsigned y = 0; y < grid.y; y++) {
        for (unsigned x = 0; x < grid.x; x++) {
            blockIdx = {x, y};
            std::barrier<> barrier(threads);
            all_threads = &barrier;
            std::vector<std::thread> running;
            for (unsigned thread = 0; thread < threads; thread++) {
                running.emplace_back([thread, &kernel] {
                    threadIdx = {thread, 0};
                    kernel();
                });
            }
            for (auto& thread : running) thread.join();
        }
    }
}

template <typename T>
static std::vector<T> read() {
    uint32_t count = 0;
    if (fread(&count, sizeof count, 1, stdin) != 1) exit(2);
    std::vector<T> values(count);
    if (fread(values.data(), sizeof(T), count, stdin) != count) exit(2);
    return values;
}

static void write(const std::vector<float>& values) {
    if (fwrite(values.data(), sizeof(float), values.size(), stdout) != values.size()) exit(2);
}

int main(int, char** arguments) {
    if (std::string(arguments[1]) == "styled_norm") {
        auto x = read<float>(), gain = read<float>(), shift = read<float>(), alphas = read<float>();
        auto lens = read<uint32_t>();
        auto numbers = read<float>();
        unsigned channels = gain.size() / lens.size(), sequences = lens.size();
        unsigned pitch = x.size() / channels / sequences;
        std::vector<float> out(x.size(), NAN);
        launch({channels, sequences}, ROW_THREADS, [&] {
            styled_norm(x.data(), gain.data(), shift.data(), alphas.empty() ? nullptr : alphas.data(), lens.data(),
                        out.data(), pitch, numbers[0], numbers[1]);
        });
        write(out);
    } else {
        auto gates = read<float>(), recurrent = read<float>();
        auto starts = read<uint32_t>(), lens = read<uint32_t>();
        unsigned hidden = std::sqrt(recurrent.size() / 8);
        std::vector<float> out(gates.size() / 4, NAN);
        launch({2, (unsigned)lens.size()}, 4 * hidden, [&] {
            bidirectional_lstm(gates.data(), recurrent.data(), starts.data(), lens.data(), out.data(), hidden);
        });
        write(out);
    }
}

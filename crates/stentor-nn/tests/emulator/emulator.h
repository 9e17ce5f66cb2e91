// What the parts of the emulated card share: kernels by name, and work that is done at once or recorded.
#pragma once
#include <cstddef>
#include <cstring>
#include <functional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace emulator {

struct Grid {
    unsigned x, y, z;
};

// A kernel as the driver launches it: it knows how wide its arguments are, not what they are for.
struct Kernel {
    std::vector<size_t> widths;
    std::function<void(Grid grid, unsigned threads, void* const* arguments)> run;
};

void enlist(const char* name, Kernel kernel);

// Does `work` now, or when the graph is launched that its stream is recording.
void submit(void* stream, const std::string& name, std::function<void()> work);

template <class... A, size_t... I>
void call(void (*kernel)(A...), void* const* arguments, std::index_sequence<I...>) {
    kernel(*(A*)arguments[I]...);
}

template <class... A>
std::vector<size_t> widths_of(void (*)(A...)) {
    return {sizeof(A)...};
}

// Whether a stream takes no more work, for it or the card is out of order.
bool is_idle(void* stream);

// A kernel that does all of its grid's work when it is called.
template <class... A>
void enlist_whole(const char* name, void (*kernel)(A...)) {
    enlist(name, {widths_of(kernel), [=](Grid, unsigned, void* const* arguments) {
                      call(kernel, arguments, std::index_sequence_for<A...>());
                  }});
}

}  // namespace emulator

// Runs the kernels of conv.cu and pointwise.cu on the host: a kernel's name is the argument, its operands come in on stdin, what it wrote
// goes out on stdout.
#include "tensor_cores.h"

#include <map>

#include "conv.cu"
#include "pointwise.cu"

// Runs `kernel` with an output of `count` numbers.
static void run(size_t count, const std::function<void(float*)>& kernel) {
    std::vector<float> out(count, NAN);
    kernel(out.data());
    write(out);
}

template <typename Number>
using Kernel = void (*)(const float*, const Number*, const float*, const float*, float*, float*, Geometry);

static const std::map<std::string, Kernel<float>> SINGLE = {
    {"conv_single_wide", conv_single_wide},         {"conv_single_square", conv_single_square},
    {"conv_single_flat", conv_single_flat},         {"row_conv_single_wide", row_conv_single_wide},
    {"row_conv_single_square", row_conv_single_square},
};
static const std::map<std::string, Kernel<half>> HALF = {
    {"conv_half_wide", conv_half_wide},
    {"conv_half_square", conv_half_square},
    {"row_conv_half_wide", row_conv_half_wide},
    {"row_conv_half_square", row_conv_half_square},
};

template <typename Number>
static void convolve(Kernel<Number> kernel, bool by_rows) {
    auto numbers = read<unsigned>();
    Geometry g;
    if (numbers.size() * sizeof(unsigned) != sizeof g) exit(2);
    memcpy(&g, numbers.data(), sizeof g);
    auto grid = read<unsigned>();
    auto x = read<float>();
    auto weight = read<float>();
    auto bias = read<float>(), residual = read<float>();
    // As memory on a card is aligned.
    Number* converted = (Number*)aligned_alloc(256, (weight.size() * sizeof(Number) + 255) / 256 * 256);
    for (size_t i = 0; i < weight.size(); i++) {
        if constexpr (sizeof(Number) == 2) converted[i] = __float2half(weight[i]);
        else converted[i] = weight[i];
    }
    std::vector<float> partial(g.splits > 1 ? (size_t)g.splits * g.rows * g.columns : 0, NAN);
    run((size_t)g.rows / g.spread * g.total, [&](float* out) {
        launch({grid[0], grid[1], grid[2]}, grid[3], [&] {
            kernel(x.data(), converted, or_null(bias), or_null(residual), out, partial.data(), g);
        });
        if (g.splits == 1) return;
        launch({(g.rows * g.columns + 255) / 256, 1, 1}, 256, [&] {
            (by_rows ? row_conv_finish : conv_finish)(or_null(bias), or_null(residual), out, partial.data(), g);
        });
    });
    free(converted);
}

// Runs a kernel that has a thread for each number of its output.
static void run_points(unsigned count, const std::function<void(float*)>& kernel) {
    run(count, [&](float* out) {
        launch({(count + POINT_THREADS - 1) / POINT_THREADS, 1, 1}, POINT_THREADS, [&] { kernel(out); });
    });
}

static void pointwise(const std::string& name) {
    auto sizes = read<unsigned>();
    auto slopes = read<float>();
    auto x = read<float>();
    unsigned count = x.size(), columns = count / sizes[0];
    if (name == "activate") {
        auto alphas = read<float>();
        auto lens = read<unsigned>();
        run_points(count, [&](float* out) {
            activate(x.data(), or_null(alphas), or_null(lens), out, count, columns, sizes[1], sizes[2], slopes[0]);
        });
    } else if (name == "clear_rows") {
        auto lens = read<unsigned>();
        run_points(count, [&](float* out) { clear_rows(x.data(), lens.data(), out, count, columns, sizes[1]); });
    } else if (name.rfind("finish_", 0) == 0) {
        auto bias = read<float>(), other = read<float>();
        std::vector<half> halves(count), out_halves(count);
        for (unsigned i = 0; i < count; i++) halves[i] = __float2half(x[i]);
        run_points(count, [&](float* out) {
            if (name == "finish_rows") {
                finish_rows(x.data(), or_null(bias), or_null(other), out, count, columns, sizes[1], slopes[0]);
            } else if (name == "finish_half_rows") {
                finish_half_rows(halves.data(), or_null(bias), or_null(other), out, count, columns, sizes[1], slopes[0]);
            } else {
                half* to = out_halves.data();
                finish_half_rows_to_half(halves.data(), or_null(bias), or_null(other), to, count, columns, sizes[1], slopes[0]);
                unsigned place = blockIdx.x * POINT_THREADS + threadIdx.x;
                if (place < count) out[place] = __half2float(to[place]);
            }
        });
    } else if (name == "mean_of_three") {
        auto b = read<float>(), c = read<float>();
        run_points(count, [&](float* out) {
            mean_of_three(x.data(), b.data(), c.data(), out, count, 1.0f / 3.0f);
        });
    } else if (name == "repeat_twice") {
        run_points(2 * count, [&](float* out) { repeat_twice(x.data(), out, 2 * count, sizes[1]); });
    } else {
        auto weight = read<float>(), bias = read<float>();
        auto lens = read<unsigned>();
        run_points(2 * count, [&](float* out) {
            depthwise_upsample(x.data(), weight.data(), bias.data(), or_null(lens), out, 2 * count, columns, sizes[1]);
        });
    }
}

int main(int, char** arguments) {
    std::string name = arguments[1];
    backwards = std::string(arguments[2]) == "backwards";
    bool by_rows = name.rfind("row_", 0) == 0;
    if (SINGLE.count(name)) convolve(SINGLE.at(name), by_rows);
    else if (HALF.count(name)) convolve(HALF.at(name), by_rows);
    else pointwise(name);
}

// The kernels of `attention.cu` on the host: a kernel's name and the order of threads are arguments, its numbers come in on stdin, what it
// wrote goes out on stdout, and nobody's rows keep what was there.
#include "tensor_cores.h"

#include "attention.cu"

// As memory on a card is aligned.
template <typename Number>
struct Aligned {
    std::vector<float> given;
    Number* numbers;

    Aligned(std::vector<float> values) : given(std::move(values)) {
        numbers = (Number*)aligned_alloc(256, (given.size() * sizeof(Number) / 256 + 1) * 256);
        for (size_t i = 0; i < given.size(); i++) {
            if constexpr (sizeof(Number) == 2) numbers[i] = __float2half(given[i]);
            else numbers[i] = given[i];
        }
    }
    ~Aligned() { free(numbers); }
};

int main(int, char** arguments) {
    std::string name = arguments[1];
    backwards = std::string(arguments[2]) == "backwards";
    auto sizes = read<uint32_t>(), starts = read<uint32_t>(), lens = read<uint32_t>();
    unsigned heads = sizes[0], width = sizes[1], sequences = sizes[2], pitch = sizes[3], hidden = heads * width;
    auto qkv = read<float>();
    Aligned<float> distances(read<float>()), key_bias(read<float>()), distance_bias(read<float>());
    unsigned rows = qkv.size() / (3 * hidden);
    const unsigned *begins = or_null(starts), *ends = or_null(lens);
    float scale = M_LOG2E / sqrt(width);
    Index grid = {(pitch + QUERIES - 1) / QUERIES, heads, sequences};
    std::vector<float> out(rows * hidden, NAN);
    if (name == "attend_half_64") {
        Aligned<half> numbers(qkv), wrote(out);
        launch(grid, ATTEND_THREADS, [&] { attend_half_64(numbers.numbers, wrote.numbers, ends, pitch, 3 * hidden, scale); });
        for (size_t i = 0; i < out.size(); i++) out[i] = __half2float(wrote.numbers[i]);
    } else {
        Aligned<float> numbers(qkv), wrote(out);
        auto kernel = name == "attend_single_64" ? attend_single_64 : name == "attend_single_32" ? attend_single_32 : attend_relative_64;
        const float* q = numbers.numbers;
        launch(grid, ATTEND_THREADS, [&] {
            kernel(q, q + hidden, q + 2 * hidden, wrote.numbers, begins, ends, distances.numbers, key_bias.numbers,
                   distance_bias.numbers, pitch, 3 * hidden, scale);
        });
        out.assign(wrote.numbers, wrote.numbers + out.size());
    }
    write(out);
}

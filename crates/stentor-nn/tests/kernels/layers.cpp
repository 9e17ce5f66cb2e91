// Runs the card's kernels on the host. A kernel's name and numbers come in on stdin, what it wrote goes out on stdout.
#include "card.h"

#include "kernels.cu"

int main(int, char** arguments) {
    backwards = std::string(arguments[2]) == "backwards";
    if (std::string(arguments[1]) == "styled_norm") {
        auto x = read<float>(), styles = read<float>(), weight = read<float>(), bias = read<float>();
        auto alphas = read<float>();
        auto lens = read<uint32_t>();
        auto numbers = read<float>();
        unsigned channels = bias.size() / 2, sequences = lens.size();
        unsigned pitch = x.size() / channels / sequences, style = styles.size() / sequences;
        std::vector<float> out(x.size(), NAN);
        launch({channels, sequences, 1}, ROW_THREADS, [&] {
            styled_norm(x.data(), styles.data(), weight.data(), bias.data(), alphas.empty() ? nullptr : alphas.data(),
                        lens.data(), out.data(), pitch, style, numbers[0], numbers[1]);
        });
        write(out);
    } else if (std::string(arguments[1]).rfind("layer_norm", 0) == 0) {
        auto x = read<float>(), gain = read<float>(), shift = read<float>(), offset = read<float>(), numbers = read<float>();
        auto activation = read<uint32_t>(), lens = read<uint32_t>();
        unsigned columns = gain.size(), rows = x.size() / columns;
        std::vector<float> out(x.size(), NAN);
        std::vector<half> halves(x.size());
        bool is_half = std::string(arguments[1]) == "layer_norm_to_half";
        unsigned pitch = rows / (lens.empty() ? 1 : lens.size());
        launch({rows, 1, 1}, LAYER_THREADS, [&] {
            if (is_half) {
                layer_norm_to_half(x.data(), gain.data(), shift.data(), or_null(offset), or_null(lens), halves.data(), columns,
                                   pitch, activation[0], numbers[0], numbers[1]);
            } else {
                layer_norm(x.data(), gain.data(), shift.data(), or_null(offset), or_null(lens), out.data(), columns, pitch,
                           activation[0], numbers[0], numbers[1]);
            }
        });
        for (size_t i = 0; is_half && i < out.size(); i++) out[i] = __half2float(halves[i]);
        write(out);
    } else if (std::string(arguments[1]).rfind("add_layer_norm", 0) == 0) {
        auto product = read<float>(), bias = read<float>(), other = read<float>(), gain = read<float>(), shift = read<float>();
        auto numbers = read<float>();
        unsigned columns = gain.size(), rows = product.size() / columns;
        std::vector<float> sum(product.size(), NAN), out(product.size(), NAN);
        std::vector<half> halves(product.size()), out_halves(product.size());
        for (size_t i = 0; i < halves.size(); i++) halves[i] = __float2half(product[i]);
        bool is_half = std::string(arguments[1]) == "add_layer_norm_halves";
        launch({rows, 1, 1}, LAYER_THREADS, [&] {
            if (is_half) {
                add_layer_norm_halves(halves.data(), or_null(bias), other.data(), gain.data(), shift.data(), sum.data(),
                                      out_halves.data(), columns, numbers[0]);
            } else {
                add_layer_norm(product.data(), or_null(bias), other.data(), gain.data(), shift.data(), sum.data(), out.data(),
                               columns, numbers[0]);
            }
        });
        for (size_t i = 0; is_half && i < out.size(); i++) out[i] = __half2float(out_halves[i]);
        write(sum);
        write(out);
    } else {
        auto gates = read<float>(), recurrent = read<float>();
        auto starts = read<uint32_t>(), lens = read<uint32_t>();
        unsigned hidden = std::sqrt(recurrent.size() / 8);
        std::vector<float> out(gates.size() / 4, NAN);
        launch({2, (unsigned)lens.size(), 1}, 4 * hidden, [&] {
            bidirectional_lstm(gates.data(), recurrent.data(), starts.data(), lens.data(), out.data(), hidden);
        });
        write(out);
    }
}

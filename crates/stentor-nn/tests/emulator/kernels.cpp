// Kernels of ours on the emulated card: compiled once for each file of them, which is named by a macro.
#include "../kernels/tensor_cores.h"

#include KERNELS

#include "emulator.h"

template <class... A>
static void enlist(const char* name, void (*kernel)(A...)) {
    emulator::enlist(name, {emulator::widths_of(kernel), [=](emulator::Grid grid, unsigned threads, void* const* arguments) {
                                launch({grid.x, grid.y, grid.z}, threads, [&] {
                                    emulator::call(kernel, arguments, std::index_sequence_for<A...>());
                                });
                            }});
}

#define ENLIST(kernel) enlist(#kernel, kernel)

__attribute__((constructor)) static void enlist_all() {
#if defined(OF_KERNELS)
    ENLIST(styled_norm), ENLIST(layer_norm), ENLIST(layer_norm_to_half), ENLIST(add_layer_norm);
    ENLIST(add_layer_norm_halves), ENLIST(bidirectional_lstm);
#elif defined(OF_CONV)
    ENLIST(conv_single_wide), ENLIST(conv_single_square), ENLIST(conv_single_flat), ENLIST(row_conv_single_wide);
    ENLIST(row_conv_single_square), ENLIST(conv_half_wide), ENLIST(conv_half_square), ENLIST(row_conv_half_wide);
    ENLIST(row_conv_half_square), ENLIST(conv_finish), ENLIST(row_conv_finish);
#elif defined(OF_POINTWISE)
    ENLIST(activate), ENLIST(finish_rows), ENLIST(finish_half_rows), ENLIST(finish_half_rows_to_half), ENLIST(clear_rows);
    ENLIST(mean_of_three), ENLIST(repeat_twice), ENLIST(depthwise_upsample);
#elif defined(OF_ATTENTION)
    ENLIST(attend_half_64), ENLIST(attend_single_64), ENLIST(attend_single_32), ENLIST(attend_relative_64);
#elif defined(OF_DECODE)
    ENLIST(products_f32_1), ENLIST(products_f32_2), ENLIST(products_f32_4), ENLIST(products_f32_8), ENLIST(products_f16_1);
    ENLIST(products_f16_2), ENLIST(products_f16_4), ENLIST(products_f16_8), ENLIST(row_norm), ENLIST(attend_f32);
    ENLIST(attend_f16), ENLIST(look_f32), ENLIST(look_f16), ENLIST(mean_of_looks);
#elif defined(OF_DRAW)
    ENLIST(draw_tokens);
#endif
}

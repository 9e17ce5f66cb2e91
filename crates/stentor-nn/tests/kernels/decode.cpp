// The kernels of `decode.cu` and `draw.cu` on the host: a kernel's name, its weights' type and the order of threads are arguments,
// its numbers come in on stdin, what it wrote goes out on stdout.
#include "card.h"

#include "decode.cu"
#undef ALL_LANES
#include "draw.cu"

static std::vector<__half> stored_as(const __half*, const std::vector<float>& values) {
    std::vector<__half> halves;
    for (float value : values) halves.push_back(__float2half_rn(value));
    return halves;
}
static std::vector<float> stored_as(const float*, const std::vector<float>& values) { return values; }
static float widened(float x) { return x; }
static float widened(__half x) { return __half2float(x); }

template <typename T>
static void run_products() {
    auto weight = stored_as((T*)nullptr, read<float>());
    auto x = read<float>(), gain = read<float>(), bias = read<float>(), out = read<float>(), eps = read<float>();
    auto sizes = read<uint32_t>();
    unsigned rows = sizes[0], depth = sizes[1], outs = sizes[2], split = sizes[3], then = sizes[4], tile = sizes[5];
    Products p = {weight.data(), x.data(), gain.empty() ? nullptr : gain.data(), bias.empty() ? nullptr : bias.data(), out.data(),
                  rows, depth, outs, split, then, eps[0]};
    unsigned each = PRODUCT_WARPS / split * OUTS;
    launch({(rows + tile - 1) / tile, (outs + each - 1) / each, 1}, PRODUCT_THREADS, [&] {
        if (tile == 1) products<T, 1>(p);
        if (tile == 2) products<T, 2>(p);
        if (tile == 4) products<T, 4>(p);
        if (tile == 8) products<T, 8>(p);
    });
    write(out);
}

// Rows of caches in `store`: where they begin (or the largest integer: there is none), part, capacity and length.
template <typename T>
static std::vector<Row> rows_of(const std::vector<uint32_t>& places, std::vector<T>& store) {
    std::vector<Row> rows;
    for (size_t i = 0; i < places.size(); i += 4) {
        void* keys = places[i] == UINT32_MAX ? nullptr : store.data() + places[i];
        rows.push_back({keys, places[i + 1], places[i + 2], places[i + 3], 0});
    }
    return rows;
}

template <typename T>
static void run_attention() {
    auto qkv = read<float>();
    auto store = stored_as((T*)nullptr, read<float>());
    auto rows = rows_of(read<uint32_t>(), store);
    auto cos = read<float>(), sin = read<float>();
    auto watched = read<uint32_t>(), list = read<uint32_t>(), sizes = read<uint32_t>();
    unsigned heads = sizes[0], layer = sizes[1], stride = sizes[2], slots = list.size();
    std::vector<float> partials(rows.size() * heads * SPLITS * (HEAD + 2), NAN), out(rows.size() * heads * HEAD, NAN);
    std::vector<unsigned> arrived(rows.size() * heads, 0);
    std::vector<float> totals(rows.size() * heads * 2, NAN);
    const float *c = cos.empty() ? nullptr : cos.data(), *s = sin.empty() ? nullptr : sin.data();
    Attention a = {qkv.data(), rows.data(), c, s, partials.data(), arrived.data(), out.data(), totals.data(), heads, layer};
    launch({SPLITS, heads, (unsigned)rows.size()}, ATTENTION_THREADS, [&] { attend<T>(a); });
    for (unsigned left : arrived) {
        if (left) exit(4);
    }
    write(out);
    std::vector<float> seen(slots * stride, NAN), mean(stride, NAN);
    const Watched* caches = (const Watched*)watched.data();
    unsigned count = watched.size() / 4;
    Looks l = {qkv.data(), rows.data(), c, s, caches, list.data(), totals.data(), seen.data(), heads, layer, 0, stride};
    launch({slots, count, 1}, ATTENTION_THREADS, [&] { look<T>(l); });
    launch({count, 1, 1}, NORM_THREADS, [&] { mean_of_looks(caches, seen.data(), mean.data(), slots, stride); });
    write(mean);
    std::vector<float> kept;
    for (T value : store) kept.push_back(widened(value));
    write(kept);
}

static void run_norm() {
    auto x = read<float>(), gain = read<float>(), shift = read<float>(), eps = read<float>();
    unsigned width = gain.size(), rows = x.size() / width;
    std::vector<float> out(x.size(), NAN);
    launch({rows, 1, 1}, NORM_THREADS, [&] { row_norm(x.data(), gain.data(), shift.data(), out.data(), width, eps[0]); });
    write(out);
}

// Draws as they lie in the card's memory.
static void run_draw() {
    auto logits = read<float>();
    auto bytes = read<uint32_t>(), sizes = read<uint32_t>();
    std::vector<Draw> draws(bytes.size() * sizeof(uint32_t) / sizeof(Draw));
    if (bytes.size() * sizeof(uint32_t) != draws.size() * sizeof(Draw)) exit(5);
    memcpy((void*)draws.data(), bytes.data(), draws.size() * sizeof(Draw));
    std::vector<int> tokens(draws.size(), -99);
    Drawing d = {logits.data(), draws.data(), tokens.data(), sizes[0], sizes[1], sizes[2]};
    launch({(unsigned)draws.size(), 1, 1}, DRAW_THREADS, [&] { draw_tokens(d); });
    write(std::vector<float>(tokens.begin(), tokens.end()));
}

// Operands as they lie in the card's memory: places, then words.
template <typename T>
static T operands_of(const std::vector<uint64_t>& places, const std::vector<uint32_t>& words) {
    T operands;
    if (places.size() * 8 + words.size() * 4 > sizeof operands || places.size() * 8 + words.size() * 4 + 8 <= sizeof operands) exit(6);
    memcpy((void*)&operands, places.data(), places.size() * 8);
    memcpy((char*)&operands + places.size() * 8, words.data(), words.size() * 4);
    return operands;
}

static void run_launch(unsigned kernel, Index grid, unsigned threads, const std::vector<uint64_t>& at, const std::vector<uint32_t>& words) {
    static void (*const all_products[])(Products) = {products_f32_1, products_f32_2, products_f32_4, products_f32_8,
                                                     products_f16_1, products_f16_2, products_f16_4, products_f16_8};
    auto floats = [&](unsigned i) { return (float*)at[i]; };
    if (kernel < 8) {
        auto p = operands_of<Products>(at, words);
        launch(grid, threads, [&] { all_products[kernel](p); });
    } else if (kernel == 8) {
        float eps = __uint_as_float(words[1]);
        launch(grid, threads, [&] { row_norm(floats(0), floats(1), floats(2), floats(3), words[0], eps); });
    } else if (kernel < 11) {
        auto a = operands_of<Attention>(at, words);
        launch(grid, threads, [&] { kernel == 9 ? attend_f32(a) : attend_f16(a); });
    } else if (kernel < 13) {
        auto l = operands_of<Looks>(at, words);
        launch(grid, threads, [&] { kernel == 11 ? look_f32(l) : look_f16(l); });
    } else if (kernel == 13) {
        launch(grid, threads, [&] { mean_of_looks((Watched*)at[0], floats(1), floats(2), words[0], words[1]); });
    } else {
        auto d = operands_of<Drawing>(at, words);
        launch(grid, threads, [&] { draw_tokens(d); });
    }
}

// A whole step over a memory of which places are offsets: launches one after the other, then all of the memory goes out.
static void run_plan() {
    auto sent = read<uint32_t>(), rows = read<uint32_t>(), launches = read<uint32_t>();
    char* memory = (char*)aligned_alloc(64, (sent.size() * 4 + 63) / 64 * 64);
    memcpy(memory, sent.data(), sent.size() * 4);
    for (unsigned i = 0; i < rows[1]; i++) {
        Row* row = (Row*)(memory + rows[0]) + i;
        if (row->keys) row->keys = memory + (uint64_t)row->keys;
    }
    for (size_t at = 0; at < launches.size();) {
        const uint32_t* head = launches.data() + at;
        std::vector<uint64_t> places;
        for (unsigned i = 0; i < head[5]; i++) places.push_back(head[7 + i] ? (uint64_t)(memory + head[7 + i]) : 0);
        std::vector<uint32_t> words(head + 7 + head[5], head + 7 + head[5] + head[6]);
        run_launch(head[0], {head[1], head[2], head[3]}, head[4], places, words);
        at += 7 + head[5] + head[6];
    }
    // As they were, so that the order of threads is all that could make a difference.
    for (unsigned i = 0; i < rows[1]; i++) {
        Row* row = (Row*)(memory + rows[0]) + i;
        if (row->keys) row->keys = (void*)((char*)row->keys - memory);
    }
    if (fwrite(memory, 4, sent.size(), stdout) != sent.size()) exit(2);
}

int main(int, char** arguments) {
    std::string kernel = arguments[1];
    bool halves = std::string(arguments[2]) == "f16";
    backwards = std::string(arguments[3]) == "backwards";
    if (kernel == "products") halves ? run_products<__half>() : run_products<float>();
    if (kernel == "attention") halves ? run_attention<__half>() : run_attention<float>();
    if (kernel == "norm") run_norm();
    if (kernel == "draw") run_draw();
    if (kernel == "plan") run_plan();
}

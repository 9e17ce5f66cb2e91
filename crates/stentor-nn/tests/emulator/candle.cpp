// What our layers use of candle's own kernels, by candle's names and arguments. They are candle's to test; these only have to be right.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "emulator.h"

using half = _Float16;

// Dimensions and up to three lists of strides, or nothing where all is contiguous.
struct Shape {
    size_t count;
    const size_t* info;

    // Where the `index`-th number is by the `list`-th strides.
    size_t place(size_t index, unsigned list = 0) const {
        if (!info) return index;
        size_t at = 0;
        for (size_t dim = count; dim-- > 0; index /= info[dim]) at += index % info[dim] * info[(1 + list) * count + dim];
        return at;
    }
};

template <class T, class F>
static void unary(size_t numel, Shape shape, const T* x, T* out, F f) {
    for (size_t i = 0; i < numel; i++) out[i] = f(x ? x[shape.place(i)] : out[i]);
}
#define UNARY_OF(name, T, expression)                                                    \
    static void name(size_t numel, size_t dims, const size_t* info, const T* in, T* out) { \
        unary(numel, {dims, info}, in, out, [](float x) -> T { return expression; });    \
    }
#define UNARY(name, expression) UNARY_OF(name##_f32, float, expression) UNARY_OF(name##_f16, half, expression)
#define COPY(name, T)                                                                    \
    static void name(size_t numel, size_t dims, const size_t* info, const T* in, T* out) { \
        unary(numel, {dims, info}, in, out, [](T x) { return x; });                      \
    }
UNARY(uneg, -x)
UNARY(urecip, 1 / x)
UNARY(uexp, std::exp(x))
UNARY(ulog, std::log(x))
UNARY(usin, std::sin(x))
UNARY(ucos, std::cos(x))
UNARY(utanh, std::tanh(x))
UNARY(uabs, std::fabs(x))
UNARY(usqr, x* x)
UNARY(usqrt, std::sqrt(x))
UNARY(urelu, std::max(x, 0.0f))
UNARY(usilu, x / (1 + std::exp(-x)))
UNARY(usigmoid, 1 / (1 + std::exp(-x)))
UNARY(uround, std::round(x))
UNARY(ufloor, std::floor(x))
UNARY(ugelu, 0.5f * x * (1 + std::tanh(0.7978845608f * (x + 0.044715f * x * x * x))))
UNARY(ugelu_erf, 0.5f * x * (1 + std::erf(x * 0.7071067812f)))
COPY(ucopy_f32, float)
COPY(ucopy_f16, half)
COPY(ucopy_u32, uint32_t)
COPY(ucopy_u8, uint8_t)
COPY(ucopy_i64, int64_t)

#define WITH_NUMBER(name, T, expression)                                                            \
    static void name(size_t numel, size_t dims, const size_t* info, T number, const T* in, T* out) { \
        float n = number;                                                                           \
        unary(numel, {dims, info}, in, out, [=](float x) -> T { return expression; });              \
    }
WITH_NUMBER(uelu_f32, float, x > 0 ? x : n * (std::exp(x) - 1))
WITH_NUMBER(upowf_f32, float, std::pow(x, n))

#define AFFINE(name, T)                                                                                     \
    static void name(size_t numel, size_t dims, const size_t* info, const T* in, T* out, T scale, T shift) { \
        unary(numel, {dims, info}, in, out, [=](T x) -> T { return x * scale + shift; });                   \
    }
AFFINE(affine_f32, float)
AFFINE(affine_f16, half)
AFFINE(affine_u32, uint32_t)

#define BINARY_OF(name, T, U, expression)                                                                  \
    static void name(size_t numel, size_t dims, const size_t* info, const T* left, const T* right, U* out) { \
        Shape shape = {dims, info};                                                                        \
        for (size_t i = 0; i < numel; i++) {                                                               \
            T x = left[shape.place(i)], y = right[shape.place(i, 1)];                                      \
            out[i] = expression;                                                                           \
        }                                                                                                  \
    }
#define BINARY(name, expression)                \
    BINARY_OF(name##_f32, float, float, expression) \
    BINARY_OF(name##_f16, half, half, expression)   \
    BINARY_OF(name##_u32, uint32_t, uint32_t, expression)
#define COMPARE(name, sign)                     \
    BINARY_OF(name##_f32, float, uint8_t, x sign y) \
    BINARY_OF(name##_u32, uint32_t, uint8_t, x sign y)
BINARY(badd, x + y)
BINARY(bsub, x - y)
BINARY(bmul, x* y)
BINARY(bdiv, x / y)
BINARY(bmaximum, std::max(x, y))
BINARY(bminimum, std::min(x, y))
COMPARE(eq, ==)
COMPARE(ne, !=)
COMPARE(lt, <)
COMPARE(le, <=)
COMPARE(gt, >)
COMPARE(ge, >=)

template <class T, class U>
static void cast(size_t numel, size_t dims, const size_t* info, const T* in, U* out) {
    Shape shape = {dims, info};
    for (size_t i = 0; i < numel; i++) out[i] = (U)in[shape.place(i)];
}

template <class T>
static void where(size_t numel, size_t dims, const size_t* info, const uint8_t* flags, const T* yes, const T* no, T* out) {
    Shape shape = {dims, info};
    for (size_t i = 0; i < numel; i++) out[i] = flags[shape.place(i)] ? yes[shape.place(i, 1)] : no[shape.place(i, 2)];
}

template <class T, class I>
static void index_select(size_t numel, size_t, const size_t*, const I* ids, const T* in, T* out, size_t, size_t src_dim, size_t ids_dim,
                         size_t right) {
    for (size_t i = 0; i < numel; i++) {
        size_t id = ids[i / right % ids_dim];
        if (id >= src_dim) fprintf(stderr, "index_select: %zu of %zu\n", id, src_dim), abort();
        out[i] = in[(i / right / ids_dim * src_dim + id) * right + i % right];
    }
}

template <class T, class I>
static void gather(size_t numel, const I* ids, const T* in, T* out, size_t, size_t src_dim, size_t ids_dim, size_t right) {
    for (size_t i = 0; i < numel; i++) {
        if (ids[i] >= src_dim) fprintf(stderr, "gather: %zu of %zu\n", (size_t)ids[i], src_dim), abort();
        out[i] = in[(i / (right * ids_dim) * src_dim + ids[i]) * right + i % right];
    }
}

// Each output is of the same number of inputs, one after the other.
template <class T, class U, class F>
static void reduce(size_t outputs, size_t each, Shape shape, const T* in, U* out, F f) {
    for (size_t o = 0; o < outputs; o++) {
        f(out[o], [&](size_t i) { return in[shape.place(o * each + i)]; });
    }
}
#define REDUCE(name, T, U, statement)                                                                          \
    static void name(size_t numel, size_t each, size_t dims, const size_t* info, const T* in, U* out) {        \
        reduce(numel / each, each, {dims, info}, in, out, [=](U & out, auto at) { statement; });               \
    }
template <class A>
static double sum_of(size_t each, A at) {
    double sum = 0;
    for (size_t i = 0; i < each; i++) sum += at(i);
    return sum;
}
template <class A, class B>
static size_t best_of(size_t each, A at, B better) {
    size_t best = 0;
    for (size_t i = 1; i < each; i++)
        if (better(at(i), at(best))) best = i;
    return best;
}
REDUCE(fast_sum_f32, float, float, out = sum_of(each, at))
REDUCE(fast_sum_f16, half, half, out = (half)sum_of(each, at))
REDUCE(fast_max_f32, float, float, out = at(best_of(each, at, [](auto a, auto b) { return a > b; })))
REDUCE(fast_min_f32, float, float, out = at(best_of(each, at, [](auto a, auto b) { return a < b; })))
REDUCE(fast_argmax_f32, float, uint32_t, out = best_of(each, at, [](auto a, auto b) { return a > b; }))
REDUCE(fast_argmin_f32, float, uint32_t, out = best_of(each, at, [](auto a, auto b) { return a < b; }))
static void fast_sum_small_f32(size_t outputs, size_t each, size_t dims, const size_t* info, const float* in, float* out) {
    fast_sum_f32(outputs * each, each, dims, info, in, out);
}
static void fast_sum_small_f16(size_t outputs, size_t each, size_t dims, const size_t* info, const half* in, half* out) {
    fast_sum_f16(outputs * each, each, dims, info, in, out);
}

template <class T>
static void fill(T* out, T value, size_t numel) {
    std::fill(out, out + numel, value);
}
template <class T>
static void const_set(size_t numel, size_t dims, const size_t* info, T value, T* out) {
    Shape shape = {dims, info};
    for (size_t i = 0; i < numel; i++) out[shape.place(i)] = value;
}
template <class T>
static void copy2d(const T* from, T* to, uint32_t rows, uint32_t columns, uint32_t from_pitch, uint32_t to_pitch) {
    for (size_t row = 0; row < rows; row++) std::copy_n(from + row * from_pitch, columns, to + row * to_pitch);
}

// One row for each block.
template <class T>
static void softmax(const T* in, T* out, int columns, size_t row) {
    in += row * columns, out += row * columns;
    float most = -INFINITY, sum = 0;
    for (int i = 0; i < columns; i++) most = std::max(most, (float)in[i]);
    for (int i = 0; i < columns; i++) sum += std::exp((float)in[i] - most);
    for (int i = 0; i < columns; i++) out[i] = (T)(std::exp((float)in[i] - most) / sum);
}
template <class T>
static void enlist_softmax(const char* name) {
    emulator::enlist(name, {{sizeof(T*), sizeof(T*), sizeof(int)}, [](emulator::Grid grid, unsigned, void* const* a) {
                                for (size_t row = 0; row < grid.x; row++) softmax(*(T**)a[0], *(T**)a[1], *(int*)a[2], row);
                            }});
}

#define ENLIST(kernel) emulator::enlist_whole(#kernel, kernel)
#define ENLIST_AS(name, kernel) emulator::enlist_whole(name, kernel)
#define BOTH(name) ENLIST(name##_f32), ENLIST(name##_f16)
#define NUMBERS(name) BOTH(name), ENLIST(name##_u32)
#define COMPARISON(name) ENLIST(name##_f32), ENLIST(name##_u32)
#define OF_TYPES(name, kernel)                                                                                       \
    ENLIST_AS(name "_f32", kernel<float>), ENLIST_AS(name "_f16", kernel<half>), ENLIST_AS(name "_u32", kernel<uint32_t>), \
        ENLIST_AS(name "_u8", kernel<uint8_t>), ENLIST_AS(name "_i64", kernel<int64_t>)

__attribute__((constructor)) static void enlist_all() {
    BOTH(uneg), BOTH(urecip), BOTH(uexp), BOTH(ulog), BOTH(usin), BOTH(ucos), BOTH(utanh), BOTH(uabs), BOTH(usqr);
    BOTH(usqrt), BOTH(urelu), BOTH(usilu), BOTH(usigmoid), BOTH(uround), BOTH(ufloor), BOTH(ugelu), BOTH(ugelu_erf);
    NUMBERS(ucopy), ENLIST(ucopy_u8), ENLIST(ucopy_i64), ENLIST(uelu_f32), ENLIST(upowf_f32), NUMBERS(affine);
    NUMBERS(badd), NUMBERS(bsub), NUMBERS(bmul), NUMBERS(bdiv), NUMBERS(bmaximum), NUMBERS(bminimum);
    COMPARISON(eq), COMPARISON(ne), COMPARISON(lt), COMPARISON(le), COMPARISON(gt), COMPARISON(ge);
    ENLIST_AS("cast_f32_f16", (cast<float, half>)), ENLIST_AS("cast_f16_f32", (cast<half, float>));
    ENLIST_AS("cast_f32_u32", (cast<float, uint32_t>)), ENLIST_AS("cast_u32_f32", (cast<uint32_t, float>));
    ENLIST_AS("cast_u8_f32", (cast<uint8_t, float>)), ENLIST_AS("cast_u32_u8", (cast<uint32_t, uint8_t>));
    ENLIST_AS("cast_u32_i64", (cast<uint32_t, int64_t>)), ENLIST_AS("cast_i64_f32", (cast<int64_t, float>));
    ENLIST_AS("where_u8_f32", where<float>), ENLIST_AS("where_u8_f16", where<half>);
    ENLIST_AS("is_u32_f32", (index_select<float, uint32_t>)), ENLIST_AS("is_u32_f16", (index_select<half, uint32_t>));
    ENLIST_AS("is_u32_u32", (index_select<uint32_t, uint32_t>)), ENLIST_AS("gather_u32_f32", (gather<float, uint32_t>));
    BOTH(fast_sum), BOTH(fast_sum_small), ENLIST(fast_max_f32), ENLIST(fast_min_f32), ENLIST(fast_argmax_f32);
    ENLIST(fast_argmin_f32), enlist_softmax<float>("softmax_f32"), enlist_softmax<half>("softmax_f16");
    OF_TYPES("fill", fill), OF_TYPES("const_set", const_set), OF_TYPES("copy2d", copy2d);
}

// WebAssembly's 128-bit vectors: four for the 16 lanes. Compiled once with relaxed SIMD
// (SOPI_RELAXED) and once without.
#include "kernel.hpp"

#include <cstddef>
#include <cstring>
#include <wasm_simd128.h>

namespace sopi {
namespace {

struct Floats {
    v128_t p[4];
};
struct Ints {
    v128_t p[4];
};
struct Bytes {
    v128_t p[4];
};
constexpr int kSums = 4;
constexpr int most_voices(Form) { return 4; }

template <typename To, typename Part> inline To each(Part &&part) { return {{part(0), part(1), part(2), part(3)}}; }

inline Floats load(const float *p)
{
    return each<Floats>([&](int i) { return wasm_v128_load(p + 4 * i); });
}
inline Floats all(float x)
{
    return each<Floats>([&](int) { return wasm_f32x4_splat(x); });
}
inline void store(float *p, Floats x)
{
    for (int i = 0; i < 4; i++) wasm_v128_store(p + 4 * i, x.p[i]);
}
inline Floats add(Floats a, Floats b)
{
    return each<Floats>([&](int i) { return wasm_f32x4_add(a.p[i], b.p[i]); });
}
inline Floats minus(Floats a, Floats b)
{
    return each<Floats>([&](int i) { return wasm_f32x4_sub(a.p[i], b.p[i]); });
}
inline Floats times(Floats a, Floats b)
{
    return each<Floats>([&](int i) { return wasm_f32x4_mul(a.p[i], b.p[i]); });
}
inline Floats over(Floats a, Floats b)
{
    return each<Floats>([&](int i) { return wasm_f32x4_div(a.p[i], b.p[i]); });
}
// a < b ? a : b, as x86 has it in one instruction
inline Floats smaller(Floats a, Floats b)
{
    return each<Floats>([&](int i) { return wasm_f32x4_pmin(b.p[i], a.p[i]); });
}
inline Floats larger(Floats a, Floats b)
{
    return each<Floats>([&](int i) { return wasm_f32x4_pmax(b.p[i], a.p[i]); });
}
inline Floats magnitude(Floats x)
{
    return each<Floats>([&](int i) { return wasm_f32x4_abs(x.p[i]); });
}
inline Ints load_ints(const int32_t *p)
{
    return each<Ints>([&](int i) { return wasm_v128_load(p + 4 * i); });
}
inline Ints all_ints(int32_t x)
{
    return each<Ints>([&](int) { return wasm_i32x4_splat(x); });
}
inline Ints add(Ints a, Ints b)
{
    return each<Ints>([&](int i) { return wasm_i32x4_add(a.p[i], b.p[i]); });
}
inline Floats to_floats(Ints x)
{
    return each<Floats>([&](int i) { return wasm_f32x4_convert_i32x4(x.p[i]); });
}
inline Ints scale_by(Ints x, const int8_t *s)
{
    const v128_t sixteen = wasm_v128_load(s), a = wasm_i16x8_extend_low_i8x16(sixteen),
                 b = wasm_i16x8_extend_high_i8x16(sixteen);
    return {{wasm_i32x4_mul(x.p[0], wasm_i32x4_extend_low_i16x8(a)),
             wasm_i32x4_mul(x.p[1], wasm_i32x4_extend_high_i16x8(a)),
             wasm_i32x4_mul(x.p[2], wasm_i32x4_extend_low_i16x8(b)),
             wasm_i32x4_mul(x.p[3], wasm_i32x4_extend_high_i16x8(b))}};
}
inline Ints nearest(Floats x) // of |x| < 2^22: the low bits of the sum are the integer
{
    const v128_t magic = wasm_f32x4_splat(12582912.0f);
    return each<Ints>([&](int i) { return wasm_i32x4_sub(wasm_f32x4_add(x.p[i], magic), magic); });
}
inline Floats two_to_the(Ints x)
{
    return each<Floats>([&](int i) { return wasm_i32x4_shl(wasm_i32x4_add(x.p[i], wasm_i32x4_splat(127)), 23); });
}
inline void store_bytes(int8_t *p, Ints x)
{
    wasm_v128_store(
        p, wasm_i8x16_narrow_i16x8(wasm_i16x8_narrow_i32x4(x.p[0], x.p[1]), wasm_i16x8_narrow_i32x4(x.p[2], x.p[3])));
}
inline int32_t total(Ints x)
{
    const v128_t s = wasm_i32x4_add(wasm_i32x4_add(x.p[0], x.p[1]), wasm_i32x4_add(x.p[2], x.p[3]));
    return wasm_i32x4_extract_lane(s, 0) + wasm_i32x4_extract_lane(s, 1) + wasm_i32x4_extract_lane(s, 2) +
           wasm_i32x4_extract_lane(s, 3);
}

inline Bytes bytes(const uint8_t *p)
{
    return each<Bytes>([&](int i) { return wasm_v128_load(p + 16 * i); });
}
inline Bytes low(Bytes x)
{
    return each<Bytes>([&](int i) { return wasm_v128_and(x.p[i], wasm_i8x16_splat(15)); });
}
inline Bytes high(Bytes x)
{
    return each<Bytes>([&](int i) { return wasm_u8x16_shr(x.p[i], 4); });
}
inline v128_t four(const int8_t *x) { return wasm_v128_load32_splat(x); }

#ifdef SOPI_RELAXED
// The second operand is of 7 bits, so that every engine means the same by it: the weights, as two halves of four bits.
inline v128_t dot_low(v128_t sum, v128_t w, v128_t x) { return wasm_i32x4_relaxed_dot_i8x16_i7x16_add(x, w, sum); }
inline Bytes weights(const uint8_t *p) { return bytes(p); }
inline Ints dot(Ints sum, Bytes w, const int8_t *x)
{
    const v128_t xs = four(x), zero = wasm_i32x4_splat(0);
    const Bytes l = low(w), h = high(w);
    return each<Ints>([&](int i) {
        const v128_t sixteens = wasm_i32x4_shl(dot_low(zero, h.p[i], xs), 4);
        return wasm_i32x4_add(dot_low(sum.p[i], l.p[i], xs), sixteens);
    });
}
inline Ints dot_offset(Ints x)
{
    return each<Ints>([&](int i) { return wasm_i32x4_mul(x.p[i], wasm_i32x4_splat(-128)); });
}
inline Ints part_dot(Ints sum, Bytes w, const int8_t *x)
{
    const v128_t xs = four(x);
    return each<Ints>([&](int i) { return dot_low(sum.p[i], w.p[i], xs); });
}
#else
inline Bytes weights(const uint8_t *p)
{
    return each<Bytes>([&](int i) { return wasm_v128_xor(wasm_v128_load(p + 16 * i), wasm_i8x16_splat(-128)); });
}
// Two 16-bit sums of pairs a lane are added up to one of 32 bits.
inline Ints dot(Ints sum, Bytes w, const int8_t *x)
{
    const v128_t xs = wasm_i16x8_extend_low_i8x16(four(x)), both = wasm_i64x2_shuffle(xs, xs, 0, 0);
    return each<Ints>([&](int i) {
        const v128_t a = wasm_i32x4_dot_i16x8(wasm_i16x8_extend_low_i8x16(w.p[i]), both),
                     b = wasm_i32x4_dot_i16x8(wasm_i16x8_extend_high_i8x16(w.p[i]), both);
        return wasm_i32x4_add(
            sum.p[i], wasm_i32x4_add(wasm_i32x4_shuffle(a, b, 0, 2, 4, 6), wasm_i32x4_shuffle(a, b, 1, 3, 5, 7)));
    });
}
inline Ints dot_offset(Ints) { return all_ints(0); } // of weights(p), which are w - 128
inline Ints part_dot(Ints sum, Bytes w, const int8_t *x) { return dot(sum, w, x); }
#endif

#define SOPI_OWN_PARTS
using Part = Ints;
constexpr int blocks_of_parts(int voices) { return kSums / voices / (voices > 1 ? 2 : 1); }
inline int32_t part_offset(Ints x, Ints y) { return -8 * total(add(x, y)); }
inline Part part_from(int32_t offset) { return all_ints(offset); }
inline Part part_add(Part part, Bytes w, const int8_t *x) { return part_dot(part, w, x); }
inline Ints part_end(Ints sum, Part part, const int8_t *s) { return add(sum, scale_by(part, s)); }

template <typename T> inline void opaque(T &) {}
inline Ints peak_i8(Ints sum, Bytes x)
{
    const int8_t ones[4] = {1, 1, 1, 1};
    return dot(sum, x, ones);
}
inline Ints peak_i4(Ints sum, Bytes x) { return peak_i8(sum, x); }

#include "kernel.inc"

} // namespace

extern const Kernels kernels_wasm;
const Kernels kernels_wasm = table("wasm");

} // namespace sopi

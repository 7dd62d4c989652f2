// NEON with the dot product instructions of ARMv8.2: four vectors of four for the 16 lanes. With I8MM
// (kernel_neon_i8mm.cpp) there are products of unsigned weights, and one instruction does eight columns of two rows for two
// voices.
#include "kernel.hpp"

#include <arm_neon.h>
#include <cstddef>
#include <cstring>

#ifndef SOPI_SET
#define SOPI_SET neon
#endif

namespace sopi {
namespace {

struct Floats {
    float32x4_t p[4];
};
struct Ints {
    int32x4_t p[4];
};
struct Bytes {
    uint8x16_t p[4];
};
template <typename Two> struct Pairs {
    Two p[8];
};
constexpr int kSums = 4;

template <typename To, typename Part> inline To each(Part &&part)
{
    To out;
    for (int i = 0; i < static_cast<int>(sizeof out.p / sizeof out.p[0]); i++) out.p[i] = part(i);
    return out;
}

inline Floats load(const float *p)
{
    return each<Floats>([&](int i) { return vld1q_f32(p + 4 * i); });
}
inline Floats all(float x)
{
    return each<Floats>([&](int) { return vdupq_n_f32(x); });
}
inline void store(float *p, Floats x)
{
    for (int i = 0; i < 4; i++) vst1q_f32(p + 4 * i, x.p[i]);
}
inline Floats add(Floats a, Floats b)
{
    return each<Floats>([&](int i) { return vaddq_f32(a.p[i], b.p[i]); });
}
inline Floats minus(Floats a, Floats b)
{
    return each<Floats>([&](int i) { return vsubq_f32(a.p[i], b.p[i]); });
}
inline Floats times(Floats a, Floats b)
{
    return each<Floats>([&](int i) { return vmulq_f32(a.p[i], b.p[i]); });
}
inline Floats over(Floats a, Floats b)
{
    return each<Floats>([&](int i) { return vdivq_f32(a.p[i], b.p[i]); });
}
inline Floats smaller(Floats a, Floats b)
{
    return each<Floats>([&](int i) { return vminq_f32(a.p[i], b.p[i]); });
}
inline Floats larger(Floats a, Floats b)
{
    return each<Floats>([&](int i) { return vmaxq_f32(a.p[i], b.p[i]); });
}
inline Floats magnitude(Floats x)
{
    return each<Floats>([&](int i) { return vabsq_f32(x.p[i]); });
}
inline Ints load_ints(const int32_t *p)
{
    return each<Ints>([&](int i) { return vld1q_s32(p + 4 * i); });
}
inline Ints all_ints(int32_t x)
{
    return each<Ints>([&](int) { return vdupq_n_s32(x); });
}
inline Ints add(Ints a, Ints b)
{
    return each<Ints>([&](int i) { return vaddq_s32(a.p[i], b.p[i]); });
}
inline Floats to_floats(Ints x)
{
    return each<Floats>([&](int i) { return vcvtq_f32_s32(x.p[i]); });
}
inline Ints scale_by(Ints x, const int8_t *s)
{
    const int8x16_t sixteen = vld1q_s8(s);
    const int16x8_t eight[2] = {vmovl_s8(vget_low_s8(sixteen)), vmovl_s8(vget_high_s8(sixteen))};
    return each<Ints>([&](int i) {
        return vmulq_s32(x.p[i], vmovl_s16(i % 2 ? vget_high_s16(eight[i / 2]) : vget_low_s16(eight[i / 2])));
    });
}
inline Ints nearest(Floats x)
{
    return each<Ints>([&](int i) { return vcvtnq_s32_f32(x.p[i]); });
}
inline Floats two_to_the(Ints x)
{
    return each<Floats>(
        [&](int i) { return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(x.p[i], vdupq_n_s32(127)), 23)); });
}
inline void store_bytes(int8_t *p, Ints x)
{
    const int16x8_t a = vcombine_s16(vmovn_s32(x.p[0]), vmovn_s32(x.p[1])),
                    b = vcombine_s16(vmovn_s32(x.p[2]), vmovn_s32(x.p[3]));
    vst1q_s8(p, vcombine_s8(vmovn_s16(a), vmovn_s16(b)));
}
inline int32_t total(Ints x) { return vaddvq_s32(vaddq_s32(vaddq_s32(x.p[0], x.p[1]), vaddq_s32(x.p[2], x.p[3]))); }

inline Bytes bytes(const uint8_t *p)
{
    return each<Bytes>([&](int i) { return vld1q_u8(p + 16 * i); });
}
inline Bytes low(Bytes x)
{
    return each<Bytes>([&](int i) { return vandq_u8(x.p[i], vdupq_n_u8(15)); });
}
inline Bytes high(Bytes x)
{
    return each<Bytes>([&](int i) { return vshrq_n_u8(x.p[i], 4); });
}
inline int8x16_t four(const int8_t *x)
{
    int32_t bits;
    std::memcpy(&bits, x, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(bits));
}

#ifdef SOPI_I8MM
inline Bytes weights(const uint8_t *p) { return bytes(p); }
inline Ints dot(Ints sum, Bytes w, const int8_t *x)
{
    return each<Ints>([&](int i) { return vusdotq_s32(sum.p[i], w.p[i], four(x)); });
}
inline Ints dot_offset(Ints x)
{
    return each<Ints>([&](int i) { return vnegq_s32(vshlq_n_s32(x.p[i], 7)); });
}

constexpr int most_voices(Form form) { return form == Form::i8 ? 2 : 4; }
#define SOPI_PAIRS
using Eights = Pairs<uint8x16_t>; // two rows in each
using Pair = Pairs<int32x4_t>; // row 0 of each voice, row 1 of each voice
using Both = int8x16_t;
inline Pair pair_of(int32_t x, int32_t y)
{
    const int32x4_t sums = {x, y, x, y};
    return each<Pair>([&](int) { return sums; });
}
inline Eights eights(Bytes a, Bytes b)
{
    return each<Eights>([&](int i) {
        const uint32x4_t first = vreinterpretq_u32_u8(a.p[i / 2]), second = vreinterpretq_u32_u8(b.p[i / 2]);
        return vreinterpretq_u8_u32(i % 2 ? vzip2q_u32(first, second) : vzip1q_u32(first, second));
    });
}
inline Both both(const int8_t *x, const int8_t *y) { return vcombine_s8(vld1_s8(x), vld1_s8(y)); }
inline Pair pair_add(Pair pair, Eights w, Both x)
{
    return each<Pair>([&](int i) { return vusmmlaq_s32(pair.p[i], w.p[i], x); });
}
inline void pair_split(Pair pair, Ints &a, Ints &b)
{
    a = each<Ints>([&](int i) { return vuzp1q_s32(pair.p[2 * i], pair.p[2 * i + 1]); });
    b = each<Ints>([&](int i) { return vuzp2q_s32(pair.p[2 * i], pair.p[2 * i + 1]); });
}
#else
constexpr int most_voices(Form) { return 4; }
inline Bytes weights(const uint8_t *p)
{
    return each<Bytes>([&](int i) { return veorq_u8(vld1q_u8(p + 16 * i), vdupq_n_u8(0x80)); });
}
inline Ints dot(Ints sum, Bytes w, const int8_t *x)
{
    return each<Ints>([&](int i) { return vdotq_s32(sum.p[i], vreinterpretq_s8_u8(w.p[i]), four(x)); });
}
inline Ints dot_offset(Ints) { return all_ints(0); } // of weights(p), which are w - 128
#endif

template <typename T> inline void opaque(T &x)
{
    for (auto &part : x.p) asm volatile("" : "+w"(part));
}
inline Ints peak_i8(Ints sum, Bytes x)
{
    return each<Ints>([&](int i) {
        const int8x16_t bytes = vreinterpretq_s8_u8(x.p[i]);
        return vdotq_s32(sum.p[i], bytes, bytes);
    });
}
inline Ints peak_i4(Ints sum, Bytes x) { return peak_i8(sum, x); }

#include "kernel.inc"

} // namespace

#define SOPI_JOIN_(a, b) a##b
#define SOPI_JOIN(a, b) SOPI_JOIN_(a, b)
#define SOPI_TEXT_(a) #a
#define SOPI_TEXT(a) SOPI_TEXT_(a)
extern const Kernels SOPI_JOIN(kernels_, SOPI_SET);
const Kernels SOPI_JOIN(kernels_, SOPI_SET) = table(SOPI_TEXT(SOPI_SET));

} // namespace sopi

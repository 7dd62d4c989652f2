// Any processor.
#include "kernel.hpp"
#include "platform/platform.hpp"

#include <cstddef>
#include <cstring>

namespace sopi {
namespace {

struct Floats {
    float lane[kRows];
};
struct Ints {
    int32_t lane[kRows];
};
struct Bytes {
    uint8_t lane[4 * kRows];
};
constexpr int kSums = 4;
constexpr int most_voices(Form) { return 4; }

template <typename To, typename Lane> inline To each(Lane &&lane)
{
    To out;
    for (size_t i = 0; i < sizeof out.lane / sizeof out.lane[0]; i++) out.lane[i] = lane(i);
    return out;
}

inline Floats load(const float *p)
{
    return each<Floats>([&](size_t i) { return p[i]; });
}
inline Floats all(float x)
{
    return each<Floats>([&](size_t) { return x; });
}
inline void store(float *p, const Floats &x) { std::memcpy(p, x.lane, sizeof x.lane); }
inline Floats add(const Floats &a, const Floats &b)
{
    return each<Floats>([&](size_t i) { return a.lane[i] + b.lane[i]; });
}
inline Floats minus(const Floats &a, const Floats &b)
{
    return each<Floats>([&](size_t i) { return a.lane[i] - b.lane[i]; });
}
inline Floats times(const Floats &a, const Floats &b)
{
    return each<Floats>([&](size_t i) { return a.lane[i] * b.lane[i]; });
}
inline Floats over(const Floats &a, const Floats &b)
{
    return each<Floats>([&](size_t i) { return a.lane[i] / b.lane[i]; });
}
inline Floats smaller(const Floats &a, const Floats &b)
{
    return each<Floats>([&](size_t i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline Floats larger(const Floats &a, const Floats &b)
{
    return each<Floats>([&](size_t i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline Floats magnitude(const Floats &x)
{
    return each<Floats>([&](size_t i) { return x.lane[i] < 0 ? -x.lane[i] : x.lane[i]; });
}
inline Ints load_ints(const int32_t *p)
{
    return each<Ints>([&](size_t i) { return p[i]; });
}
inline Ints all_ints(int32_t x)
{
    return each<Ints>([&](size_t) { return x; });
}
inline Ints add(const Ints &a, const Ints &b)
{
    return each<Ints>([&](size_t i) { return a.lane[i] + b.lane[i]; });
}
inline Floats to_floats(const Ints &x)
{
    return each<Floats>([&](size_t i) { return static_cast<float>(x.lane[i]); });
}
inline Ints scale_by(const Ints &x, const int8_t *s)
{
    return each<Ints>([&](size_t i) { return x.lane[i] * s[i]; });
}
inline Ints nearest(const Floats &x) // of |x| < 2^22
{
    return each<Ints>([&](size_t i) { return static_cast<int32_t>((x.lane[i] + 12582912.0f) - 12582912.0f); });
}
inline Floats two_to_the(const Ints &x)
{
    return each<Floats>([&](size_t i) {
        const int32_t bits = (x.lane[i] + 127) << 23;
        float y;
        std::memcpy(&y, &bits, 4);
        return y;
    });
}
inline void store_bytes(int8_t *p, const Ints &x)
{
    for (int i = 0; i < kRows; i++) p[i] = static_cast<int8_t>(x.lane[i]);
}
inline int32_t total(const Ints &x)
{
    int32_t sum = 0;
    for (int i = 0; i < kRows; i++) sum += x.lane[i];
    return sum;
}

inline Bytes bytes(const uint8_t *p)
{
    return each<Bytes>([&](size_t i) { return p[i]; });
}
inline Bytes low(const Bytes &x)
{
    return each<Bytes>([&](size_t i) { return static_cast<uint8_t>(x.lane[i] & 15); });
}
inline Bytes high(const Bytes &x)
{
    return each<Bytes>([&](size_t i) { return static_cast<uint8_t>(x.lane[i] >> 4); });
}
inline Bytes weights(const uint8_t *p) { return bytes(p); }
inline Ints dot(const Ints &sum, const Bytes &w, const int8_t *x)
{
    return each<Ints>([&](size_t i) {
        const uint8_t *ws = w.lane + 4 * i;
        return sum.lane[i] + (ws[0] * x[0] + ws[1] * x[1] + ws[2] * x[2] + ws[3] * x[3]);
    });
}
inline Ints dot_offset(const Ints &x)
{
    return each<Ints>([&](size_t i) { return -128 * x.lane[i]; });
}

template <typename T> inline void opaque(T &x) { asm volatile("" : "+m"(x)); }
inline Ints peak_i8(const Ints &sum, const Bytes &x)
{
    const int8_t four[4] = {1, 1, 1, 1};
    return dot(sum, x, four);
}
inline Ints peak_i4(const Ints &sum, const Bytes &x) { return peak_i8(sum, x); }

#include "kernel.inc"

} // namespace

const Kernels kernels_plain = table("plain");

const Kernels *find_kernels(const char *name) noexcept
{
    [[maybe_unused]] const platform::Processor here = platform::processor();
    const auto wanted = [name](const char *set, bool has_it) {
        return has_it && (std::strcmp(name, set) == 0 || std::strcmp(name, "auto") == 0);
    };
#ifdef SOPI_X86
    if (wanted("avx512", here.avx512)) return &kernels_avx512;
    if (wanted("avx_vnni", here.avx_vnni)) return &kernels_avx_vnni;
    if (wanted("avx2", here.avx2)) return &kernels_avx2;
#endif
#ifdef SOPI_ARM
    if (wanted("neon_i8mm", here.neon_i8mm)) return &kernels_neon_i8mm;
    if (wanted("neon", here.neon_dot)) return &kernels_neon;
#endif
    return wanted("plain", true) ? &kernels_plain : nullptr;
}

} // namespace sopi

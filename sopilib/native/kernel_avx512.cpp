// AVX-512 with VNNI: one instruction multiplies four columns of 16 rows and adds them.
#include "kernel.hpp"

#include <cstddef>
#include <cstring>
#include <immintrin.h>

namespace sopi {
namespace {

using Floats = __m512;
using Ints = __m512i;
using Bytes = __m512i;
constexpr int kSums = 24;
constexpr int most_voices(Form) { return 8; }

inline Floats load(const float *p) { return _mm512_loadu_ps(p); }
inline Floats all(float x) { return _mm512_set1_ps(x); }
inline void store(float *p, Floats x) { _mm512_storeu_ps(p, x); }
inline Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
inline Floats minus(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
inline Floats times(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
inline Floats over(Floats a, Floats b) { return _mm512_div_ps(a, b); }
inline Floats smaller(Floats a, Floats b) { return _mm512_min_ps(a, b); }
inline Floats larger(Floats a, Floats b) { return _mm512_max_ps(a, b); }
inline Floats magnitude(Floats x) { return _mm512_abs_ps(x); }
inline Ints load_ints(const int32_t *p) { return _mm512_loadu_si512(p); }
inline Ints all_ints(int32_t x) { return _mm512_set1_epi32(x); }
inline Ints add(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
inline Floats to_floats(Ints x) { return _mm512_cvtepi32_ps(x); }
inline Ints scale_by(Ints x, const int8_t *s)
{
    return _mm512_mullo_epi32(x, _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i *>(s))));
}

inline Ints nearest(Floats x) { return _mm512_cvtps_epi32(x); }
inline Floats two_to_the(Ints x)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(x, _mm512_set1_epi32(127)), 23));
}
inline void store_bytes(int8_t *p, Ints x)
{
    _mm_storeu_si128(reinterpret_cast<__m128i *>(p), _mm512_cvtepi32_epi8(x));
}
inline int32_t total(Ints x) { return _mm512_reduce_add_epi32(x); }

inline Bytes bytes(const uint8_t *p)
{
    __m512i x = _mm512_loadu_si512(p);
    asm("" : "+v"(x)); // one load: left to itself GCC loads what is used twice twice
    return x;
}
inline Bytes low(Bytes x) { return _mm512_and_si512(x, _mm512_set1_epi8(15)); }
inline Bytes high(Bytes x) { return _mm512_and_si512(_mm512_srli_epi16(x, 4), _mm512_set1_epi8(15)); }
inline Bytes weights(const uint8_t *p) { return bytes(p); }
inline Ints dot(Ints sum, Bytes w, const int8_t *x)
{
    int32_t four;
    std::memcpy(&four, x, 4);
    return _mm512_dpbusd_epi32(sum, w, _mm512_set1_epi32(four));
}
inline Ints dot_offset(Ints x) { return _mm512_mullo_epi32(x, _mm512_set1_epi32(-128)); }

template <typename T> inline void opaque(T &x) { asm volatile("" : "+v"(x)); }
inline Ints peak_i8(Ints sum, Bytes x) { return _mm512_dpbusd_epi32(sum, x, x); }
inline Ints peak_i4(Ints sum, Bytes x) { return peak_i8(sum, x); }

#include "kernel.inc"

} // namespace

extern const Kernels kernels_avx512;
const Kernels kernels_avx512 = table("avx512");

} // namespace sopi

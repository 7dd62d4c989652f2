// AVX2: two vectors of eight for the 16 lanes. With AVX-VNNI (kernel_avx_vnni.cpp) one instruction does a product of
// four columns; without it pairs of |x| * w, or of |x| * (-1 - w) where x < 0, stay below 2 * 127 * 128 < 2^15: exact, and
// what the -1 take away is the same for all rows. (x is never -128.)
#include "kernel.hpp"

#include <cstddef>
#include <cstring>
#include <immintrin.h>

#ifndef SOPI_SET
#define SOPI_SET avx2
#endif

namespace sopi {
namespace {

struct Floats {
    __m256 a, b;
};
struct Ints {
    __m256i a, b;
};
using Bytes = Ints;
constexpr int kSums = 6;
constexpr int most_voices(Form form) { return form == Form::i8 ? 2 : 4; }

inline Floats load(const float *p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline Floats all(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline void store(float *p, Floats x)
{
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
inline Floats add(Floats x, Floats y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
inline Floats minus(Floats x, Floats y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
inline Floats times(Floats x, Floats y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
inline Floats over(Floats x, Floats y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
inline Floats smaller(Floats x, Floats y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
inline Floats larger(Floats x, Floats y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
inline Floats magnitude(Floats x)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return {_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}

inline __m256i half(const void *p) { return _mm256_loadu_si256(static_cast<const __m256i *>(p)); }
inline Ints all_ints(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
inline Ints add(Ints x, Ints y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
inline Floats to_floats(Ints x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
inline Ints nearest(Floats x) { return {_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)}; }
inline Floats two_to_the(Ints x)
{
    const __m256i bias = _mm256_set1_epi32(127);
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(x.a, bias), 23)),
            _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(x.b, bias), 23))};
}
inline void store_bytes(int8_t *p, Ints x)
{
    // pairs are packed within each half of a vector
    const __m256i pairs = _mm256_permute4x64_epi64(_mm256_packs_epi32(x.a, x.b), 0xd8);
    const __m128i sixteen = _mm_packs_epi16(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i *>(p), sixteen);
}
inline int32_t total(Ints x)
{
    const __m256i eight = _mm256_add_epi32(x.a, x.b);
    const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}

// The compiler would do it by way of memory.
#define SOPI_OWN_WIDEN
template <typename Shorts> inline Ints widen(const Shorts &x)
{
    const __m256i sixteen = half(&x);
    return {_mm256_cvtepi16_epi32(_mm256_castsi256_si128(sixteen)),
            _mm256_cvtepi16_epi32(_mm256_extracti128_si256(sixteen, 1))};
}

inline Bytes bytes(const uint8_t *p) { return {half(p), half(p + 32)}; }
inline Bytes weights(const uint8_t *p) { return bytes(p); }
inline Bytes low(Bytes x)
{
    const __m256i mask = _mm256_set1_epi8(15);
    return {_mm256_and_si256(x.a, mask), _mm256_and_si256(x.b, mask)};
}
inline Bytes high(Bytes x) { return low({_mm256_srli_epi16(x.a, 4), _mm256_srli_epi16(x.b, 4)}); }
inline __m256i four(const int8_t *x)
{
    int32_t bits;
    std::memcpy(&bits, x, 4);
    return _mm256_set1_epi32(bits);
}

template <typename T> inline void opaque(T &x) { asm volatile("" : "+x"(x.a), "+x"(x.b)); }
// A sum stays where it is: left to itself GCC moves each to another register at every step, and some to memory.
inline __m256i staying(__m256i sum)
{
    asm("" : "+x"(sum));
    return sum;
}

#ifdef SOPI_AVX_VNNI
inline Ints scale_by(Ints x, const int8_t *s)
{
    const __m128i sixteen = _mm_loadu_si128(reinterpret_cast<const __m128i *>(s));
    return {_mm256_mullo_epi32(x.a, _mm256_cvtepi8_epi32(sixteen)),
            _mm256_mullo_epi32(x.b, _mm256_cvtepi8_epi32(_mm_srli_si128(sixteen, 8)))};
}
inline __m256i products(__m256i sum, __m256i w, __m256i x) { return staying(_mm256_dpbusd_avx_epi32(sum, w, x)); }
inline Ints dot(Ints sum, Bytes w, const int8_t *x)
{
    return {products(sum.a, w.a, four(x)), products(sum.b, w.b, four(x))};
}
inline Ints dot_offset(Ints x)
{
    const __m256i middle = _mm256_set1_epi32(-128);
    return {_mm256_mullo_epi32(x.a, middle), _mm256_mullo_epi32(x.b, middle)};
}
inline Ints peak_i8(Ints sum, Bytes x) { return {products(sum.a, x.a, x.a), products(sum.b, x.b, x.b)}; }
inline Ints peak_i4(Ints sum, Bytes x) { return peak_i8(sum, x); }
#else
inline __m256i add_pairs(__m256i sum, __m256i unsigned_, __m256i signed_)
{
    const __m256i pairs = _mm256_maddubs_epi16(unsigned_, signed_);
    const __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    asm("vpaddd %1, %0, %0" : "+x"(sum) : "x"(fours)); // in place, see pairs()
    return sum;
}
inline Ints dot(Ints sum, Bytes w, const int8_t *x)
{
    const __m256i xs = four(x), size = _mm256_abs_epi8(xs), negative = _mm256_cmpgt_epi8(_mm256_setzero_si256(), xs);
    const __m256i flip = _mm256_add_epi8(_mm256_set1_epi8(-128), negative); // w - 128, or -1 - (w - 128)
    return {add_pairs(sum.a, size, _mm256_xor_si256(w.a, flip)), add_pairs(sum.b, size, _mm256_xor_si256(w.b, flip))};
}
inline Ints dot_offset(Ints x) // |x| where x < 0
{
    const __m256i none = _mm256_setzero_si256();
    return {_mm256_sub_epi32(none, _mm256_min_epi32(x.a, none)), _mm256_sub_epi32(none, _mm256_min_epi32(x.b, none))};
}

// The parts of i4 are sums of pairs in 16 bits, which widen once a chunk: of a chunk's 16 pairs a lane gets eight, each
// from -16 * 127 to 16 * 127 when w means -8 to 7, so at most 16256. On the way, where w is still 0 to 15, it may wrap.
#define SOPI_OWN_PARTS
using Part = Ints;
constexpr int blocks_of_parts(int voices) { return 4 / voices; }
inline int32_t part_offset(Ints x, Ints y)
{
    const __m256i eight = _mm256_add_epi32(_mm256_add_epi32(x.a, x.b), _mm256_add_epi32(y.a, y.b));
    const __m128i columns = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    const __m128i pairs = _mm_add_epi32(columns, _mm_shuffle_epi32(columns, 0xb1));
    const uint32_t first = -8u * static_cast<uint32_t>(_mm_cvtsi128_si32(pairs)),
                   second = -8u * static_cast<uint32_t>(_mm_extract_epi32(pairs, 2));
    return static_cast<int32_t>((first & 0xffff) | second << 16);
}
inline Part part_from(int32_t offset) { return all_ints(offset); }
inline __m256i pairs(__m256i sum, __m256i w, __m256i x)
{
    const __m256i more = _mm256_maddubs_epi16(w, x);
    asm("vpaddw %1, %0, %0" : "+x"(sum) : "x"(more)); // for the intrinsic GCC moves each sum away and back
    return sum;
}
inline Part part_add(Part part, Bytes w, const int8_t *x)
{
    return {pairs(part.a, w.a, four(x)), pairs(part.b, w.b, four(x))};
}
inline Ints part_end(Ints sum, Part part, const int8_t *s)
{
    const __m128i sixteen = _mm_loadu_si128(reinterpret_cast<const __m128i *>(s));
    const __m256i a = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(sixteen, sixteen)),
                  b = _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(sixteen, sixteen));
    return {_mm256_add_epi32(sum.a, _mm256_madd_epi16(part.a, a)),
            _mm256_add_epi32(sum.b, _mm256_madd_epi16(part.b, b))};
}
inline Ints peak_i8(Ints sum, Bytes x) // bytes that were widened before
{
    for (int half = 0; half < 2; half++) {
        opaque(x);
        sum.a = staying(_mm256_add_epi32(sum.a, _mm256_madd_epi16(x.a, x.a)));
        sum.b = staying(_mm256_add_epi32(sum.b, _mm256_madd_epi16(x.b, x.b)));
    }
    return sum;
}
inline Ints peak_i4(Ints sum, Bytes x) { return {pairs(sum.a, x.a, x.a), pairs(sum.b, x.b, x.b)}; } // sums of 16 bits
#endif

#include "kernel.inc"

} // namespace

#define SOPI_JOIN_(a, b) a##b
#define SOPI_JOIN(a, b) SOPI_JOIN_(a, b)
#define SOPI_TEXT_(a) #a
#define SOPI_TEXT(a) SOPI_TEXT_(a)
extern const Kernels SOPI_JOIN(kernels_, SOPI_SET);
const Kernels SOPI_JOIN(kernels_, SOPI_SET) = table(SOPI_TEXT(SOPI_SET));

} // namespace sopi

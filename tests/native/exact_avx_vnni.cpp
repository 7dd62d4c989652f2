// The kernels for AVX-VNNI with its one instruction written out, so that their code runs wherever there is AVX2.
#ifdef SOPI_X86
#include <immintrin.h>

static inline __m256i exact_products(__m256i sum, __m256i w, __m256i x)
{
    const __m256i even = _mm256_set1_epi16(0xff); // of each two bytes the first
    const __m256i first = _mm256_madd_epi16(_mm256_and_si256(w, even), _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8));
    const __m256i second = _mm256_madd_epi16(_mm256_srli_epi16(w, 8), _mm256_srai_epi16(x, 8));
    return _mm256_add_epi32(sum, _mm256_add_epi32(first, second));
}

#undef _mm256_dpbusd_avx_epi32
#define _mm256_dpbusd_avx_epi32 exact_products
#define SOPI_AVX_VNNI
#define SOPI_SET avx_vnni_exact
#include "kernel_avx2.cpp" // NOLINT(bugprone-suspicious-include): the same with another dot product
#endif

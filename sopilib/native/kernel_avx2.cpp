// AVX2. The signed product goes through |x| * sign(w, x), whose pairs stay below 2 * 127 * 127 < 2^15: exact.
#include "kernel.hpp"

#include <cstddef>
#include <cstring>
#include <immintrin.h>

namespace sopi {
namespace {

template <int N> inline void group_f32(const float *w, int columns, const float *x, float *y) noexcept
{
    __m256 sum[2 * N];
    for (int b = 0; b < 2 * N; b++) sum[b] = _mm256_setzero_ps();
    for (int c = 0; c < columns; c++, w += N * kRows) {
        const __m256 xs = _mm256_set1_ps(x[c]);
        for (int b = 0; b < 2 * N; b++) sum[b] = _mm256_add_ps(sum[b], _mm256_mul_ps(_mm256_loadu_ps(w + b * 8), xs));
    }
    for (int b = 0; b < 2 * N; b++) _mm256_storeu_ps(y + b * 8, sum[b]);
}

template <int N>
inline void group_i8(const int8_t *w, const float *row_scale, int columns4, const int8_t *x, float x_scale, float *y) noexcept
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i sum[2 * N];
    for (int b = 0; b < 2 * N; b++) sum[b] = _mm256_setzero_si256();
    for (int c = 0; c < columns4; c++, w += N * kRows * 4) {
        int32_t four;
        std::memcpy(&four, x + c * 4, 4);
        const __m256i xs = _mm256_set1_epi32(four), size = _mm256_abs_epi8(xs);
        for (int b = 0; b < 2 * N; b++) {
            const __m256i ws = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(w + b * 32));
            const __m256i pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(ws, xs));
            sum[b] = _mm256_add_epi32(sum[b], _mm256_madd_epi16(pairs, ones));
        }
    }
    for (int b = 0; b < 2 * N; b++) {
        const __m256 scale = _mm256_mul_ps(_mm256_loadu_ps(row_scale + b * 8), _mm256_set1_ps(x_scale));
        _mm256_storeu_ps(y + b * 8, _mm256_mul_ps(_mm256_cvtepi32_ps(sum[b]), scale));
    }
}

// A group's weights stay in the first cache from one voice to the next.
template <int N> void rows_f32(const float *w, int columns, const float *x, int x_stride, int voices, float *y, int y_stride) noexcept
{
    for (int v = 0; v < voices; v++) group_f32<N>(w, columns, x + v * x_stride, y + v * y_stride);
}

template <int N>
void rows_i8(const int8_t *w, const float *row_scale, const int32_t *, int columns4, const int8_t *x, int x_stride,
             const float *x_scale, int voices, float *y, int y_stride) noexcept
{
    for (int v = 0; v < voices; v++) group_i8<N>(w, row_scale, columns4, x + v * x_stride, x_scale[v], y + v * y_stride);
}

#include "kernel_groups.inc"
#include "kernel.inc"

} // namespace

extern const Kernels kernels_avx2;
const Kernels kernels_avx2 = table("avx2");

} // namespace sopi

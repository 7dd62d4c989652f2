// AVX-512 with VNNI: a 64-byte load holds four columns of 16 rows; one instruction multiplies and adds them.
#include "kernel.hpp"

#include <cstddef>
#include <cstring>
#include <immintrin.h>

namespace sopi {
namespace {

// N blocks side by side, V voices sharing each load.
template <int N, int V>
inline void group_f32(const float *w, int columns, const float *x, int x_stride, float *y, int y_stride) noexcept
{
    __m512 sum[V][N];
    for (int v = 0; v < V; v++)
        for (int b = 0; b < N; b++) sum[v][b] = _mm512_setzero_ps();
    for (int c = 0; c < columns; c++, w += N * kRows)
        for (int v = 0; v < V; v++) {
            const __m512 xs = _mm512_set1_ps(x[v * x_stride + c]);
            for (int b = 0; b < N; b++)
                sum[v][b] = _mm512_add_ps(sum[v][b], _mm512_mul_ps(_mm512_loadu_ps(w + b * kRows), xs));
        }
    for (int v = 0; v < V; v++)
        for (int b = 0; b < N; b++) _mm512_storeu_ps(y + v * y_stride + b * kRows, sum[v][b]);
}

template <int N, int V>
inline void group_i8(const int8_t *w, const float *row_scale, const int32_t *row_sum, int columns4, const int8_t *x,
                     int x_stride, const float *x_scale, float *y, int y_stride) noexcept
{
    const __m512i flip = _mm512_set1_epi8(static_cast<char>(0x80)); // int8 + 128 = uint8
    __m512i sum[V][N];
    for (int v = 0; v < V; v++)
        for (int b = 0; b < N; b++) sum[v][b] = _mm512_setzero_si512();
    for (int c = 0; c < columns4; c++, w += N * kRows * 4) {
        _mm_prefetch(reinterpret_cast<const char *>(w) + 4096, _MM_HINT_T0);
        for (int v = 0; v < V; v++) {
            int32_t four;
            std::memcpy(&four, x + v * x_stride + c * 4, 4);
            const __m512i xs = _mm512_xor_si512(_mm512_set1_epi32(four), flip);
            for (int b = 0; b < N; b++)
                sum[v][b] = _mm512_dpbusd_epi32(sum[v][b], xs, _mm512_loadu_si512(w + b * kRows * 4));
        }
    }
    for (int v = 0; v < V; v++)
        for (int b = 0; b < N; b++) {
            const __m512i shift = _mm512_slli_epi32(_mm512_loadu_si512(row_sum + b * kRows), 7);
            const __m512 exact = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum[v][b], shift));
            const __m512 scale = _mm512_mul_ps(_mm512_loadu_ps(row_scale + b * kRows), _mm512_set1_ps(x_scale[v]));
            _mm512_storeu_ps(y + v * y_stride + b * kRows, _mm512_mul_ps(exact, scale));
        }
}

template <int N> void rows_f32(const float *w, int columns, const float *x, int x_stride, int voices, float *y, int y_stride) noexcept
{
    int v = 0;
    for (; v + 4 <= voices; v += 4) group_f32<N, 4>(w, columns, x + v * x_stride, x_stride, y + v * y_stride, y_stride);
    for (; v < voices; v++) group_f32<N, 1>(w, columns, x + v * x_stride, x_stride, y + v * y_stride, y_stride);
}

template <int N>
void rows_i8(const int8_t *w, const float *row_scale, const int32_t *row_sum, int columns4, const int8_t *x, int x_stride,
             const float *x_scale, int voices, float *y, int y_stride) noexcept
{
    int v = 0;
    for (; v + 4 <= voices; v += 4)
        group_i8<N, 4>(w, row_scale, row_sum, columns4, x + v * x_stride, x_stride, x_scale + v, y + v * y_stride, y_stride);
    for (; v < voices; v++)
        group_i8<N, 1>(w, row_scale, row_sum, columns4, x + v * x_stride, x_stride, x_scale + v, y + v * y_stride, y_stride);
}

#include "kernel_groups.inc"
#include "kernel.inc"

} // namespace

extern const Kernels kernels_avx512;
const Kernels kernels_avx512 = table("avx512");

} // namespace sopi

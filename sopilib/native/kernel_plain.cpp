// Any processor, and the readable version of the two products.
#include "kernel.hpp"

#include <cstddef>
#include <cstring>

namespace sopi {
namespace {

void gemv_f32(const float *w, int columns, int blocks, int begin, int end, const float *x, int x_stride, int voices, float *y,
              int y_stride) noexcept
{
    for (int first = begin; first < end; first += kGroup) {
        const int in_group = blocks - first < kGroup ? blocks - first : kGroup;
        const int rows = in_group * kRows;
        const float *group = w + static_cast<size_t>(first) * kRows * columns;
        for (int v = 0; v < voices; v++) {
            float sum[kGroup * kRows] = {};
            for (int c = 0; c < columns; c++)
                for (int r = 0; r < rows; r++) sum[r] += group[static_cast<size_t>(c) * rows + r] * x[v * x_stride + c];
            std::memcpy(y + v * y_stride + first * kRows, sum, sizeof(float) * rows);
        }
    }
}

void gemv_i8(const int8_t *w, const float *row_scale, const int32_t *, int columns4, int blocks, int begin, int end,
             const int8_t *x, int x_stride, const float *x_scale, int voices, float *y, int y_stride) noexcept
{
    for (int first = begin; first < end; first += kGroup) {
        const int in_group = blocks - first < kGroup ? blocks - first : kGroup;
        const int rows = in_group * kRows;
        const int8_t *group = w + static_cast<size_t>(first) * kRows * columns4 * 4;
        for (int v = 0; v < voices; v++) {
            int32_t sum[kGroup * kRows] = {};
            for (int c = 0; c < columns4; c++) {
                const int8_t *xs = x + v * x_stride + c * 4, *ws = group + static_cast<size_t>(c) * rows * 4;
                for (int r = 0; r < rows; r++)
                    sum[r] += ws[4 * r] * xs[0] + ws[4 * r + 1] * xs[1] + ws[4 * r + 2] * xs[2] + ws[4 * r + 3] * xs[3];
            }
            for (int r = 0; r < rows; r++)
                y[v * y_stride + first * kRows + r] = static_cast<float>(sum[r]) * (row_scale[first * kRows + r] * x_scale[v]);
        }
    }
}

#include "kernel.inc"

} // namespace

const Kernels kernels_plain = table("plain");

const Kernels *find_kernels(const char *name) noexcept
{
    const auto is = [name](const char *s) { return std::strcmp(name, s) == 0; };
    const bool best = is("auto");
#ifdef SOPI_X86
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vnni");
    if (avx512 && (best || is("avx512"))) return &kernels_avx512;
    if (avx2 && (best || is("avx2"))) return &kernels_avx2;
#endif
    return best || is("plain") ? &kernels_plain : nullptr;
}

} // namespace sopi

// The arithmetic of the engine, once per instruction set. kernel.inc holds what they share; the files
// kernel_<set>.cpp compile it with their own compiler flags and add the two matrix products.
//
// Every function gives the same bits on every instruction set: integer sums are exact, and float sums and element-wise
// functions are plain IEEE operations in one order (no fast-math, no contraction, so no fused multiply-add either).
#pragma once

#include "source.hpp"

#include <cstdint>

namespace sopi {

// Matrices are stored in blocks of 16 rows, four blocks (fewer in the last group) side by side:
//   f32  [group][column][block][16]        int8  [group][column / 4][block][16][4]
// so that a product reads memory in order and needs no sum across lanes. Rows are padded to 16, columns (int8) to 4.
constexpr int kRows = 16, kGroup = 4;

constexpr int kLevels = 4096; // the most codes that a model may have

struct Kernels {
    const char *name;

    // y[v][row] = sum over columns of w[row][column] * x[v][column], for rows in blocks [begin, end).
    // begin is a multiple of kGroup; strides in elements.
    void (*gemv_f32)(const float *w, int columns, int blocks, int begin, int end, const float *x, int x_stride,
                     int voices, float *y, int y_stride) noexcept;
    // The same with int8 weights and vectors: y = (exact integer sum) * (row_scale[row] * x_scale[v]).
    // row_sum[row] is the sum of the row's weights; columns4 = padded columns / 4.
    void (*gemv_i8)(const int8_t *w, const float *row_scale, const int32_t *row_sum, int columns4, int blocks, int begin,
                    int end, const int8_t *x, int x_stride, const float *x_scale, int voices, float *y,
                    int y_stride) noexcept;

    // q = round(x * 127 / max|x|), scale = max|x| / 127; n padded with zeros up to `padded`.
    void (*quantise)(const float *x, int n, int padded, int8_t *q, float *scale) noexcept;
    // y += b
    void (*add)(float *y, const float *b, int n) noexcept;
    // y = max(y + b, 0)
    void (*add_relu)(float *y, const float *b, int n) noexcept;
    // y = sum of `count` table rows; tables [count][q][width], codes [count], oldest first
    void (*table_sum_f32)(const float *tables, int count, int q, int width, const int32_t *codes, float *y) noexcept;
    void (*table_sum_i16)(const int16_t *tables, float scale, int count, int q, int width, const int32_t *codes,
                          float *y) noexcept;
    // x, u: [3][d] r z n from the input (with its bias) and from the state; candidate [d]; h is updated.
    void (*gru)(const float *x, const float *u, const float *candidate, int d, float *h) noexcept;
    // GRU with the reset before the matmul: first r * h, then, with un = its product, the new h.
    void (*gru_reset)(const float *x, const float *u, int d, const float *h, float *reset_h) noexcept;
    void (*gru_finish)(const float *x, const float *u, const float *un, int d, float *h) noexcept;
    // x, u: [4][d] i f g o; state = h [d], c [d]
    void (*lstm)(const float *x, const float *u, int d, float *state) noexcept;
    // Draws a code from softmax(logits / temperature), of those that `sampling` leaves, with `coin` in [0, 1). q <= kLevels.
    int32_t (*sample)(const float *logits, int q, float temperature, const Sampling &sampling, float coin) noexcept;
};

extern const Kernels kernels_plain;
#ifdef SOPI_X86
extern const Kernels kernels_avx2, kernels_avx512;
#endif

// The best set that this processor has, or the one named ("avx512", "avx2", "plain"); null if it is unknown or not here.
const Kernels *find_kernels(const char *name) noexcept;

} // namespace sopi

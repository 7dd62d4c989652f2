// The arithmetic of the engine, once per instruction set. kernel.inc holds it, written in a small vector interface;
// each kernel_<set>.cpp gives that interface and compiles it with its own flags.
//
// Every function gives the same bits on every instruction set: integer sums are exact, and float sums and element-wise
// functions are plain IEEE operations in one order (no fast-math, no contraction, so no fused multiply-add either).
#pragma once

#include "source.hpp"

#include <cstddef>
#include <cstdint>

namespace sopi {

// ---------------------------------------------------------------- matrices and vectors

constexpr int kRows = 16;  // rows of a block
constexpr int kChunk = 32; // columns that share a scale in i4; the columns of i8 and i4 are padded to it
constexpr int kLevels = 4096; // the most codes that a model may have

enum class Form : uint8_t { f32, i8, i4 };

// A matrix in blocks of 16 rows, `group` blocks (fewer at the end) side by side, in the order in which a product reads it:
//   f32  [group][column][block][16]
//   i8   [group][chunk][block][8][16][4]   weight + 128, times row_scale
//   i4   [group][chunk][block][4][16][4]   weight + 8, times chunk_scale times row_scale; the k-th of the four holds
//                                          columns 8k to 8k + 3 of the chunk in its low bits, 8k + 4 to 8k + 7 in its high ones
// so that memory is read from front to back and no sum crosses lanes.
struct Matrix {
    Form form = Form::f32;
    int blocks = 0, columns = 0, group = 4;
    const void *weights = nullptr;
    const int8_t *chunk_scale = nullptr; // i4: [group][chunk][block][16]
    const float *row_scale = nullptr; // i8, i4: [blocks * 16]
    bool far = false; // of a model that is larger than the caches

    explicit operator bool() const noexcept { return blocks > 0; }
    int chunks() const noexcept { return (columns + kChunk - 1) / kChunk; }
    size_t bytes() const noexcept
    {
        const size_t rows = static_cast<size_t>(blocks) * kRows;
        if (form == Form::f32) return rows * columns * sizeof(float);
        const size_t scales = rows * sizeof(float), weights = rows * chunks() * kChunk;
        return form == Form::i8 ? weights + scales : weights / 2 + rows * chunks() + scales;
    }
};

// What a product multiplies, one vector a voice: floats for f32, bytes with one scale a vector for i8 and i4.
struct Vectors {
    const float *x;
    int stride;
    const int8_t *q; // [voices][q_stride], zeros after the last column
    const int32_t
        *offset; // [voices][q_stride / kChunk + 1]: what the set begins with for i8, then for each chunk of i4
    const float *scale; // [voices]
    int q_stride;
};

// Where a product goes: y = m x + add, then ReLU if `relu`. add may be null, y, or (add_stride 0) the same for all voices.
struct Sum {
    float *y;
    int stride;
    const float *add;
    int add_stride;
    bool relu;
};

// What each of the codes before adds to the sample level, [count][levels][width], oldest first, as floats, or as 16-bit
// integers so scaled that no sum overflows.
struct Tables {
    const float *f32;
    const int16_t *i16;
    float scale;
    int count, levels, width; // width: padded to kChunk
};

// ---------------------------------------------------------------- functions

// Gates come in blocks of 16 units: [unit block][gate][16], GRU r z n, LSTM i f g o. [begin, end) are unit blocks.
struct Kernels {
    const char *name;

    // Rows of blocks [begin, end) of m x, for each voice; padded rows too.
    void (*multiply)(const Matrix &m, int begin, int end, const Vectors &x, int voices, const Sum &to) noexcept;

    // q = round(x * 127 / max|x|), scale = max|x| / 127, for x [columns], columns a multiple of 16; q as in Vectors.
    void (*quantise)(const float *x, int columns, int8_t *q, int32_t *offset, float *scale) noexcept;
    // y = from + sum of w[j] * u[j], j < count, in order; w [count][n], rows `stride` apart; n a multiple of 16
    void (*accumulate)(const float *w, size_t stride, const float *u, int count, const float *from, float *y,
                       int n) noexcept;
    // y = sum of the rows that `codes` [count] pick + add, then ReLU if `relu`; columns of blocks [begin, end)
    void (*add_tables)(const Tables &tables, const int32_t *codes, int begin, int end, const float *add, bool relu,
                       float *y) noexcept;
    // x: from the input, bias included; x2: more of it, or null; u: from the state. h [D] is updated.
    void (*gru)(const float *x, const float *x2, const float *u, const float *candidate, int begin, int end,
                float *h) noexcept;
    // GRU with the reset before the matmul, u being [unit block][r z][16]: first r * h, then, with un [D] = its product, h.
    void (*gru_reset)(const float *x, const float *x2, const float *u, int begin, int end, const float *h,
                      float *reset_h) noexcept;
    void (*gru_finish)(const float *x, const float *x2, const float *u, const float *un, int begin, int end,
                       float *h) noexcept;
    void (*lstm)(const float *x, const float *x2, const float *u, int begin, int end, float *h, float *c) noexcept;
    // Draws a code from softmax(logits / temperature), of those that `sampling` leaves, with `coin` in [0, 1). q <= kLevels.
    int32_t (*sample)(const float *logits, int q, float temperature, const Sampling &sampling, float coin) noexcept;
    // Multiplies what is in registers in the fastest way that this set has for a form, and returns how many products that
    // were: the most that `multiply` could do if nothing had to be read, unpacked or scaled.
    uint64_t (*peak)(Form form, int rounds) noexcept;
};

extern const Kernels kernels_plain;
#ifdef SOPI_X86
extern const Kernels kernels_avx2, kernels_avx_vnni, kernels_avx512;
#endif
#ifdef SOPI_ARM
extern const Kernels kernels_neon, kernels_neon_i8mm;
#endif

// The best set that this processor has, or the one named ("avx512", "avx_vnni", "avx2", "neon_i8mm", "neon", "plain"); null if it is
// unknown or not here.
const Kernels *find_kernels(const char *name) noexcept;

} // namespace sopi

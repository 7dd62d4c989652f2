#include "pack.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <exception>
#include <thread>

namespace sopi {

void *Arena::take_bytes(size_t n)
{
    n = (n + 63) / 64 * 64;
    if (n > left_) {
        constexpr size_t page = platform::kPage;
        const size_t room = (std::max(n, 4 * page) + page - 1) / page * page;
        slabs_.emplace_back(platform::take_pages(room));
        next_ = static_cast<char *>(slabs_.back().get());
        left_ = room;
    }
    void *out = next_;
    next_ += n;
    left_ -= n;
    bytes_ += n;
    return out;
}

namespace {

// 16 rows (one a lane) of a block, columns from `first` on: w[column][row], zeros where there are none.
using Lanes = float[kRows];

struct Rows {
    const float *w;
    int gates, units, columns;

    // Row of the lane in a block, or null.
    const float *row(int block, int lane) const
    {
        const int unit = block / gates * kRows + lane, gate = block % gates;
        return unit < units ? w + (static_cast<size_t>(gate) * units + unit) * columns : nullptr;
    }
    void read(int block, int first, int count, Lanes *to) const
    {
        for (int lane = 0; lane < kRows; lane++) {
            const float *from = row(block, lane);
            for (int c = 0; c < count; c++) to[c][lane] = from && first + c < columns ? from[first + c] : 0.0f;
        }
    }
};

inline float nearest(float x) { return (x + 12582912.0f) - 12582912.0f; } // |x| < 2^22

// The scales of one chunk of 16 rows: of several, those that leave the least squared error in levels -8 to 7. The
// largest weight lies between -8 and -5.4 scales, so a scale may be negative.
void choose_scales(const Lanes *w, float *scale)
{
    float extreme[kRows] = {}, best[kRows];
    for (int c = 0; c < kChunk; c++)
        for (int i = 0; i < kRows; i++) extreme[i] = std::fabs(w[c][i]) > std::fabs(extreme[i]) ? w[c][i] : extreme[i];
    for (int i = 0; i < kRows; i++) {
        best[i] = 3e38f;
        scale[i] = 0;
    }
    for (const float levels : {8.0f, 7.5f, 7.0f, 6.5f, 6.0f, 5.5f}) {
        float step[kRows], inverse[kRows], error[kRows] = {};
        for (int i = 0; i < kRows; i++) {
            step[i] = extreme[i] * (-1.0f / levels);
            inverse[i] = extreme[i] != 0 ? 1.0f / step[i] : 0.0f;
        }
        for (int c = 0; c < kChunk; c++)
            for (int i = 0; i < kRows; i++) {
                float level = nearest(w[c][i] * inverse[i]);
                level = level > 7.0f ? 7.0f : level < -8.0f ? -8.0f : level;
                const float d = w[c][i] - level * step[i];
                error[i] += d * d;
            }
        for (int i = 0; i < kRows; i++) {
            const bool better = error[i] < best[i];
            best[i] = better ? error[i] : best[i];
            scale[i] = better ? step[i] : scale[i];
        }
    }
}

// Where a block's chunk (or column) lies: the chunks before it in its group, then the blocks before it in that chunk.
size_t place(const Matrix &m, int block, int chunk, int chunks)
{
    const int first = block / m.group * m.group, width = std::min(m.group, m.blocks - first);
    return static_cast<size_t>(first) * chunks + static_cast<size_t>(chunk) * width + block - first;
}

void pack_f32(const Rows &rows, const Matrix &m, int block, float *to)
{
    Lanes w[kChunk];
    for (int c = 0; c < m.columns; c += kChunk) {
        const int n = std::min(kChunk, m.columns - c);
        rows.read(block, c, n, w);
        for (int k = 0; k < n; k++) std::memcpy(to + place(m, block, c + k, m.columns) * kRows, w[k], sizeof(Lanes));
    }
}

void pack_i8(const Rows &rows, const Matrix &m, int block, uint8_t *to, float *row_scale)
{
    float inverse[kRows];
    for (int lane = 0; lane < kRows; lane++) {
        const float *from = rows.row(block, lane);
        float largest = 0;
        for (int c = 0; from && c < m.columns; c++) largest = std::max(largest, std::fabs(from[c]));
        row_scale[block * kRows + lane] = largest / 127.0f;
        inverse[lane] = largest > 0 ? 127.0f / largest : 0.0f;
    }
    Lanes w[kChunk];
    for (int chunk = 0; chunk < m.chunks(); chunk++) {
        rows.read(block, chunk * kChunk, kChunk, w);
        uint8_t *at = to + place(m, block, chunk, m.chunks()) * kRows * kChunk;
        for (int c = 0; c < kChunk; c++)
            for (int i = 0; i < kRows; i++)
                at[(c / 4 * kRows + i) * 4 + c % 4] = static_cast<uint8_t>(
                    static_cast<int>(nearest(w[c][i] * inverse[i])) + 128);
    }
}

void pack_i4(const Rows &rows, const Matrix &m, int block, uint8_t *to, int8_t *chunk_scale, float *row_scale)
{
    const int chunks = m.chunks();
    std::vector<float> scales(static_cast<size_t>(chunks) * kRows);
    Lanes w[kChunk];
    float largest[kRows] = {};
    for (int chunk = 0; chunk < chunks; chunk++) {
        rows.read(block, chunk * kChunk, kChunk, w);
        float *scale = &scales[static_cast<size_t>(chunk) * kRows];
        choose_scales(w, scale);
        for (int i = 0; i < kRows; i++) largest[i] = std::max(largest[i], std::fabs(scale[i]));
    }
    for (int i = 0; i < kRows; i++) row_scale[block * kRows + i] = largest[i] / 127.0f;
    for (int chunk = 0; chunk < chunks; chunk++) {
        rows.read(block, chunk * kChunk, kChunk, w);
        const size_t at = place(m, block, chunk, chunks);
        float inverse[kRows];
        for (int i = 0; i < kRows; i++) {
            const float unit = row_scale[block * kRows + i];
            const float times = unit > 0 ? nearest(scales[static_cast<size_t>(chunk) * kRows + i] / unit) : 0.0f;
            chunk_scale[at * kRows + i] = static_cast<int8_t>(times);
            inverse[i] = times != 0 ? 1.0f / (times * unit) : 0.0f;
        }
        uint8_t *bytes = to + at * kRows * kChunk / 2;
        for (int c = 0; c < kChunk; c++)
            for (int i = 0; i < kRows; i++) {
                float level = nearest(w[c][i] * inverse[i]);
                level = level > 7.0f ? 7.0f : level < -8.0f ? -8.0f : level;
                const auto four = static_cast<uint8_t>(static_cast<int>(level) + 8);
                uint8_t &byte = bytes[(c / 8 * kRows + i) * 4 + c % 4];
                byte = c % 8 < 4 ? four : static_cast<uint8_t>(byte | four << 4);
            }
    }
}

// work(block) for all blocks, by as many threads as this machine has cores and the system gives, if it is much. If one
// of them fails, so does this, when all have ended.
template <typename Work> void for_blocks(int blocks, int columns, Work &&work)
{
    const int most = static_cast<int>(std::thread::hardware_concurrency());
    const int threads = static_cast<size_t>(blocks) * columns > 65536 ? std::max(1, std::min({blocks, most, 8})) : 1;
    std::atomic<int> next{0};
    std::atomic<bool> failed{false};
    std::exception_ptr failure;
    const auto take = [&]() noexcept {
        try {
            for (int block; !failed && (block = next++) < blocks;) work(block);
        } catch (...) {
            if (!failed.exchange(true)) failure = std::current_exception();
        }
    };
    std::vector<std::thread> others;
    others.reserve(threads);
    try {
        while (static_cast<int>(others.size()) + 1 < threads) others.emplace_back(take);
    } catch (const std::exception &) {
        // The system gives no more threads, so that those that there are do all of the work.
    }
    take();
    for (std::thread &t : others) t.join();
    if (failure) std::rethrow_exception(failure);
}

} // namespace

Matrix pack(Arena &arena, const float *w, int gates, int units, int columns, Form form)
{
    Matrix m;
    m.form = form;
    m.blocks = padded(units, kRows) / kRows * gates;
    m.columns = columns;
    m.group = gates > 1 ? gates : 4;
    const Rows rows{w, gates, units, columns};
    const size_t all = static_cast<size_t>(m.blocks) * kRows, cells = all * m.chunks() * kChunk;
    float *row_scale = form == Form::f32 ? nullptr : arena.take<float>(all);
    m.row_scale = row_scale;
    if (form == Form::f32) {
        float *to = arena.take<float>(all * columns);
        m.weights = to;
        for_blocks(m.blocks, columns, [&](int block) { pack_f32(rows, m, block, to); });
    } else if (form == Form::i8) {
        uint8_t *to = arena.take<uint8_t>(cells);
        m.weights = to;
        for_blocks(m.blocks, columns, [&](int block) { pack_i8(rows, m, block, to, row_scale); });
    } else {
        uint8_t *to = arena.take<uint8_t>(cells / 2);
        int8_t *chunk_scale = arena.take<int8_t>(all * m.chunks());
        m.weights = to;
        m.chunk_scale = chunk_scale;
        for_blocks(m.blocks, columns, [&](int block) { pack_i4(rows, m, block, to, chunk_scale, row_scale); });
    }
    return m;
}

Vec<float> pack_columns(const float *w, int gates, int units, int columns)
{
    const int blocks = padded(units, kRows) / kRows * gates;
    const Rows rows{w, gates, units, columns};
    Vec<float> out(static_cast<size_t>(blocks) * kRows * columns);
    for (int block = 0; block < blocks; block++)
        for (int lane = 0; lane < kRows; lane++)
            if (const float *from = rows.row(block, lane))
                for (int c = 0; c < columns; c++)
                    out[(static_cast<size_t>(c) * blocks + block) * kRows + lane] = from[c];
    return out;
}

Vec<float> pack_units(const float *x, int gates, int units) { return pack_columns(x, gates, units, 1); }

Tables pack_tables(Arena &arena, const float *t, int count, int levels, int width, bool quantised)
{
    Tables out{nullptr, nullptr, 0, count, levels, padded(width, kChunk)};
    const size_t rows = static_cast<size_t>(count) * levels;
    if (!quantised) {
        float *to = arena.take<float>(rows * out.width);
        for (size_t r = 0; r < rows; r++) {
            std::copy_n(t + r * width, width, to + r * out.width);
            std::fill_n(to + r * out.width + width, out.width - width, 0.0f);
        }
        out.f32 = to;
        return out;
    }
    // the largest sum that any codes can give in any column takes all of the 16 bits
    std::vector<float> most(width), sum(width);
    for (int k = 0; k < count; k++) {
        std::fill(most.begin(), most.end(), 0.0f);
        for (int q = 0; q < levels; q++)
            for (int i = 0; i < width; i++)
                most[i] = std::max(most[i], std::fabs(t[(static_cast<size_t>(k) * levels + q) * width + i]));
        for (int i = 0; i < width; i++) sum[i] += most[i];
    }
    const float largest = *std::max_element(sum.begin(), sum.end());
    const float highest = static_cast<float>(32767 - count); // each row may be rounded up
    out.scale = largest / highest;
    const float inverse = largest > 0 ? highest / largest : 0.0f;
    int16_t *to = arena.take<int16_t>(rows * out.width);
    for (size_t r = 0; r < rows; r++)
        for (int i = 0; i < out.width; i++)
            to[r * out.width + i] = i < width ? static_cast<int16_t>(nearest(t[r * width + i] * inverse)) : 0;
    out.i16 = to;
    return out;
}

} // namespace sopi

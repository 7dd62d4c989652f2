// Every kernel of every instruction set that this processor has, against a plain loop: products in each form for several
// voices and odd sizes, tables, frames, gates, and the drawing of codes.
#include "check.hpp"
#include "kernel.hpp"
#include "pack.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <numeric>
#include <random>
#include <vector>

using namespace sopi;

#ifdef SOPI_X86
namespace sopi {
extern const Kernels kernels_avx_vnni_exact; // exact_avx_vnni.cpp
}
#endif

namespace {

std::mt19937 numbers(1);

Vec<float> made(size_t n, float size)
{
    Vec<float> out(n);
    for (float &x : out) x = std::uniform_real_distribution<float>(-size, size)(numbers);
    return out;
}

// ---------------------------------------------------------------- products

// Vectors of `columns` values for some voices, zeros after them, quantised by the kernel that is tested.
struct Input {
    int columns, stride, q_stride;
    Vec<float> x;
    Vec<int8_t> q;
    Vec<int32_t> offset;
    Vec<float> scale;

    Input(const Kernels &k, int voices, int columns_)
        : columns(columns_), stride(padded(columns_, kRows)), q_stride(padded(columns_, kChunk)),
          x(static_cast<size_t>(voices) * stride), q(static_cast<size_t>(voices) * q_stride),
          offset(static_cast<size_t>(voices) * (q_stride / kChunk + 1)), scale(voices)
    {
        for (int v = 0; v < voices; v++) {
            const Vec<float> values = made(columns, v == 1 ? 0.0f : 1.5f); // one voice is silent
            std::copy(values.begin(), values.end(), x.begin() + static_cast<std::ptrdiff_t>(v) * stride);
            k.quantise(&x[static_cast<size_t>(v) * stride], stride, &q[static_cast<size_t>(v) * q_stride],
                       &offset[static_cast<size_t>(v) * (q_stride / kChunk + 1)], &scale[v]);
        }
    }
    Vectors vectors() const { return {x.data(), stride, q.data(), offset.data(), scale.data(), q_stride}; }
};

// Where kernel.hpp says that a block's chunk (or column) lies.
size_t place(const Matrix &m, int block, int chunk, int chunks)
{
    const int first = block / m.group * m.group, width = std::min(m.group, m.blocks - first);
    return static_cast<size_t>(first) * chunks + static_cast<size_t>(chunk) * width + (block - first);
}

float product_f32(const Matrix &m, const Input &in, int voice, int row)
{
    const auto *w = static_cast<const float *>(m.weights);
    float sum = 0;
    for (int c = 0; c < m.columns; c++)
        sum = sum + w[place(m, row / kRows, c, m.columns) * kRows + row % kRows] *
                        in.x[static_cast<size_t>(voice) * in.stride + c];
    return sum;
}

float product_i8(const Matrix &m, const Input &in, int voice, int row)
{
    const auto *w = static_cast<const uint8_t *>(m.weights);
    int32_t sum = 0;
    for (int c = 0; c < m.chunks() * kChunk; c++) {
        const size_t chunk = place(m, row / kRows, c / kChunk, m.chunks()) * kRows * kChunk;
        const int in_chunk = c % kChunk;
        const int weight = w[chunk + (in_chunk / 4 * kRows + row % kRows) * 4 + in_chunk % 4] - 128;
        sum += weight * in.q[static_cast<size_t>(voice) * in.q_stride + c];
    }
    return static_cast<float>(sum) * (m.row_scale[row] * in.scale[voice]);
}

float product_i4(const Matrix &m, const Input &in, int voice, int row)
{
    const auto *w = static_cast<const uint8_t *>(m.weights);
    int32_t sum = 0;
    for (int chunk = 0; chunk < m.chunks(); chunk++) {
        const size_t at = place(m, row / kRows, chunk, m.chunks());
        int32_t part = 0;
        for (int c = 0; c < kChunk; c++) {
            const uint8_t byte = w[at * kRows * kChunk / 2 + (c / 8 * kRows + row % kRows) * 4 + c % 4];
            part += ((c % 8 < 4 ? byte & 15 : byte >> 4) - 8) *
                    in.q[static_cast<size_t>(voice) * in.q_stride + chunk * kChunk + c];
        }
        sum += part * m.chunk_scale[at * kRows + row % kRows];
    }
    return static_cast<float>(sum) * (m.row_scale[row] * in.scale[voice]);
}

float product(const Matrix &m, const Input &in, int voice, int row)
{
    return m.form == Form::f32  ? product_f32(m, in, voice, row)
           : m.form == Form::i8 ? product_i8(m, in, voice, row)
                                : product_i4(m, in, voice, row);
}

// What a product is added to.
enum class Added { nothing, to_itself, one_for_all, one_each };

void check_product(const Kernels &k, const Matrix &m, const Input &in, int voices, int begin, int end, Added added,
                   bool relu)
{
    const int rows = m.blocks * kRows;
    const Vec<float> before = made(static_cast<size_t>(voices) * rows, 1),
                     other = made(static_cast<size_t>(voices) * rows, 1);
    Vec<float> y = before;
    const float *add = added == Added::nothing ? nullptr : added == Added::to_itself ? y.data() : other.data();
    k.multiply(m, begin, end, in.vectors(), voices,
               {y.data(), rows, add, added == Added::one_for_all ? 0 : rows, relu});
    for (int v = 0; v < voices; v++)
        for (int row = 0; row < rows; row++) {
            const size_t at = static_cast<size_t>(v) * rows + row;
            float expected = before[at];
            if (row >= begin * kRows && row < end * kRows) {
                expected = product(m, in, v, row);
                if (added == Added::to_itself) expected += before[at];
                if (added == Added::one_for_all) expected += other[row];
                if (added == Added::one_each) expected += other[at];
                if (relu && !(expected > 0)) expected = 0;
            }
            CHECK(y[at] == expected);
        }
}

// The packed weights are those that were given, as exactly as the form can say.
void check_weights(const Kernels &k, const Matrix &m, const Vec<float> &w, int gates, int units, int columns)
{
    const float tolerance = m.form == Form::f32 ? 0.0f : m.form == Form::i8 ? 0.005f : 0.13f;
    for (int c = 0; c < columns; c++) {
        Input one(k, 1, columns);
        std::fill(one.x.begin(), one.x.end(), 0.0f);
        one.x[c] = 1;
        k.quantise(one.x.data(), one.stride, one.q.data(), one.offset.data(), one.scale.data());
        for (int gate = 0; gate < gates; gate++)
            for (int unit = 0; unit < padded(units, kRows); unit++) {
                const int row = (unit / kRows * gates + gate) * kRows + unit % kRows;
                const float expected = unit < units ? w[(static_cast<size_t>(gate) * units + unit) * columns + c]
                                                    : 0.0f;
                CHECK(std::fabs(product(m, one, 0, row) - expected) <= tolerance);
            }
    }
}

void check_products(const Kernels &k)
{
    for (Form form : {Form::f32, Form::i8, Form::i4})
        for (auto [gates, units, columns] :
             {std::array{1, 1, 1}, {1, 17, 31}, {3, 16, 33}, {4, 20, 40}, {2, 36, 100}, {1, 100, 64}, {1, 160, 5}}) {
            Arena arena;
            const Vec<float> w = made(static_cast<size_t>(gates) * units * columns, 0.9f);
            Matrix m = pack(arena, w.data(), gates, units, columns, form);
            check_weights(k, m, w, gates, units, columns);
            for (int voices : {1, 2, 3, 4, 5, 7, 8, 11, 17}) {
                const Input in(k, voices, columns);
                m.far = voices % 2;
                for (Added added : {Added::nothing, Added::to_itself, Added::one_for_all, Added::one_each})
                    check_product(k, m, in, voices, 0, m.blocks, added, voices % 3 == 0);
                for (int begin = 0; begin < m.blocks; begin += 2)
                    check_product(k, m, in, voices, begin, std::min(m.blocks, begin + 1 + begin % 3), Added::nothing,
                                  false);
            }
        }
}

// Every weight and every number as large as can be, so that the sums of pairs and of chunks are too.
void check_largest(const Kernels &k)
{
    const int rows = 64, columns = 96;
    for (Form form : {Form::i8, Form::i4})
        for (float weights : {-1.0f, 1.0f})
            for (int signs : {0, 1, 2, 3}) { // of the numbers: all the same, or every so many of them
                Arena arena;
                const Vec<float> w(static_cast<size_t>(rows) * columns, weights);
                const Matrix m = pack(arena, w.data(), 1, rows, columns, form);
                Input in(k, 2, columns);
                for (int i = 0; i < columns; i++) in.x[i] = signs && i % signs == 0 ? -1.0f : 1.0f;
                for (int i = 0; i < columns; i++) in.x[columns + i] = -in.x[i];
                for (int v = 0; v < 2; v++)
                    k.quantise(&in.x[v * in.stride], columns, &in.q[v * in.q_stride],
                               &in.offset[v * (in.q_stride / kChunk + 1)], &in.scale[v]);
                for (int voices : {1, 2}) check_product(k, m, in, voices, 0, m.blocks, Added::nothing, false);
            }
}

void check_quantise(const Kernels &k)
{
    for (int columns : {16, 32, 48, 112, 1024})
        for (float size : {0.0f, 1e-20f, 1.0f, 3e4f}) {
            const int wide = padded(columns, kChunk);
            const Vec<float> x = made(columns, size);
            Vec<int8_t> q(wide, 99);
            Vec<int32_t> offset(wide / kChunk + 1, 99);
            float scale = 99, largest = 0;
            k.quantise(x.data(), columns, q.data(), offset.data(), &scale);
            for (float value : x) largest = std::max(largest, std::fabs(value));
            CHECK(scale == largest * (1.0f / 127.0f));
            for (int c = 0; c < wide; c++) {
                const double exact = c < columns && largest > 0 ? 127.0 * x[c] / largest : 0.0;
                CHECK(std::abs(q[c] - exact) <= 0.501);
            }
            // what a set makes of the offsets the products show
        }
}

// ---------------------------------------------------------------- sums

void check_accumulate(const Kernels &k)
{
    for (int n : {16, 48, 160, 400})
        for (int count : {1, 2, 3, 4, 7}) {
            const size_t stride = n + 32;
            const Vec<float> w = made(stride * count, 1), u = made(count, 1), from = made(n, 1);
            Vec<float> y(n);
            k.accumulate(w.data(), stride, u.data(), count, from.data(), y.data(), n);
            Vec<float> own = from;
            k.accumulate(w.data(), stride, u.data(), count, own.data(), own.data(), n);
            for (int i = 0; i < n; i++) {
                float expected = from[i];
                for (int j = 0; j < count; j++) expected = expected + w[j * stride + i] * u[j];
                CHECK(y[i] == expected && own[i] == expected);
            }
        }
}

void check_tables(const Kernels &k)
{
    for (bool quantised : {false, true})
        for (auto [count, levels, width] : {std::array{1, 2, 3}, {4, 256, 24}, {8, 100, 50}, {2, 16, 700}}) {
            Arena arena;
            const Vec<float> given = made(static_cast<size_t>(count) * levels * width, 1);
            const Tables t = pack_tables(arena, given.data(), count, levels, width, quantised);
            std::vector<int32_t> codes(count);
            for (int32_t &c : codes) c = std::uniform_int_distribution<int32_t>(0, levels - 1)(numbers);
            const int blocks = t.width / kRows;
            const Vec<float> add = made(t.width, 1);
            for (bool relu : {false, true}) {
                Vec<float> y(t.width, 77);
                const int begin = blocks / 3, end = blocks - blocks / 5;
                k.add_tables(t, codes.data(), begin, end, add.data(), relu, y.data());
                for (int i = 0; i < t.width; i++) {
                    float expected = 77, sum = 0;
                    int whole = 0;
                    for (int j = 0; j < count; j++) {
                        const size_t row = (static_cast<size_t>(j) * levels + codes[j]) * t.width + i;
                        if (quantised) whole += t.i16[row];
                        else sum = sum + t.f32[row];
                    }
                    if (quantised) sum = static_cast<float>(whole) * t.scale;
                    if (i >= begin * kRows && i < end * kRows) {
                        expected = sum + add[i];
                        if (relu && !(expected > 0)) expected = 0;
                    }
                    CHECK(y[i] == expected);
                }
            }
        }
}

// ---------------------------------------------------------------- gates

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
bool near(float got, double expected) { return std::fabs(got - expected) < 2e-6; }

struct Gates {
    int units, gates;
    Vec<float> x, x2, u;

    Gates(int units_, int gates_, float size)
        : units(units_), gates(gates_), x(made(static_cast<size_t>(units_) * gates_, size)), x2(made(x.size(), size)),
          u(made(x.size(), size))
    {
    }
    size_t at(int unit, int gate, int of) const
    {
        return (static_cast<size_t>(unit) / kRows * of + gate) * kRows + unit % kRows;
    }
    double in(int unit, int gate, bool both) const
    {
        const size_t i = at(unit, gate, gates);
        return both ? x[i] + x2[i] : x[i];
    }
};

void check_gru(const Kernels &k, const Gates &g, bool both, int begin, int end)
{
    const Vec<float> before = made(g.units, 1), candidate = made(g.units, 1), un = made(g.units, 2);
    const float *x2 = both ? g.x2.data() : nullptr;
    Vec<float> h = before, reset(g.units, 9), finished = before;
    k.gru(g.x.data(), x2, g.u.data(), candidate.data(), begin, end, h.data());
    k.gru_reset(g.x.data(), x2, g.u.data(), begin, end, before.data(), reset.data());
    k.gru_finish(g.x.data(), x2, g.u.data(), un.data(), begin, end, finished.data());
    for (int i = 0; i < g.units; i++) {
        if (i < begin * kRows || i >= end * kRows) {
            CHECK(h[i] == before[i] && reset[i] == 9 && finished[i] == before[i]);
            continue;
        }
        const double r = sigmoid(g.in(i, 0, both) + g.u[g.at(i, 0, 3)]),
                     z = sigmoid(g.in(i, 1, both) + g.u[g.at(i, 1, 3)]);
        const double n = std::tanh(g.in(i, 2, both) + r * (g.u[g.at(i, 2, 3)] + candidate[i]));
        CHECK(near(h[i], (1 - z) * n + z * before[i]));
        // u has two gates with the reset before the product
        const double z2 = sigmoid(g.in(i, 1, both) + g.u[g.at(i, 1, 2)]), n2 = std::tanh(g.in(i, 2, both) + un[i]);
        CHECK(near(reset[i], sigmoid(g.in(i, 0, both) + g.u[g.at(i, 0, 2)]) * before[i]));
        CHECK(near(finished[i], (1 - z2) * n2 + z2 * before[i]));
    }
}

void check_lstm(const Kernels &k, const Gates &g, bool both, int begin, int end)
{
    const Vec<float> cell = made(g.units, 2);
    Vec<float> h(g.units, 9), c = cell;
    k.lstm(g.x.data(), both ? g.x2.data() : nullptr, g.u.data(), begin, end, h.data(), c.data());
    for (int i = 0; i < g.units; i++) {
        if (i < begin * kRows || i >= end * kRows) {
            CHECK(h[i] == 9 && c[i] == cell[i]);
            continue;
        }
        const auto sum = [&](int gate) { return g.in(i, gate, both) + g.u[g.at(i, gate, 4)]; };
        const double now = sigmoid(sum(1)) * cell[i] + sigmoid(sum(0)) * std::tanh(sum(2));
        CHECK(near(c[i], now));
        CHECK(near(h[i], sigmoid(sum(3)) * std::tanh(now)));
    }
}

void check_gates(const Kernels &k)
{
    for (int units : {16, 48, 112})
        for (float size : {0.5f, 4.0f, 60.0f})
            for (bool both : {false, true}) {
                const int blocks = units / kRows;
                check_gru(k, Gates(units, 3, size), both, 0, blocks);
                check_gru(k, Gates(units, 3, size), both, blocks / 2, blocks);
                check_lstm(k, Gates(units, 4, size), both, 0, blocks);
                check_lstm(k, Gates(units, 4, size), both, 0, blocks / 2);
            }
}

// ---------------------------------------------------------------- drawing

// The codes that may be drawn, likeliest first, those equally likely in their order, and their masses.
struct Allowed {
    std::vector<int> codes;
    std::vector<double> mass; // [q]
};

Allowed allowed(const Vec<float> &logits, float temperature, const Sampling &s)
{
    const int q = static_cast<int>(logits.size());
    Allowed out{std::vector<int>(q), std::vector<double>(q)};
    std::iota(out.codes.begin(), out.codes.end(), 0);
    const double most = *std::max_element(logits.begin(), logits.end());
    for (int c = 0; c < q; c++) out.mass[c] = std::exp((logits[c] - most) / temperature);
    std::stable_sort(out.codes.begin(), out.codes.end(), [&](int a, int b) { return logits[a] > logits[b]; });
    if (s.top_k > 0) out.codes.resize(std::min<size_t>(out.codes.size(), s.top_k));
    double whole = 0, sum = 0;
    for (int c : out.codes) whole += out.mass[c];
    size_t n = 0;
    while (n < out.codes.size() && (n == 0 || s.top_p >= 1 || sum < s.top_p * whole)) sum += out.mass[out.codes[n++]];
    out.codes.resize(n);
    while (out.codes.size() > 1 && out.mass[out.codes.back()] < s.min_p) out.codes.pop_back();
    return out;
}

void check_drawing(const Kernels &k)
{
    for (int q : {2, 15, 16, 17, 100, 256, 1000, kLevels})
        for (float temperature : {0.05f, 0.9f, 5.0f})
            for (const Sampling &s : {Sampling{}, Sampling{1, 1, 0}, Sampling{9, 1, 0}, Sampling{0, 0.6f, 0},
                                      Sampling{0, 1, 0.1f}, Sampling{20, 0.9f, 0.01f}}) {
                const Vec<float> logits = made(q, 4);
                const Allowed may = allowed(logits, temperature, s);
                std::vector<bool> in(q);
                double whole = 0;
                for (int c : may.codes) {
                    in[c] = true;
                    whole += may.mass[c];
                }
                for (int draw = 0; draw < 40; draw++) {
                    const float coin = draw == 0   ? 0.0f
                                       : draw == 1 ? 16777215.0f / 16777216.0f
                                                   : std::uniform_real_distribution<float>(0, 1)(numbers);
                    const int32_t code = k.sample(logits.data(), q, temperature, s, coin);
                    CHECK(code >= 0 && code < q && (in[code] || s.top_p < 1)); // rounding may let one more in or out
                    double below = 0;
                    for (int c = 0; c < code; c++) below += in[c] ? may.mass[c] : 0.0;
                    const double slack = s.top_p < 1 ? 2 * whole / may.codes.size() : 1e-5 * whole;
                    CHECK(coin * whole >= below - slack && coin * whole <= below + may.mass[code] + slack);
                }
            }
}

// Not only near to the plain loop, but the same bits as the plain set.
void check_same_bits(const Kernels &a, const Kernels &b)
{
    const int units = 112;
    const Vec<float> h0 = made(units, 1), candidate = made(units, 1), logits = made(300, 4);
    const Gates three(units, 3, 3), four(units, 4, 3);
    const auto run = [&](const Kernels &k) {
        Vec<float> h = h0, c = h0, all;
        k.gru(three.x.data(), three.x2.data(), three.u.data(), candidate.data(), 0, units / kRows, h.data());
        all.insert(all.end(), h.begin(), h.end());
        k.lstm(four.x.data(), nullptr, four.u.data(), 0, units / kRows, h.data(), c.data());
        all.insert(all.end(), h.begin(), h.end());
        all.insert(all.end(), c.begin(), c.end());
        for (int i = 0; i < 100; i++)
            all.push_back(static_cast<float>(
                k.sample(logits.data(), 300, 0.8f, {50, 0.95f, 0.001f}, static_cast<float>(i) / 100)));
        return all;
    };
    const Vec<float> ours = run(a), theirs = run(b);
    CHECK(std::memcmp(ours.data(), theirs.data(), ours.size() * sizeof(float)) == 0);
}

void check(const Kernels &k)
{
    std::printf("  %s\n", k.name);
    numbers.seed(1);
    check_quantise(k);
    check_products(k);
    check_largest(k);
    check_accumulate(k);
    check_tables(k);
    check_gates(k);
    check_drawing(k);
    check_same_bits(k, kernels_plain);
    for (const Form form : {Form::f32, Form::i8, Form::i4}) CHECK(k.peak(form, 5) % (5 * kRows) == 0);
}

} // namespace

int main()
{
    for (const char *set : {"plain", "avx2", "avx_vnni", "avx512", "neon", "neon_i8mm"})
        if (const Kernels *k = find_kernels(set)) check(*k);
#ifdef SOPI_X86
    if (find_kernels("avx2")) check(kernels_avx_vnni_exact);
#endif
}

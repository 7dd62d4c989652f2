#include "engine.hpp"

#include "denormals.hpp"
#include "team.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace sopi {

// ---------------------------------------------------------------- weights

static int pad(int n, int to) { return (n + to - 1) / to * to; }

Matrix::Matrix(const float *w, int rows_, int columns_, bool quantise) : rows(rows_), columns(columns_), quantised(quantise)
{
    const int all = blocks() * kRows, columns4 = pad(columns, 4);
    if (quantise) {
        i8.assign(static_cast<size_t>(all) * columns4, 0);
        row_scale.assign(all, 0.0f);
        row_sum.assign(all, 0);
    } else {
        f32.assign(static_cast<size_t>(all) * columns, 0.0f);
    }
    for (int first = 0; first < blocks(); first += kGroup) {
        const int in_group = std::min(kGroup, blocks() - first);
        for (int local = 0; local < in_group * kRows; local++) {
            const int row = first * kRows + local;
            if (row >= rows) break;
            const float *from = w + static_cast<size_t>(row) * columns;
            if (!quantise) {
                float *to = f32.data() + static_cast<size_t>(first) * kRows * columns + local;
                for (int c = 0; c < columns; c++) to[static_cast<size_t>(c) * in_group * kRows] = from[c];
                continue;
            }
            float largest = 0;
            for (int c = 0; c < columns; c++) largest = std::max(largest, std::fabs(from[c]));
            row_scale[row] = largest / 127.0f;
            int8_t *to = i8.data() + static_cast<size_t>(first) * kRows * columns4;
            for (int c = 0; c < columns; c++) {
                const int value = largest > 0 ? static_cast<int>(std::lrint(from[c] / largest * 127.0f)) : 0;
                to[(static_cast<size_t>(c / 4) * in_group * kRows + local) * 4 + c % 4] = static_cast<int8_t>(value);
                row_sum[row] += value;
            }
        }
    }
}

// ---------------------------------------------------------------- random stream

// Number `counter` of the stream `seed`, voice `voice`, in [0, 1): SplitMix64's output function over a counter.
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static float coin(uint64_t seed, int voice, uint64_t counter)
{
    const uint64_t key = mix(seed + 0x9e3779b97f4a7c15ull * (static_cast<uint64_t>(voice) + 1));
    return static_cast<float>(mix(key + 0x9e3779b97f4a7c15ull * (counter + 1)) >> 40) * (1.0f / 16777216.0f);
}

// ---------------------------------------------------------------- engine

NativeEngine::NativeEngine(std::shared_ptr<const Weights> weights, int voices, int threads, const Kernels *kernels)
    : w_(std::move(weights)), k_(kernels), voices_(voices), team_(std::make_unique<Team>(threads))
{
    const Weights &w = *w_;
    const int tiers = static_cast<int>(w.tiers.size()), lookback = w.lookback();
    states_.resize(voices_);
    for (Voice &v : states_) v.history.resize(2 * static_cast<size_t>(lookback));
    const int d = pad(w.dim, kRows), widest = std::max({d, pad(w.width, kRows), pad(lookback + w.features, kRows), pad(w.levels, kRows)});
    const int gates = w.gates * w.dim;
    stride_ = widest;
    stride_q_ = pad(widest, 64);
    const auto each = [this](int n) { return static_cast<size_t>(n) * voices_; };
    for (int t = 0; t < tiers; t++) {
        rnn_.emplace_back();
        for (size_t l = 0; l < w.tiers[t].layers.size(); l++) rnn_[t].emplace_back(each(w.state_size));
        output_.emplace_back(each(stride_));
        output_q_.emplace_back(each(stride_q_));
        output_scale_.emplace_back(voices_);
    }
    for (Vec<float> *v : {&frame_, &input_, &sum_, &scratch_, &level_a_, &level_b_, &logits_}) v->resize(each(stride_));
    gates_x_.resize(each(pad(gates, kRows)));
    gates_u_.resize(each(pad(gates, kRows)));
    xq_.resize(each(stride_q_));
    hq_.resize(each(stride_q_));
    x_scale_.resize(voices_);
    h_scale_.resize(voices_);
    codes_.resize(voices_);
    reset(0);
}

NativeEngine::~NativeEngine() = default;

std::shared_ptr<NativeEngine> NativeEngine::clone() const
{
    return std::make_shared<NativeEngine>(w_, voices_, threads(), k_);
}

int NativeEngine::threads() const noexcept { return team_->size(); }

void NativeEngine::reset(uint64_t seed)
{
    position_ = 0;
    end_ = w_->lookback();
    for (int v = 0; v < voices_; v++) reset_voice(v, seed);
}

void NativeEngine::reset_voice(int voice, uint64_t seed)
{
    const Weights &w = *w_;
    Voice &v = states_[voice];
    std::fill(v.history.begin(), v.history.end(), w.silence);
    v.seed = seed;
    v.drawn = 0;
    for (size_t t = 0; t < w.tiers.size(); t++) {
        for (size_t l = 0; l < w.tiers[t].layers.size(); l++)
            std::copy_n(w.tiers[t].layers[l].initial.data(), w.state_size, rnn(t, l) + static_cast<size_t>(voice) * w.state_size);
        std::fill_n(output(t, voice), w.dim, 0.0f);
        refresh_output(t);
    }
}

// ---------------------------------------------------------------- state as a whole

template <class F> void NativeEngine::each_array(int voice, F &&each) const
{
    const Weights &w = *w_;
    auto *self = const_cast<NativeEngine *>(this); // whoever is const only reads
    for (size_t t = 0; t < w.tiers.size(); t++) {
        for (size_t l = 0; l < w.tiers[t].layers.size(); l++)
            each(self->rnn(t, l) + static_cast<size_t>(voice) * w.state_size, w.state_size);
        each(self->output(t, voice), w.dim);
    }
}

void NativeEngine::refresh_outputs() noexcept
{
    for (size_t t = 0; t < w_->tiers.size(); t++) refresh_output(t);
}

void NativeEngine::save(State &state) const
{
    state.position = position_;
    state.voices.resize(voices_);
    for (int v = 0; v < voices_; v++) {
        State::Row &row = state.voices[v];
        row.history.assign(history(v), history(v) + w_->lookback());
        row.seed = states_[v].seed;
        row.drawn = states_[v].drawn;
        row.values.clear();
        each_array(v, [&](const float *x, int n) { row.values.insert(row.values.end(), x, x + n); });
    }
}

void NativeEngine::check(const State &state) const
{
    size_t values = 0;
    each_array(0, [&](const float *, int n) { values += n; });
    bool fits = static_cast<int>(state.voices.size()) == voices_ && state.position >= 0 && state.position < w_->lookback();
    for (const State::Row &row : state.voices)
        fits = fits && row.history.size() == static_cast<size_t>(w_->lookback()) && row.values.size() == values;
    if (!fits) throw std::invalid_argument("the snapshot is of another model or another number of voices");
}

void NativeEngine::restore_row(int voice, const State::Row &row)
{
    set_history(voice, row.history.data());
    const float *from = row.values.data();
    each_array(voice, [&](float *x, int n) {
        std::copy_n(from, n, x);
        from += n;
    });
}

void NativeEngine::restore(const State &state)
{
    check(state);
    position_ = state.position;
    for (int v = 0; v < voices_; v++) {
        restore_row(v, state.voices[v]);
        states_[v].seed = state.voices[v].seed;
        states_[v].drawn = state.voices[v].drawn;
    }
    refresh_outputs();
}

void NativeEngine::restore_voice(int voice, const State &state)
{
    check(state);
    restore_row(voice, state.voices[voice]);
    refresh_outputs();
}

void NativeEngine::approach(const State &state, float share)
{
    check(state);
    for (int v = 0; v < voices_; v++) {
        const float *from = state.voices[v].values.data();
        for (size_t t = 0; t < w_->tiers.size(); t++) {
            for (size_t l = 0; l < w_->tiers[t].layers.size(); l++) {
                float *h = rnn(t, l) + static_cast<size_t>(v) * w_->state_size;
                for (int i = 0; i < w_->state_size; i++) h[i] += share * (from[i] - h[i]);
                from += w_->state_size;
            }
            from += w_->dim;
        }
    }
}

void NativeEngine::kick(float share)
{
    for (int v = 0; v < voices_; v++) {
        // a stream of numbers beside the one that draws codes
        const uint64_t stream = states_[v].seed ^ mix(states_[v].drawn + 1);
        uint64_t number = 0;
        for (size_t t = 0; t < w_->tiers.size(); t++)
            for (size_t l = 0; l < w_->tiers[t].layers.size(); l++) {
                float *h = rnn(t, l) + static_cast<size_t>(v) * w_->state_size;
                for (int i = 0; i < w_->state_size; i++) h[i] += share * (2.0f * coin(stream, v, number++) - 1.0f - h[i]);
            }
    }
}

void NativeEngine::set_history(int voice, const int32_t *codes) noexcept
{
    std::copy_n(codes, w_->lookback(), states_[voice].history.data() + end_ - w_->lookback());
}

void NativeEngine::refresh_output(int tier) noexcept
{
    if (!w_->quantised) return;
    for (int v = 0; v < voices_; v++)
        k_->quantise(output_[tier].data() + static_cast<size_t>(v) * stride_, w_->dim, pad(w_->dim, 4),
                     output_q_[tier].data() + static_cast<size_t>(v) * stride_q_, &output_scale_[tier][v]);
}

void NativeEngine::push(const int32_t *codes, int64_t stride) noexcept
{
    const int lookback = w_->lookback();
    if (end_ == 2 * lookback) {
        for (Voice &v : states_) std::copy_n(v.history.data() + lookback, lookback, v.history.data());
        end_ = lookback;
    }
    for (int v = 0; v < voices_; v++) states_[v].history[end_] = codes[v * stride];
    end_++;
    position_ = (position_ + 1) % lookback;
}

void NativeEngine::multiply(const Matrix &m, const float *x, int x_stride, float *y, int y_stride, int8_t *xq, float *x_scale,
                            bool quantise) noexcept
{
    if (!m.quantised) {
        team_->rows(m, [&](int begin, int end) {
            k_->gemv_f32(m.f32.data(), m.columns, m.blocks(), begin, end, x, x_stride, voices_, y, y_stride);
        });
        return;
    }
    const int columns = pad(m.columns, 4);
    if (quantise)
        for (int v = 0; v < voices_; v++)
            k_->quantise(x + static_cast<size_t>(v) * x_stride, m.columns, columns, xq + static_cast<size_t>(v) * stride_q_,
                         &x_scale[v]);
    team_->rows(m, [&](int begin, int end) {
        k_->gemv_i8(m.i8.data(), m.row_scale.data(), m.row_sum.data(), columns / 4, m.blocks(), begin, end, xq, stride_q_, x_scale,
                    voices_, y, y_stride);
    });
}

void NativeEngine::run_tier(int tier) noexcept
{
    const Weights &w = *w_;
    const Tier &t = w.tiers[tier];
    const int d = w.dim, gates = w.gates * d, gate_stride = pad(gates, kRows);
    const auto at = [this](Vec<float> &x, int v) { return x.data() + static_cast<size_t>(v) * stride_; };

    // the frame, [voices][n]
    for (int v = 0; v < voices_; v++) {
        const int32_t *codes = states_[v].history.data() + end_ - t.frame;
        float *u = at(frame_, v);
        for (int i = 0; i < t.frame; i++) u[i] = w.frame_scale * static_cast<float>(codes[i]) + w.frame_offset;
        if (tier == 0 && features_) std::copy_n(features_ + v * features_stride_, w.features, u + t.frame);
        else if (tier == 0) std::fill_n(u + t.frame, w.features, 0.0f);
    }
    const float *input = frame_.data();
    if (t.input) {
        multiply(t.input, frame_.data(), stride_, input_.data(), stride_, nullptr, nullptr);
        for (int v = 0; v < voices_; v++) k_->add(at(input_, v), t.input_bias.data(), d);
        input = input_.data();
    }
    if (tier + 1 < static_cast<int>(w.tiers.size())) {
        // the part of the upper tier's frame that is for this one
        const Tier &above = w.tiers[tier + 1];
        const int part = position_ % above.frame / t.frame;
        multiply(above.up[part], at(output_[tier + 1], 0), stride_, scratch_.data(), stride_, output_q_[tier + 1].data(),
                 output_scale_[tier + 1].data(), false);
        for (int v = 0; v < voices_; v++) {
            k_->add(at(input_, v), at(scratch_, v), d);
            k_->add(at(input_, v), above.up_bias.data() + static_cast<size_t>(part) * above.below, d);
        }
    }

    Vec<float> &out = output_[tier];
    if (w.skip) std::fill(sum_.begin(), sum_.end(), 0.0f);
    const float *below = nullptr;
    int below_stride = 0;
    for (size_t l = 0; l < t.layers.size(); l++) {
        const Layer &layer = t.layers[l];
        float *state = rnn(tier, l);
        if (layer.input) multiply(layer.input, input, stride_, gates_x_.data(), gate_stride, xq_.data(), x_scale_.data());
        if (layer.below) {
            float *to = layer.input ? gates_u_.data() : gates_x_.data();
            multiply(layer.below, below, below_stride, to, gate_stride, xq_.data(), x_scale_.data());
            if (layer.input)
                for (int v = 0; v < voices_; v++)
                    k_->add(gates_x_.data() + static_cast<size_t>(v) * gate_stride, to + static_cast<size_t>(v) * gate_stride, gates);
        }
        multiply(layer.recurrent, state, w.state_size, gates_u_.data(), gate_stride, hq_.data(), h_scale_.data());
        for (int v = 0; v < voices_; v++) {
            float *x = gates_x_.data() + static_cast<size_t>(v) * gate_stride, *u = gates_u_.data() + static_cast<size_t>(v) * gate_stride;
            float *h = state + static_cast<size_t>(v) * w.state_size;
            k_->add(x, layer.bias.data(), gates);
            if (w.lstm) k_->lstm(x, u, d, h);
            else if (w.reset_after) k_->gru(x, u, layer.candidate.data(), d, h);
            else k_->gru_reset(x, u, d, h, at(scratch_, v));
        }
        if (layer.reset) {
            multiply(layer.reset, scratch_.data(), stride_, level_a_.data(), stride_, hq_.data(), h_scale_.data());
            for (int v = 0; v < voices_; v++)
                k_->gru_finish(gates_x_.data() + static_cast<size_t>(v) * gate_stride, gates_u_.data() + static_cast<size_t>(v) * gate_stride,
                               at(level_a_, v), d, state + static_cast<size_t>(v) * w.state_size);
        }
        if (layer.output) {
            multiply(layer.output, state, w.state_size, scratch_.data(), stride_, hq_.data(), h_scale_.data());
            for (int v = 0; v < voices_; v++) k_->add(at(sum_, v), at(scratch_, v), d);
        }
        below = state;
        below_stride = w.state_size;
    }
    for (int v = 0; v < voices_; v++) {
        const float *from = w.skip ? at(sum_, v) : below + static_cast<size_t>(v) * below_stride;
        std::copy_n(from, d, at(out, v));
        if (w.skip) k_->add(at(out, v), t.output_bias.data(), d);
    }
    refresh_output(tier);
}

void NativeEngine::run_tiers() noexcept
{
    for (int t = static_cast<int>(w_->tiers.size()) - 1; t >= 0; t--)
        if (position_ % w_->tiers[t].frame == 0) run_tier(t);
}

void NativeEngine::run_sample_level() noexcept
{
    const Weights &w = *w_;
    const Tier &t = w.tiers[0];
    const int part = position_ % t.frame;
    const auto at = [this](Vec<float> &x, int v) { return x.data() + static_cast<size_t>(v) * stride_; };
    Vec<float> &sum = w.sample.empty() ? logits_ : level_a_;
    multiply(t.up[part], output_[0].data(), stride_, sum.data(), stride_, output_q_[0].data(), output_scale_[0].data(), false);
    const float *bias = t.up_bias.data() + static_cast<size_t>(part) * w.width;
    for (int v = 0; v < voices_; v++) {
        const int32_t *codes = states_[v].history.data() + end_ - t.frame;
        if (w.quantised) k_->table_sum_i16(w.tables16.data(), w.tables_scale, t.frame, w.levels, w.width, codes, at(scratch_, v));
        else k_->table_sum_f32(w.tables.data(), t.frame, w.levels, w.width, codes, at(scratch_, v));
        k_->add(at(sum, v), at(scratch_, v), w.width);
        if (w.sum_relu) k_->add_relu(at(sum, v), bias, w.width);
        else k_->add(at(sum, v), bias, w.width);
    }
    Vec<float> *from = &level_a_, *to = &level_b_;
    for (size_t l = 0; l < w.sample.size(); l++) {
        const SampleLayer &layer = w.sample[l];
        if (l + 1 == w.sample.size()) to = &logits_;
        multiply(layer.weight, from->data(), stride_, to->data(), stride_, xq_.data(), x_scale_.data());
        for (int v = 0; v < voices_; v++) {
            if (layer.relu) k_->add_relu(at(*to, v), layer.bias.data(), layer.weight.rows);
            else k_->add(at(*to, v), layer.bias.data(), layer.weight.rows);
        }
        std::swap(from, to);
    }
}

void NativeEngine::generate(int32_t *codes, int64_t n, const Controls &controls)
{
    const DenormalsFlushed flushed;
    const Team::Awake awake(*team_);
    features_ = controls.features;
    features_stride_ = w_->features;
    for (int64_t i = 0; i < n; i++) {
        run_tiers();
        run_sample_level();
        for (int v = 0; v < voices_; v++) {
            Voice &voice = states_[v];
            const float u = coin(voice.seed, v, voice.drawn++);
            codes_[v] = k_->sample(logits_.data() + static_cast<size_t>(v) * stride_, w_->levels, controls.temperature[v * n + i],
                                   controls.sampling[v], u);
            codes[v * n + i] = codes_[v];
        }
        push(codes_.data(), 1);
    }
}

void NativeEngine::prime(const int32_t *codes, int64_t n, const float *features)
{
    const DenormalsFlushed flushed;
    features_ = features;
    features_stride_ = w_->features;
    const Team::Awake awake(*team_);
    for (int64_t i = 0; i < n; i++) {
        run_tiers();
        push(codes + i, n);
    }
}

void NativeEngine::replace_history(const int32_t *codes, int64_t stride)
{
    position_ = 0;
    for (int v = 0; v < voices_; v++) set_history(v, codes + v * stride);
}

void NativeEngine::teacher_force(const int32_t *codes, int64_t stride, int64_t n, const float *features, float *logits)
{
    const DenormalsFlushed flushed;
    const Team::Awake awake(*team_);
    const int q = w_->levels, frame = w_->tiers[0].frame;
    features_stride_ = (n + frame - 1) / frame * w_->features;
    for (int64_t i = 0; i < n; i++) {
        features_ = features + i / frame * w_->features;
        run_tiers();
        run_sample_level();
        for (int v = 0; v < voices_; v++)
            std::copy_n(logits_.data() + static_cast<size_t>(v) * stride_, q, logits + (static_cast<size_t>(v) * n + i) * q);
        push(codes + i, stride);
    }
}

} // namespace sopi

#include "engine/worker.hpp"

#include <algorithm>

namespace sopi {

constexpr int kColumns = 4; // of a frame, heard at a time

Worker::Worker(NativeEngine &engine, int index)
    : e_(engine), w_(*engine.w_), k_(*engine.k_), team_(*engine.team_), index_(index), d_(w_.units()),
      gates_(w_.gates * d_)
{
    const int unit_blocks = d_ / kRows;
    for (const Tier &t : w_.tiers) {
        TierShare share;
        const int layers = static_cast<int>(t.layers.size());
        const auto add = [&](Task::Kind kind, int layer, int blocks) {
            share.tasks.push_back({kind, layer, share.all, blocks});
            share.all += blocks;
        };
        for (int l = 0; l < layers; l++) add(Task::recurrent, l, t.layers[l].recurrent.blocks);
        share.own = share.all;
        if (&t != &w_.tiers.back()) {
            add(Task::condition, 0, unit_blocks);
            for (int l = 0; l < layers; l++)
                if (t.layers[l].condition) add(Task::conditioned, l, t.layers[l].condition.blocks);
        }
        for (int l = 0; l < layers; l++) share.h.push_back(room(d_));
        share.output = room(d_);
        share.condition = room(d_);
        tiers_.push_back(std::move(share));
    }
    level_ = room(engine.widest_);
    reset_ = room(d_);
}

Worker::Quantised Worker::room(int columns) const
{
    const size_t wide = padded(columns, kChunk), voices = e_.voices_;
    Quantised out;
    out.q.resize(voices * wide);
    out.offset.resize(voices * (wide / kChunk + 1));
    out.scale.resize(voices);
    return out;
}

Vectors Worker::as_read(const float *x, int stride, const Quantised &from) const noexcept
{
    return {
        x, stride, from.q.data(), from.offset.data(), from.scale.data(), static_cast<int>(from.q.size()) / e_.voices_};
}

Vectors Worker::read(const float *x, int stride, int columns, Quantised &into) noexcept
{
    const Vectors out = as_read(x, stride, into);
    if (w_.quantised)
        for (int v = 0; v < e_.voices_; v++)
            k_.quantise(x + static_cast<size_t>(v) * stride, columns,
                        into.q.data() + static_cast<size_t>(v) * out.q_stride,
                        into.offset.data() + static_cast<size_t>(v) * (out.q_stride / kChunk + 1), &into.scale[v]);
    return out;
}

// Before each call.
void Worker::begin() noexcept
{
    position_ = e_.position_;
    size_ = team_.active();
    if (!e_.stale_) return;
    handed_down_ = false;
    for (size_t t = 0; t < tiers_.size(); t++) {
        TierShare &mine = tiers_[t];
        const NativeEngine::TierState &state = e_.tiers_[t];
        mine.done = mine.columns = 0;
        mine.condition_read = false;
        for (size_t l = 0; l < mine.h.size(); l++) read(state.h[l].data(), d_, d_, mine.h[l]);
        read(state.output.data(), d_, d_, mine.output);
    }
}

// ---------------------------------------------------------------- ahead of the frame

// Goes on with a tier's next frame until block `until` of its tasks.
void Worker::advance(int tier, int until) noexcept
{
    TierShare &mine = tiers_[tier];
    NativeEngine::TierState &state = e_.tiers_[tier];
    const int from = mine.done;
    if (until <= from) return;
    for (const Task &task : mine.tasks) {
        const int unit = task.kind == Task::condition     ? 1
                         : task.kind == Task::conditioned ? w_.gates
                                                          : w_.tiers[tier].layers[task.layer].recurrent.group;
        const int begin = std::max(from - task.first, 0) / unit * unit,
                  end = std::min(until - task.first, task.blocks) / unit * unit;
        if (begin >= end) continue;
        const Range part = share(begin, end, unit);
        const Layer &layer = w_.tiers[tier].layers[task.layer];
        switch (task.kind) {
        case Task::recurrent:
            multiply(layer.recurrent, part, as_read(state.h[task.layer].data(), d_, mine.h[task.layer]),
                     {state.recurrent[task.layer].data(), gates_, nullptr, 0, false});
            break;
        case Task::condition: {
            const Tier &above = w_.tiers[tier + 1];
            const int size = w_.tiers[tier].frame, next = (position_ + size - 1) / size * size % above.frame / size;
            multiply(above.up[next], part, as_read(e_.tiers_[tier + 1].output.data(), d_, tiers_[tier + 1].output),
                     {state.condition.data(), d_, above.up_bias[next].data(), 0, false});
            break;
        }
        case Task::conditioned:
            if (!mine.condition_read) {
                if (from < task.first) team_.meet(index_); // the rest of c was made just now
                read(state.condition.data(), d_, d_, mine.condition);
                mine.condition_read = true;
            }
            multiply(layer.condition, part, as_read(state.condition.data(), d_, mine.condition),
                     {state.conditioned[task.layer].data(), gates_, nullptr, 0, false});
            break;
        }
    }
    mine.done = until;
}

// What the next sample and the next frames need and does not depend on the newest code.
void Worker::prepare() noexcept
{
    if (position_ % w_.tiers[0].frame) hand_down();
    for (size_t t = 0; t < tiers_.size(); t++) {
        const int size = w_.tiers[t].frame, j = position_ % size;
        if (!j) continue;
        const bool top = t + 1 == tiers_.size();
        const int end = position_ - j + size; // of the frame
        const int until = !top && end % w_.tiers[t + 1].frame == 0 ? tiers_[t].own : tiers_[t].all;
        advance(static_cast<int>(t), static_cast<int>(static_cast<int64_t>(until) * j / (size - 1)));
    }
}

// Adds the columns of the codes that came since; some at a time, because sums go to memory and back. `features` of the
// frame, or null, once it is complete.
void Worker::hear(int tier, const float *features, int64_t features_stride) noexcept
{
    TierShare &mine = tiers_[tier];
    NativeEngine::TierState &state = e_.tiers_[tier];
    const Tier &t = w_.tiers[tier];
    const int known = position_ % t.frame ? position_ % t.frame : t.frame;
    if (known < t.frame && known - mine.columns < kColumns) return;
    const bool with_features = known == t.frame && tier == 0 && features;
    const Range units = this->mine(d_ / kRows);
    const size_t first = static_cast<size_t>(units.begin) * w_.gates * kRows;
    const int n = (units.end - units.begin) * w_.gates * kRows;
    for (size_t l = 0; l < t.layers.size(); l++) {
        const Layer &layer = t.layers[l];
        if (layer.frame.empty()) continue;
        for (int v = 0; v < e_.voices_; v++) {
            float *y = state.frame[l].data() + static_cast<size_t>(v) * gates_ + first;
            const float *from = mine.columns ? y : layer.bias.data() + first;
            const auto add = [&](int column, const float *u, int count) {
                product([&] {
                    k_.accumulate(layer.frame.data() + static_cast<size_t>(column) * gates_ + first, gates_, u, count,
                                  from, y, n);
                });
                from = y;
            };
            const int32_t *codes = e_.states_[v].history.data() + last_codes(known);
            for (int j = mine.columns; j < known; j += kColumns) {
                float u[kColumns];
                const int count = std::min(kColumns, known - j);
                for (int i = 0; i < count; i++) u[i] = w_.seen[static_cast<size_t>(codes[j + i])];
                add(j, u, count);
            }
            if (with_features) add(t.frame, features + v * features_stride, w_.features);
        }
    }
    mine.columns = known;
}

// ---------------------------------------------------------------- the frame

void Worker::run_tier(int tier, const float *features, int64_t features_stride) noexcept
{
    TierShare &mine = tiers_[tier];
    NativeEngine::TierState &state = e_.tiers_[tier];
    const Tier &t = w_.tiers[tier];
    const Range units = this->mine(d_ / kRows), gates{units.begin * w_.gates, units.end * w_.gates};
    const int voices = e_.voices_, layers = static_cast<int>(t.layers.size());
    if (mine.done < mine.all) {
        advance(tier, mine.all);
        team_.meet(index_); // that was divided among us in another way
    }
    hear(tier, features, features_stride);
    for (int l = 0; l < layers; l++) {
        const Layer &layer = t.layers[l];
        const auto at = [](Vec<float> &x, int v, int stride) { return x.data() + static_cast<size_t>(v) * stride; };
        float *h = state.h[l].data();
        if (layer.below) {
            const bool heard = !layer.frame.empty();
            multiply(layer.below, gates, as_read(state.h[l - 1].data(), d_, mine.h[l - 1]),
                     {e_.gates_x_.data(), gates_, heard ? state.frame[l].data() : layer.bias.data(), heard ? gates_ : 0,
                      false});
        }
        const auto x = [&](int v) { return at(layer.below ? e_.gates_x_ : state.frame[l], v, gates_); };
        const auto x2 = [&](int v) { return layer.condition ? at(state.conditioned[l], v, gates_) : nullptr; };
        const auto u = [&](int v) { return at(state.recurrent[l], v, gates_); };
        for (int v = 0; v < voices; v++) {
            float *hv = at(state.h[l], v, d_);
            if (w_.lstm) k_.lstm(x(v), x2(v), u(v), units.begin, units.end, hv, at(state.c[l], v, d_));
            else if (w_.reset_after) k_.gru(x(v), x2(v), u(v), layer.candidate.data(), units.begin, units.end, hv);
            else k_.gru_reset(x(v), x2(v), u(v), units.begin, units.end, hv, at(e_.reset_h_, v, d_));
        }
        if (layer.reset) {
            team_.meet(index_);
            multiply(layer.reset, units, read(e_.reset_h_.data(), d_, d_, reset_),
                     {e_.reset_n_.data(), d_, nullptr, 0, false});
            for (int v = 0; v < voices; v++)
                k_.gru_finish(x(v), x2(v), u(v), at(e_.reset_n_, v, d_), units.begin, units.end, at(state.h[l], v, d_));
        }
        if (!w_.skip && l + 1 == layers)
            for (int v = 0; v < voices; v++)
                std::copy(at(state.h[l], v, d_) + units.begin * kRows, at(state.h[l], v, d_) + units.end * kRows,
                          at(state.output, v, d_) + units.begin * kRows);
        team_.meet(index_);
        const Vectors hs = read(h, d_, d_, mine.h[l]);
        if (w_.skip)
            multiply(layer.output, units, hs,
                     {state.output.data(), d_, l ? state.output.data() : t.output_bias.data(), l ? d_ : 0, false});
    }
    if (w_.skip) team_.meet(index_);
    read(state.output.data(), d_, d_, mine.output);
    mine.done = mine.columns = 0;
    mine.condition_read = false;
}

void Worker::run_tiers(const float *features, int64_t features_stride) noexcept
{
    for (int t = static_cast<int>(tiers_.size()) - 1; t >= 0; t--)
        if (position_ % w_.tiers[t].frame == 0) run_tier(t, features, features_stride);
}

// ---------------------------------------------------------------- the sample

// What tier 0 gives for the next sample.
void Worker::hand_down() noexcept
{
    if (handed_down_) return;
    const Tier &t = w_.tiers[0];
    const int part = position_ % t.frame;
    multiply(t.up[part], mine(t.up[part].blocks), as_read(e_.tiers_[0].output.data(), d_, tiers_[0].output),
             {e_.conditioning_.data(), e_.widest_, t.up_bias[part].data(), 0, false});
    handed_down_ = true;
}

// -> logits, my share of them
void Worker::run_sample_level() noexcept
{
    hand_down();
    handed_down_ = false;
    const int stride = e_.widest_;
    Vec<float> *to = w_.sample.empty() ? &e_.logits_ : &e_.level_a_, *other = &e_.level_b_;
    const Range columns = mine(w_.tiers[0].up[0].blocks); // as in hand_down
    for (int v = 0; v < e_.voices_; v++) {
        const size_t at = static_cast<size_t>(v) * stride;
        k_.add_tables(w_.tables, e_.states_[v].history.data() + last_codes(w_.tables.count), columns.begin, columns.end,
                      e_.conditioning_.data() + at, w_.sum_relu, to->data() + at);
    }
    int width = w_.tiers[0].up[0].blocks * kRows;
    for (size_t l = 0; l < w_.sample.size(); l++) {
        const SampleLayer &layer = w_.sample[l];
        team_.meet(index_);
        const Vectors x = read(to->data(), stride, width, level_);
        if (l + 1 == w_.sample.size()) to = &e_.logits_;
        else std::swap(to, other);
        multiply(layer.weight, mine(layer.weight.blocks), x, {to->data(), stride, layer.bias.data(), 0, layer.relu});
        width = layer.weight.blocks * kRows;
    }
}

// Appends a code to a voice's history; position_ still is the one before it.
void Worker::take(int voice, int32_t code) noexcept
{
    Voice &v = e_.states_[voice];
    v.history[position_] = v.history[position_ + w_.lookback()] = code;
    e_.hear(v, code);
}

// All voices' codes of this sample are taken, mine for certain.
void Worker::pass() noexcept
{
    if (index_ == 0) team_.settle();
    team_.arrive(index_);
    position_ = position_ + 1 == w_.lookback() ? 0 : position_ + 1;
}

bool Worker::wait_for_code(int64_t i, int64_t from) noexcept
{
    reached_ = i;
    team_.wait(index_);
    return i == from || !team_.leaves_off();
}

// Logits of the next code, whole, for all to see, once the code before is there.
void Worker::predict(const float *features, int64_t features_stride) noexcept
{
    for (size_t t = 0; t < tiers_.size(); t++)
        if (position_ % w_.tiers[t].frame) hear(static_cast<int>(t), nullptr, 0);
    run_tiers(features, features_stride);
    run_sample_level();
    team_.meet(index_);
}

void Worker::generate(int32_t *codes, float *audio, int64_t n, int64_t from, int64_t to,
                      const Controls &controls) noexcept
{
    for (int64_t i = from; i < to; i++) {
        prepare();
        if (!wait_for_code(i, from)) return;
        predict(controls.features, w_.features);
        for (int v = index_; v < e_.voices_; v += size_) {
            const Sampling &sampling = controls.sampling[v];
            const float temperature = e_.temperature(v, controls.temperature[v * n + i], sampling);
            const int32_t code = k_.sample(e_.logits(v), w_.levels, temperature, sampling, e_.draw(v));
            codes[v * n + i] = code;
            take(v, code);
            if (audio) audio[v * n + i] = e_.sound(v);
        }
        pass();
    }
    reached_ = to;
}

void Worker::teacher_force(const int32_t *codes, int64_t stride, int64_t n, int64_t from, int64_t to,
                           const float *features, float *logits) noexcept
{
    const int q = w_.levels, frame = w_.tiers[0].frame;
    const int64_t features_stride = (n + frame - 1) / frame * w_.features;
    for (int64_t i = from; i < to; i++) {
        prepare();
        if (!wait_for_code(i, from)) return;
        predict(features + i / frame * w_.features, features_stride);
        for (int v = index_; v < e_.voices_; v += size_) {
            std::copy_n(e_.logits(v), q, logits + (v * n + i) * q);
            take(v, codes[v * stride + i]);
        }
        pass();
    }
    reached_ = to;
}

void Worker::prime(const int32_t *codes, int64_t n, int64_t from, int64_t to, const float *features) noexcept
{
    for (int64_t i = from; i < to; i++) {
        if (!wait_for_code(i, from)) return;
        run_tiers(features, w_.features);
        for (int v = index_; v < e_.voices_; v += size_) take(v, codes[v * n + i]);
        pass();
    }
    reached_ = to;
}

void Worker::look_ahead(const float *features) noexcept
{
    prepare();
    wait_for_code(0, 0);
    predict(features, w_.features);
    reached_ = 1;
}

void Worker::consume(const int32_t *codes) noexcept
{
    for (int v = index_; v < e_.voices_; v += size_) take(v, codes[v]);
    pass();
    reached_ = 1;
}

} // namespace sopi

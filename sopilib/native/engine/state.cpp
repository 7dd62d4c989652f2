// The engine's state as a whole: kept, put back, approached and disturbed.
#include "engine/engine.hpp"

#include <algorithm>
#include <stdexcept>

namespace sopi {

template <class F> void NativeEngine::each_array(int voice, F &&each) noexcept
{
    const Weights &w = *w_;
    for (size_t t = 0; t < w.tiers.size(); t++) {
        for (size_t l = 0; l < w.tiers[t].layers.size(); l++) each_of(t, l, voice, [&](float *x) { each(x, w.dim); });
        each(output(t, voice), w.dim);
    }
}

void NativeEngine::save(State &state) const
{
    const Use use(*this);
    auto *self = const_cast<NativeEngine *>(this); // only reads
    state.position = position_;
    state.voices.resize(voices_);
    for (int v = 0; v < voices_; v++) {
        State::Row &row = state.voices[v];
        row.history.assign(history(v), history(v) + w_->lookback());
        row.seed = states_[v].seed;
        row.drawn = states_[v].drawn;
        row.recent.resize(Loudness::kWindow);
        for (int i = 0; i < Loudness::kWindow; i++) row.recent[static_cast<size_t>(i)] = states_[v].loudness[i];
        row.emphasis.assign(states_[v].memory.of, states_[v].memory.of + w_->coding.poles.size());
        row.values.clear();
        self->each_array(v, [&](const float *x, int n) { row.values.insert(row.values.end(), x, x + n); });
    }
}

void NativeEngine::check(const State &state) const
{
    size_t values = 0;
    const_cast<NativeEngine *>(this)->each_array(0, [&](const float *, int n) { values += n; });
    bool fits = static_cast<int>(state.voices.size()) == voices_ && state.position >= 0 &&
                state.position < w_->lookback();
    for (const State::Row &row : state.voices)
        fits = fits && row.history.size() == static_cast<size_t>(w_->lookback()) && row.values.size() == values &&
               (row.recent.empty() || row.recent.size() == Loudness::kWindow) &&
               (row.emphasis.empty() || row.emphasis.size() == w_->coding.poles.size());
    if (!fits) throw std::invalid_argument("the snapshot is of another model or another number of voices");
}

void NativeEngine::restore_row(int voice, const State::Row &row)
{
    set_history(voice, row.history.data());
    std::copy(row.emphasis.begin(), row.emphasis.end(), states_[voice].memory.of);
    if (!row.recent.empty()) states_[voice].loudness.set(row.recent.data());
    const float *from = row.values.data();
    each_array(voice, [&](float *x, int n) {
        std::copy_n(from, n, x);
        from += n;
    });
    state_changed();
}

void NativeEngine::restore(const State &state)
{
    const Use use(*this);
    check(state);
    position_ = state.position;
    for (int v = 0; v < voices_; v++) {
        restore_row(v, state.voices[v]);
        states_[v].seed = state.voices[v].seed;
        states_[v].drawn = state.voices[v].drawn;
    }
}

void NativeEngine::restore_voice(int voice, const State &state)
{
    const Use use(*this);
    check(state);
    restore_row(voice, state.voices[voice]);
}

void NativeEngine::approach(const State &state, float share)
{
    const Use use(*this);
    check(state);
    const int d = w_->dim;
    for (int v = 0; v < voices_; v++) {
        const float *from = state.voices[v].values.data();
        for (size_t t = 0; t < w_->tiers.size(); t++) {
            for (size_t l = 0; l < w_->tiers[t].layers.size(); l++)
                each_of(t, l, v, [&](float *x) {
                    for (int i = 0; i < d; i++) x[i] += share * (from[i] - x[i]);
                    from += d;
                });
            from += d;
        }
    }
    state_changed();
}

void NativeEngine::kick(float share)
{
    const Use use(*this);
    const int d = w_->dim;
    for (int v = 0; v < voices_; v++) {
        // a stream of numbers beside the one that draws codes
        const uint64_t stream = states_[v].seed ^ scramble(states_[v].drawn + 1);
        uint64_t number = 0;
        for (size_t t = 0; t < w_->tiers.size(); t++)
            for (size_t l = 0; l < w_->tiers[t].layers.size(); l++)
                each_of(t, l, v, [&](float *x) {
                    for (int i = 0; i < d; i++) x[i] += share * (2.0f * coin(stream, v, number++) - 1.0f - x[i]);
                });
    }
    state_changed();
}

} // namespace sopi

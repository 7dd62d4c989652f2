#include "engine/blend.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace sopi {

Blend::Blend(std::shared_ptr<NativeEngine> first, std::shared_ptr<NativeEngine> second)
    : first_(std::move(first)), second_(std::move(second)), period_(std::lcm(first_->period(), second_->period()))
{
    const int q = first_->weights().levels;
    const Coding &a = first_->coding(), &b = second_->coding();
    if (first_->voices() != second_->voices())
        throw std::invalid_argument("two models with different numbers of voices");
    if (first_->sample_rate() != second_->sample_rate()) throw std::invalid_argument("their sample rates differ");
    if (a.values != b.values) throw std::invalid_argument("their quantisers differ");
    if (a.poles != b.poles) throw std::invalid_argument("one has another emphasis than the other");
    while (position_ < period_ &&
           (position_ % first_->period() != first_->position() || position_ % second_->period() != second_->position()))
        position_++;
    if (position_ == period_) throw std::invalid_argument("they have not come equally far");
    logits_.resize(q);
    codes_.resize(voices());
}

void Blend::generate(int32_t *codes, float *audio, int64_t n, const Controls &controls)
{
    const int q = static_cast<int>(logits_.size());
    for (int64_t i = 0; i < n; i++) {
        const float share = controls.blend ? controls.blend[i] : 0.5f;
        first_->look_ahead(controls.features);
        second_->look_ahead(nullptr);
        for (int v = 0; v < voices(); v++) {
            const float *a = first_->logits(v), *b = second_->logits(v);
            for (int k = 0; k < q; k++) logits_[k] = a[k] + share * (b[k] - a[k]);
            const Sampling &sampling = controls.sampling[v];
            const float temperature = first_->temperature(v, controls.temperature[v * n + i], sampling);
            codes_[v] = codes[v * n + i] = first_->kernels().sample(logits_.data(), q, temperature, sampling,
                                                                    first_->draw(v));
        }
        first_->consume(codes_.data());
        second_->consume(codes_.data());
        for (int v = 0; audio && v < voices(); v++) audio[v * n + i] = first_->sound(v);
    }
    position_ = static_cast<int>((position_ + n) % period_);
}

void Blend::reset(uint64_t seed)
{
    first_->reset(seed);
    second_->reset(seed);
    position_ = 0;
}

void Blend::prime(const int32_t *codes, int64_t n, const float *features)
{
    first_->prime(codes, n, features);
    second_->prime(codes, n, nullptr);
    position_ = static_cast<int>((position_ + n) % period_);
}

void Blend::reset_voice(int voice, uint64_t seed)
{
    first_->reset_voice(voice, seed);
    second_->reset_voice(voice, seed);
}

// Each voice's histories and values one after the other.
void Blend::save(State &state) const
{
    State other;
    first_->save(state);
    second_->save(other);
    state.position = position_;
    for (size_t v = 0; v < state.voices.size(); v++) {
        State::Row &row = state.voices[v], &more = other.voices[v];
        row.history.insert(row.history.end(), more.history.begin(), more.history.end());
        row.values.insert(row.values.end(), more.values.begin(), more.values.end()); // the rest is one, as codes are
    }
}

void Blend::split(const State &state, State *first, State *second) const
{
    first_->save(*first);
    second_->save(*second);
    bool fits = state.voices.size() == first->voices.size() && state.position >= 0 && state.position < period_;
    for (size_t v = 0; fits && v < state.voices.size(); v++) {
        const State::Row &row = state.voices[v];
        State::Row &a = first->voices[v], &b = second->voices[v];
        fits = row.history.size() == a.history.size() + b.history.size() &&
               row.values.size() == a.values.size() + b.values.size();
        if (!fits) break;
        std::copy_n(row.history.begin(), a.history.size(), a.history.begin());
        std::copy_n(row.history.end() - static_cast<std::ptrdiff_t>(b.history.size()), b.history.size(),
                    b.history.begin());
        std::copy_n(row.values.begin(), a.values.size(), a.values.begin());
        std::copy_n(row.values.end() - static_cast<std::ptrdiff_t>(b.values.size()), b.values.size(), b.values.begin());
        a.seed = b.seed = row.seed;
        a.drawn = b.drawn = row.drawn;
        a.emphasis = b.emphasis = row.emphasis;
        a.recent = b.recent = row.recent;
    }
    if (!fits)
        throw std::invalid_argument("the snapshot is not of these two models blended, or of another number of voices");
    first->position = state.position % first_->period();
    second->position = state.position % second_->period();
}

void Blend::check(const State &state) const
{
    State a, b;
    split(state, &a, &b);
    first_->check(a);
    second_->check(b);
}

void Blend::restore(const State &state)
{
    State a, b;
    split(state, &a, &b);
    first_->restore(a);
    second_->restore(b);
    position_ = state.position;
}

void Blend::restore_voice(int voice, const State &state)
{
    State a, b;
    split(state, &a, &b);
    first_->restore_voice(voice, a);
    second_->restore_voice(voice, b);
}

void Blend::approach(const State &state, float share)
{
    State a, b;
    split(state, &a, &b);
    first_->approach(a, share);
    second_->approach(b, share);
}

void Blend::kick(float share)
{
    first_->kick(share);
    second_->kick(share);
}

} // namespace sopi

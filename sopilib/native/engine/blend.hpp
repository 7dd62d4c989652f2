// Two engines that write one music: each code is drawn from their logits, blended, and both hear it.
#pragma once

#include "engine/engine.hpp"

#include <memory>
#include <vector>

namespace sopi {

// Random numbers are those of the first. Its conditioning values are too; the second hears zeros.
class Blend final : public Source {
public:
    // The output's level, which is outside the coding, is the first one's. std::invalid_argument if voices, rates or codings
    // differ.
    Blend(std::shared_ptr<NativeEngine> first, std::shared_ptr<NativeEngine> second);

    int voices() const noexcept override { return first_->voices(); }
    int sample_rate() const noexcept override { return first_->sample_rate(); }
    int frame() const noexcept override { return first_->frame(); }
    int period() const noexcept override { return period_; }
    int position() const noexcept override { return position_; }
    int features() const noexcept override { return first_->features(); }
    const Coding &coding() const noexcept override { return first_->coding(); }
    uint64_t limited() const noexcept override { return first_->limited(); }

    void reset(uint64_t seed) override;
    void generate(int32_t *codes, float *audio, int64_t n, const Controls &controls) override;
    void prime(const int32_t *codes, int64_t n, const float *features) override;
    void reset_voice(int voice, uint64_t seed) override;
    void save(State &state) const override;
    void check(const State &state) const override;
    void restore(const State &state) override;
    void restore_voice(int voice, const State &state) override;
    void approach(const State &state, float share) override;
    void kick(float share) override;

private:
    // The parts of a state that are the engines'. std::invalid_argument if it is none of a blend.
    void split(const State &state, State *first, State *second) const;

    std::shared_ptr<NativeEngine> first_, second_;
    int period_, position_ = 0;
    std::vector<float> logits_; // [q]
    std::vector<int32_t> codes_; // [voices]
};

} // namespace sopi

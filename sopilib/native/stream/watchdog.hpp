// The guard over the voices of one model: what it does when a voice is caught in silence, a tone, a loop or a drone.
#pragma once

#include "source.hpp"
#include "stream/event.hpp"
#include "stream/trap.hpp"
#include "stream/voices.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

namespace sopi {

enum class Guarding { warn, nudge, reprime };

class Guard {
public:
    // Allocates. sample_rate in Hz, voices and recordings: of the model.
    Guard(Guarding how, int sample_rate, int voices, Stillness recordings = {});

    int voices() const noexcept { return int(detectors_.size()); }
    bool reprimes() const noexcept { return how_ == Guarding::reprime; }
    // RT. Model samples until it looks at a voice again.
    int until_look() const noexcept;
    // RT. More of a voice's sound as it was made, of which the last sample is heard at a host position. What follows is set in
    // `controls`. can_reprime: the source lets single voices begin anew.
    void watch(int voice, const float *samples, int n, uint64_t position, int host_rate, bool can_reprime,
               VoiceControls &controls, Teller &teller) noexcept;
    // The music is another one.
    void forget() noexcept;
    // Of voices that are well: what it goes back to, from before a trap that is not noticed yet. At most once a second.
    void keep_well(const Source &source, uint64_t position, int host_rate);
    // What it kept is of another source.
    void forget_well() noexcept { well_ = 0; }
    // Where a voice that goes back was well: before a trap, which had begun some time before it was noticed.
    const State &well(int voice) const noexcept { return kept_[backs_[voice]]; }

    std::atomic<bool> posted{false}; // a guard is posted once

private:
    const Guarding how_;
    std::vector<TrapDetector> detectors_; // [voices]
    std::vector<bool> told_; // [voices]
    static constexpr int kKept = 5;
    std::array<State, kKept> kept_; // each voice when it was well, a second or more apart, the newest first
    int well_ = 0; // how many of them there are
    std::vector<int> backs_; // [voices] which of them it goes back to
    uint64_t saved_ = 0; // host position
};

} // namespace sopi

// The guard over the voices of one model: what it does when a voice is caught in silence, a tone or a loop.
#pragma once

#include "source.hpp"
#include "stream/event.hpp"
#include "stream/trap.hpp"
#include "stream/voices.hpp"

#include <atomic>
#include <cstdint>
#include <vector>

namespace sopi {

enum class Guarding { warn, nudge, reprime };

class Guard {
public:
    // Allocates. sample_rate in Hz, voices: of the model.
    Guard(Guarding how, int sample_rate, int voices);

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
    // Where the voices were well.
    const State &well() const noexcept { return older_; }

    std::atomic<bool> posted{false}; // a guard is posted once

private:
    const Guarding how_;
    std::vector<TrapDetector> detectors_; // [voices]
    std::vector<bool> told_; // [voices]
    State newer_, older_; // each voice when it was well, a second or more apart
    int well_ = 0; // how many of the two there are
    uint64_t saved_ = 0; // host position
};

} // namespace sopi

#include "stream/watchdog.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace sopi {

namespace {

constexpr double kNudged = 1; // s that the temperature is raised
constexpr double kWell = 1;   // s between two states of voices that are well

} // namespace

Guard::Guard(Guarding how, int sample_rate, int voices, Stillness recordings)
    : how_(how), told_(voices, false), backs_(voices, 0)
{
    for (int v = 0; v < voices; v++) detectors_.emplace_back(sample_rate, double(v) / voices, recordings);
}

int Guard::until_look() const noexcept
{
    int left = detectors_.front().until_look();
    for (const TrapDetector &d : detectors_) left = std::min(left, d.until_look());
    return left;
}

void Guard::watch(int voice, const float *samples, int n, uint64_t position, int host_rate, bool can_reprime,
                  VoiceControls &controls, Teller &teller) noexcept
{
    TrapDetector &detector = detectors_[voice];
    if (!detector.feed(samples, n)) return;
    const Trap trap = detector.trap();
    if (trap == Trap::none) {
        told_[voice] = false;
        return;
    }
    if (!told_[voice]) teller.tell(Event::trap, position, name_of(trap), voice);
    told_[voice] = true;
    if (how_ == Guarding::nudge) controls.nudged_until = position + uint64_t(std::llround(kNudged * host_rate));
    if (how_ == Guarding::reprime && can_reprime && !controls.reseeds) {
        controls.reseeds = true;
        controls.reprimes = well_ >= 2;
        // a drone is seen when it has lasted for about two seconds
        backs_[voice] = std::min(well_ - 1, trap == Trap::drone ? kKept - 1 : 1);
        controls.reseeds_from = position;
        controls.seed++; // where it was never well: other music
        detector.forget();
        told_[voice] = false;
    }
}

void Guard::forget() noexcept
{
    for (TrapDetector &d : detectors_) d.forget();
}

void Guard::keep_well(const Source &source, uint64_t position, int host_rate)
{
    if (well_ > 0 && position < saved_ + uint64_t(std::llround(kWell * host_rate))) return;
    saved_ = position;
    State now;
    source.save(now);
    if (well_ < kKept) { // one more, for a while as the oldest
        kept_[well_] = well_ ? kept_[well_ - 1] : now;
        well_++;
    }
    for (size_t v = 0; v < now.voices.size(); v++) {
        if (well_ > 2 && detectors_[v].seen() != Trap::none) continue;
        for (int k = well_ - 1; k > 0; k--) std::swap(kept_[k].voices[v], kept_[k - 1].voices[v]);
        kept_[0].voices[v] = std::move(now.voices[v]);
    }
}

} // namespace sopi

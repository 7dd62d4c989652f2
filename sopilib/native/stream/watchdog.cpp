#include "stream/watchdog.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace sopi {

namespace {

constexpr double kNudged = 1; // s that the temperature is raised
constexpr double kWell = 1;   // s between two states of voices that are well

} // namespace

Guard::Guard(Guarding how, int sample_rate, int voices) : how_(how), told_(voices, false)
{
    for (int v = 0; v < voices; v++) detectors_.emplace_back(sample_rate, double(v) / voices);
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
        controls.reprimes = well_ == 2;
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
    if (well_ < 2) {
        (well_ ? newer_ : older_) = std::move(now);
        well_++;
        return;
    }
    for (size_t v = 0; v < now.voices.size(); v++) {
        if (detectors_[v].seen() != Trap::none) continue;
        std::swap(older_.voices[v], newer_.voices[v]);
        newer_.voices[v] = std::move(now.voices[v]);
    }
}

} // namespace sopi

// The lines in the host's output that commands wait for, if they are asked to: where a drum machine beside it has its beats.
#pragma once

#include <cmath>
#include <cstdint>

namespace sopi {

// RT. Positions are host frames. Lines are counted from the first beat of a bar; what is set holds for commands that come later.
class Grid {
public:
    bool on() const noexcept { return notes_ > 0; }
    // Whole notes from line to line; 0: there are none.
    void set(double notes) noexcept { notes_ = notes; }
    // Beats a minute. The last beat before `position` stays where it was.
    void tempo(double bpm, uint64_t position, int rate) noexcept
    {
        const double before = beat(rate), past = std::floor((double(position) - first_) / before);
        bpm_ = bpm;
        first_ += past * (before - beat(rate));
    }
    // A beat is here: of a bar that begins, or the one that is nearest of those that were expected.
    void beat_at(double bpm, uint64_t position, bool first, int rate) noexcept
    {
        const double number = first ? 0 : std::round((double(position) - first_) / beat(rate));
        bpm_ = bpm;
        first_ = double(position) - number * beat(rate);
    }
    // The first line not before `position`.
    uint64_t line(uint64_t position, int rate) const noexcept
    {
        const double length = 4 * beat(rate) * notes_;
        double number = std::floor((double(position) - first_) / length);
        double at = std::round(first_ + number * length);
        while (at < double(position)) at = std::round(first_ + ++number * length);
        return uint64_t(at);
    }

private:
    double beat(int rate) const noexcept { return 60.0 / bpm_ * rate; } // frames

    double bpm_ = 120, notes_ = 0;
    double first_ = 0; // where a bar begins
};

} // namespace sopi

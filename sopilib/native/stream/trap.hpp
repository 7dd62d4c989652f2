// A guard against traps: silence, one tone, one loop, a drone. It looks at what a voice produces, a window of a second or two
// at a time.
#pragma once

#include "stream/fourier.hpp"
#include "stream/stillness.hpp"

#include <complex>
#include <cstdint>
#include <optional>
#include <vector>

namespace sopi {

enum class Trap { none, silence, tone, loop, drone };
const char *name_of(Trap trap) noexcept; // empty for none

// Made on the control side for a rate; its functions allocate nothing.
class TrapDetector {
public:
    // phase: 0 .. 1 of the time between two looks, so that several need not look at once.
    // recordings: how still those of the model are; without them it knows no drones.
    TrapDetector(int sample_rate, double phase, Stillness recordings);
    // More of the sound. True when it has been looked at again: twice a second, after the same samples however they are split.
    bool feed(const float *samples, int n) noexcept;
    // After so many more samples it looks again.
    int until_look() const noexcept;
    // What it is in: something that has lasted for two seconds, or a drone.
    Trap trap() const noexcept;
    // What the last look saw, and a drone as soon as it may become one.
    Trap seen() const noexcept;
    // dB, or below 0: see StillDetector.
    double movement() const noexcept { return still_ ? still_->movement() : -1; }
    void forget() noexcept;

private:
    static constexpr int kLooks = 4;
    int length() const noexcept { return int(window_.size()); }
    void take(const float *samples, int n) noexcept;
    Trap look() noexcept;

    int thinned_; // so many samples are taken as their mean
    int rate_, filled_ = 0, since_, count_ = 0, summed_ = 0;
    float sum_ = 0;
    std::vector<float> window_; // the last second, a ring
    int at_ = 0;
    Fourier fourier_; // of a power of two of twice the window
    std::vector<std::complex<float>> spectrum_;
    std::optional<StillDetector> still_;
    Trap seen_ = Trap::none;
};

} // namespace sopi

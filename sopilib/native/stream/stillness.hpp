// How much a sound moves, and whether it has stopped moving as the recordings of its model move: a drone.
// sopilib/score/stillness.py is the readable version, which finds what a model's file says of its recordings.
#pragma once

#include "stream/fourier.hpp"

#include <array>
#include <complex>
#include <vector>

namespace sopi {

// How still the recordings of a model ever are. Unknown where `below` is 0.
struct Stillness {
    double below = 0;   // dB: what moves less is still
    double longest = 0; // s that they stay so
};

// Made on the control side; its functions allocate nothing.
class StillDetector {
public:
    // rate in Hz, of what it is fed, at most 16000.
    StillDetector(int rate, Stillness recordings);
    void feed(float sample) noexcept;
    void forget() noexcept;
    // dB, of the last two seconds that a frame of 50 ms ended; below 0: not known yet, or silent.
    double movement() const noexcept { return movement_; }
    bool still() const noexcept { return run_ > 0; }
    // It has been still for longer than the recordings ever are, by half, and for four seconds at least.
    bool drone() const noexcept;

private:
    static constexpr int kBands = 20, kWindow = 40; // frames of a window
    void end_frame() noexcept;
    double moved() const noexcept;

    const Stillness recordings_;
    std::vector<float> shape_, frame_; // [samples of 50 ms]
    double scale_ = 0;                 // from a bin's squared magnitude to power
    Fourier fourier_;
    std::vector<std::complex<float>> spectrum_;
    std::array<int, kBands + 1> edges_{}; // bins
    std::array<std::array<double, kBands>, kWindow> levels_{}; // dB, a ring of frames
    std::array<double, kWindow> powers_{};
    size_t filled_ = 0;        // samples of the frame
    int frames_ = 0, next_ = 0; // in the ring
    int run_ = 0;              // windows in turn that are still
    double movement_ = -1;
};

} // namespace sopi

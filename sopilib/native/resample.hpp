// From the model's rate to the host's: a streaming polyphase FIR that holds nothing back.
//
// The frame at host time k (counted from the first sample) is a sum over the model samples m <= k * down / up only,
// so a sample is first heard in the frame ceil(m * up / down) and never before. The price is a group delay of
// `delay` model samples, at most 2 ms.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace sopi {

// Windowed-sinc coefficients for one pair of rates. Immutable, shared.
struct Filter {
    int model_rate = 0, host_rate = 0; // Hz
    int up = 1, down = 1;              // host_rate / model_rate in lowest terms
    int taps = 1;                      // model samples that a frame is made of, a multiple of 8
    double delay = 0;                  // group delay in model samples
    std::vector<float> phases;         // [up][taps], oldest sample first; each phase sums to 1. Empty for equal rates

    // Not RT: some milliseconds.
    static std::shared_ptr<const Filter> design(int model_rate, int host_rate);
};

// The running state for several channels. All its functions but the constructor are RT.
class Resampler {
public:
    // `most`: frames asked for at once, at most.
    Resampler(std::shared_ptr<const Filter> filter, int channels, int most);

    const Filter &filter() const noexcept { return *filter_; }
    // Forgets the past: the next sample is the first.
    void restart() noexcept;
    // Model samples taken in since the start.
    uint64_t samples() const noexcept { return samples_; }
    // Host frame, from the start, in which sample `m` is first heard.
    uint64_t first_frame(uint64_t m) const noexcept { return (m * up_ + down_ - 1) / down_; }
    // Model samples that `process` takes for the next n frames.
    int needed(int n) const noexcept;
    // in [channels][stride] of which `needed(n)` each -> out[channel][0..n).
    void process(const float *in, int stride, float *const *out, int n) noexcept;

private:
    std::shared_ptr<const Filter> filter_;
    int channels_;
    uint64_t up_, down_;
    int room_;                 // samples a channel of past_ holds
    std::vector<float> past_;  // [channels][room_]: the last `taps` samples, then the new ones
    uint64_t samples_ = 0, frames_ = 0;
};

} // namespace sopi

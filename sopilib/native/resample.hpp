// From the model's rate to the host's: a streaming polyphase FIR that holds nothing back.
//
// The frame at host time k (counted from the first sample) is a sum over the model samples m <= k * down / up only,
// so a sample is first heard in the frame ceil(m * up / down) and never before. The price is a group delay of
// `delay` model samples, at most 2 ms.
//
// Played faster or slower (`rate`), the position among the samples is a running sum, and a frame is interpolated between
// the two nearest of many phases.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace sopi {

// Windowed-sinc coefficients for one pair of rates. Immutable, shared.
struct Filter {
    int model_rate = 0, host_rate = 0; // Hz
    int up = 1, down = 1; // host_rate / model_rate in lowest terms
    int taps = 1; // model samples that a frame is made of, a multiple of 8
    double delay = 0; // group delay in model samples
    bool between = false; // phases are interpolated between: there is one more than `up`
    std::vector<float> phases; // [up][taps], oldest sample first; each phase sums to 1. Empty for equal rates

    // Not RT: some milliseconds.
    static std::shared_ptr<const Filter> design(int model_rate, int host_rate);
    // For any rate up to `fastest` times the model's own.
    static std::shared_ptr<const Filter> design_between(int model_rate, int host_rate, double fastest);

private:
    void fill(double lower);
};

constexpr double kFastest = 4, kSlowest = 0.25; // times the model's own rate

// The running state for several channels. All its functions but the constructor are RT. For each block: `plan`, then
// `process` with the samples that it asked for.
class Resampler {
public:
    // `most`: frames asked for at once, at most.
    Resampler(std::shared_ptr<const Filter> filter, int channels, int most);

    const Filter &filter() const noexcept { return *filter_; }
    // Forgets the past: the next sample is the first, at the model's own rate.
    void restart() noexcept;
    // From here on `plan` takes a rate; `filter` is one of design_between.
    void vary(std::shared_ptr<const Filter> filter) noexcept;
    bool varies() const noexcept { return between_ != nullptr; }
    // Model samples taken in, and frames given, since the start.
    uint64_t samples() const noexcept { return samples_; }
    uint64_t frames() const noexcept { return frames_; }
    // Looks n frames ahead -> model samples that `process` will take for them. rate [n]: model seconds a second, if it varies.
    int plan(int n, const double *rate = nullptr) noexcept;
    // The frame of the plan in which the i-th of its samples is first heard.
    int heard(int i) const noexcept { return heard_[i]; }
    // in [channels][stride] -> out[channel][0..n), n as planned.
    void process(const float *in, int stride, float *const *out) noexcept;
    // Most samples that a plan takes.
    int most_samples() const noexcept { return static_cast<int>(heard_.size()); }

private:
    std::shared_ptr<const Filter> filter_, between_;
    int channels_;
    uint64_t up_, down_;
    int taps_, room_; // room_: samples a channel of past_ holds
    std::vector<float> past_; // [channels][room_]: the last `taps` samples, then the new ones
    uint64_t samples_ = 0, frames_ = 0;
    // When it varies: the next frame's newest sample, counted from samples_, and how far the frame is past it. Kept apart,
    // so that sums round alike however the frames are split.
    int whole_ = 0, planned_whole_ = 0;
    double part_ = 0, planned_part_ = 0;
    int planned_ = 0, takes_ = 0;
    std::vector<int> newest_; // [planned_]: its newest sample, counted from samples_
    std::vector<double> phase_; // [planned_]: row of the filter's phases
    std::vector<int> heard_; // [takes_]
};

} // namespace sopi

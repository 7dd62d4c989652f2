// A source with what it takes to hear it at the host's rate.
#pragma once

#include "resample.hpp"
#include "source.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

namespace sopi {

constexpr double kFade = 0.005; // s: the shortest fade of start, stop and seed, and that after an underrun
constexpr double kPi = 3.14159265358979323846;

// Raised cosine, 0 before `length` steps and 1 after them.
inline float fade_in(uint64_t step, uint64_t length) noexcept
{
    return float(0.5 - 0.5 * std::cos(kPi * (double(step) + 0.5) / double(length)));
}

// Frames made at once: 2 ms.
inline int chunk_of(int host_rate) noexcept { return std::max(1, host_rate / 500); }

struct Player {
    // host_rate may be 0 if it is not known yet: then the producer calls `fit` when it is.
    Player(std::shared_ptr<Source> source, int channels, int host_rate);
    // Allocates.
    void fit(int host_rate);
    // RT. The filter for a rate, in times the model's own.
    const std::shared_ptr<const Filter> &between(double rate) const noexcept
    {
        return between_[rate <= 1 ? 0 : rate <= 2 ? 1 : 2];
    }
    // RT. Host position of the next frame that the resampler gives.
    uint64_t next() const noexcept { return origin + resampler->frames(); }
    // RT. Host position at which the i-th of the samples that were planned is first heard.
    uint64_t heard(int i) const noexcept { return next() + uint64_t(resampler->heard(i)); }

    const std::shared_ptr<Source> source;
    std::unique_ptr<Resampler> resampler;
    const int voices, channels;
    int most = 0;                    // model samples generated in one call
    uint64_t origin = 0;             // host position of the resampler's frame 0
    uint64_t rise_samples = 0;       // model samples from there on that fade in
    std::vector<int32_t> codes;      // [voices][most]
    std::vector<float> temperatures; // [voices][most]
    std::vector<Sampling> sampling;  // [voices]
    std::vector<float> features;     // [voices][source->features()]
    std::vector<float> audio;        // [channels][most]
    std::vector<float> blends;       // [most]
    std::vector<float> raw;          // [voices][n] of one call: each voice as it was made
    std::vector<double> rates;       // [frames of a chunk]
    bool failed = false;
    bool idle = false; // blended out: it begins again where it was
    std::atomic<bool> posted{false}; // a player is posted once

private:
    std::shared_ptr<const Filter> between_[3]; // up to the model's own rate, twice, four times
};

} // namespace sopi

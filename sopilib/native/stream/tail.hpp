// What is left of a sound that was cut: it fades out while the new one fades in. So nothing clicks.
#pragma once

#include "stream/player.hpp"

#include <algorithm>
#include <vector>

namespace sopi {

// RT, but for `fit`.
class Tail {
public:
    // Allocates for tails of up to `most` frames.
    void fit(int channels, int most)
    {
        present_.assign(size_t(channels) * most, 0.0f);
        next_ = present_;
        channels_ = channels;
        most_ = most;
        clear();
    }
    void clear() noexcept { length_ = done_ = 0; }
    bool sounds() const noexcept { return done_ < length_; }
    // A cut that was made at this very frame.
    bool fresh() const noexcept { return length_ > 0 && done_ == 0; }
    int most() const noexcept { return most_; }
    // Where the next tail's samples of a channel go, from frame `done` on.
    float *next(int channel, int done) noexcept { return &next_[size_t(channel) * most_ + done]; }
    // What was put there is the tail from now on.
    void take(int length) noexcept
    {
        std::swap(present_, next_);
        length_ = length;
        done_ = 0;
    }
    // A tail that stands still: values [channels].
    void hold(const float *values, int length) noexcept
    {
        length_ = std::clamp(length, 1, most_);
        done_ = 0;
        for (int c = 0; c < channels_; c++) std::fill_n(&present_[size_t(c) * most_], length_, values[c]);
    }
    // Adds its next frames to out[channel][0..n).
    void add(float *const *out, int n) noexcept
    {
        const int fading = std::min(n, length_ - done_);
        for (int i = 0; i < fading; i++) {
            const float weight = 1.0f - fade_in(done_ + i, length_);
            for (int c = 0; c < channels_; c++) out[c][i] += weight * present_[size_t(c) * most_ + done_ + i];
        }
        if (fading > 0) done_ += fading;
        if (done_ >= length_) clear();
    }

private:
    std::vector<float> present_, next_; // [channels][most]
    int channels_ = 0, most_ = 0, length_ = 0, done_ = 0;
};

} // namespace sopi

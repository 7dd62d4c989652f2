// How loud a voice has just been, counted in integers, so that it is the same on every machine and for any split of the work.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace sopi {

class Loudness {
public:
    static constexpr int kWindow = 512; // samples

    // RT.
    void add(float x) noexcept
    {
        const int32_t newest = static_cast<int32_t>(std::lrint(std::clamp(x, -1.0f, 1.0f) * kFull));
        int32_t &place = recent_[at_];
        energy_ += static_cast<int64_t>(newest) * newest - static_cast<int64_t>(place) * place;
        place = newest;
        at_ = (at_ + 1) % kWindow;
    }
    // RT. Whether the root mean square of the window is less than `level` dB below full scale.
    bool below(float level) const noexcept
    {
        const double most = kWindow * double(kFull) * double(kFull) * std::pow(10.0, double(level) / 10);
        return energy_ < std::llround(most);
    }
    // The window, oldest sample first.
    int32_t operator[](int i) const noexcept { return recent_[(at_ + i) % kWindow]; }
    void set(const int32_t *recent) noexcept
    {
        energy_ = at_ = 0;
        for (int i = 0; i < kWindow; i++) {
            recent_[i] = std::clamp(recent[i], -static_cast<int32_t>(kFull), static_cast<int32_t>(kFull));
            energy_ += static_cast<int64_t>(recent_[i]) * recent_[i];
        }
    }

private:
    static constexpr float kFull = 32767; // of full scale

    int32_t recent_[kWindow] = {};
    int at_ = 0; // the oldest
    int64_t energy_ = 0;
};

} // namespace sopi

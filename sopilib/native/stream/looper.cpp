#include "stream/looper.hpp"

#include "stream/player.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace sopi {

namespace {

constexpr double kPast = 4;        // s of the output that can be frozen
constexpr double kLoopFade = 0.01; // s in which the end of a loop becomes its beginning

} // namespace

bool Looper::fit(int channels, int host_rate)
{
    channels_ = channels;
    rate_ = host_rate;
    room_ = 1;
    while (room_ < kPast * host_rate) room_ *= 2;
    past_.assign(size_t(channels) * room_, 0.0f);
    return std::exchange(frozen_, false);
}

void Looper::forget(uint64_t from, uint64_t to) noexcept
{
    if (to > from + room_) from = to - room_;
    for (int c = 0; c < channels_; c++)
        for (uint64_t p = from; p < to; p++) remember(c, p, 0.0f);
}

void Looper::freeze(uint64_t end, uint64_t length) noexcept
{
    if (!frozen_) end_ = end;
    length_ = std::clamp<uint64_t>(length, 1, room_ / 2);
    done_ = rise_ = 0;
    frozen_ = true;
}

void Looper::play(float *const *out, int n) noexcept
{
    const uint64_t mask = room_ - 1, rise = uint64_t(std::llround(kFade * rate_));
    const uint64_t fade = std::max<uint64_t>(
        1, std::min<uint64_t>(uint64_t(std::llround(kLoopFade * rate_)), length_ / 4));
    for (int i = 0; i < n; i++, done_++) {
        const uint64_t j = done_ % length_, at = end_ - length_ + j, risen = done_ - rise_;
        const float into = j + fade >= length_ ? fade_in(j + fade - length_, fade) : 0.0f;
        const float weight = risen < rise ? fade_in(risen, rise) : 1.0f;
        for (int c = 0; c < channels_; c++) {
            const float *past = &past_[size_t(c) * room_];
            const float x = past[at & mask], beginning = past[(at - length_) & mask];
            out[c][i] = weight * (x + into * (beginning - x));
        }
    }
}

} // namespace sopi

// Remembers what sounded, and loops the last of it while it is frozen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sopi {

// RT, but for `fit`. Positions are host frames.
class Looper {
public:
    // Allocates, and forgets all. True if something was frozen.
    bool fit(int channels, int host_rate);
    bool frozen() const noexcept { return frozen_; }
    // One sample of what sounds; while it is frozen nothing is remembered.
    void remember(int channel, uint64_t position, float x) noexcept
    {
        if (!frozen_) past_[size_t(channel) * room_ + (position & (room_ - 1))] = x;
    }
    // Nothing sounded in [from, to).
    void forget(uint64_t from, uint64_t to) noexcept;
    // The `length` frames before `end` are looped. Frozen again, another length of the same past.
    void freeze(uint64_t end, uint64_t length) noexcept;
    void thaw() noexcept { frozen_ = false; }
    // Fades in from here on.
    void rise() noexcept { rise_ = done_; }
    // The next n frames of the loop, its end crossfaded into its beginning.
    void play(float *const *out, int n) noexcept;

private:
    std::vector<float> past_; // [channels][room_]
    int channels_ = 0, rate_ = 0;
    uint32_t room_ = 0; // frames, a power of two
    bool frozen_ = false;
    uint64_t end_ = 0, length_ = 1, done_ = 0, rise_ = 0; // done_: frames of it played; faded in from rise_ on
};

} // namespace sopi

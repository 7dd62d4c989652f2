// What the stream plays: something that turns random numbers and memory into codes, one voice or several.
#pragma once

#include <cstdint>

namespace sopi {

class Source {
public:
    virtual ~Source() = default;

    virtual int voices() const noexcept = 0;
    virtual int sample_rate() const noexcept = 0;
    // Samples in a bottom frame.
    virtual int frame() const noexcept = 0;
    // Samples since the present bottom frame began: 0 .. frame() - 1.
    virtual int phase() const noexcept = 0;
    // [q_levels] audio value of each code.
    virtual const float *decode_table() const noexcept = 0;

    // Starts anew: silence as history, initial RNN states, random streams from `seed` on.
    virtual void reset(uint64_t seed) = 0;
    // codes [voices][n]; temperature [voices][n], each > 0. The split of n into calls changes nothing.
    virtual void generate(int32_t *codes, int64_t n, const float *temperature) = 0;
};

} // namespace sopi

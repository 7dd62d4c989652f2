// What the stream plays: something that turns random numbers and memory into codes, one voice or several.
#pragma once

#include <cstdint>

namespace sopi {

// Which codes may be drawn, in the order in which they are ruled out after temperature is applied. The likeliest always may.
struct Sampling {
    int top_k = 0;   // only the k likeliest; 0: all
    float top_p = 1; // of these, the smallest set that has this share of their mass, (0, 1]
    float min_p = 0; // of these, codes at least this times as likely as the likeliest, [0, 1]
};

// How one call generates.
struct Controls {
    const float *temperature;        // [voices][n], each > 0
    const Sampling *sampling;        // [voices]
    const float *features = nullptr; // [voices][F], or null: zeros
};

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
    // codes [voices][n]. The split of n into calls changes nothing.
    virtual void generate(int32_t *codes, int64_t n, const Controls &controls) = 0;
};

} // namespace sopi

// What the stream plays: something that turns random numbers and memory into codes, one voice or several.
#pragma once

#include "coding.hpp"

#include <cstdint>
#include <vector>

namespace sopi {

// Everything that a bit-exact continuation needs.
struct State {
    struct Row { // of one voice
        std::vector<int32_t> history; // [period]
        uint64_t seed = 0, drawn = 0;
        std::vector<float> values; // tier by tier: the state of each RNN layer, then what the tier gave last
        std::vector<int32_t> recent; // [Loudness::kWindow] how loud it was; none: what the history makes of it
        std::vector<float> emphasis; // [poles] what undoing emphasis remembers; none: what the history makes of it
    };
    int position = 0; // samples since the present top frame began
    std::vector<Row> voices;
};

// Which codes may be drawn, in the order in which they are ruled out after temperature is applied. The likeliest always may.
struct Sampling {
    int top_k = 0; // only the k likeliest; 0: all
    float top_p = 1; // of these, the smallest set that has this share of their mass, (0, 1]
    float min_p = 0; // of these, codes at least this times as likely as the likeliest, [0, 1]
    float rest = 0; // the temperature where the voice has been quiet; 0: its own
    float rest_level = -30; // dB: what is quiet
};

// How one call generates.
struct Controls {
    const float *temperature; // [voices][n], each > 0
    const Sampling *sampling; // [voices]
    const float *features = nullptr; // [voices][F], or null: zeros
    const float *blend = nullptr; // [n] share of the second, of a source that blends two, 0 .. 1
};

class Source {
public:
    virtual ~Source() = default;

    virtual int voices() const noexcept = 0;
    virtual int sample_rate() const noexcept = 0;
    // Samples in a bottom frame.
    virtual int frame() const noexcept = 0;
    // Samples in a top frame.
    virtual int period() const noexcept = 0;
    // Samples since the present top frame began: 0 .. period() - 1.
    virtual int position() const noexcept = 0;
    // F: conditioning values that each bottom frame hears.
    virtual int features() const noexcept = 0;
    // How its codes are sound.
    virtual const Coding &coding() const noexcept = 0;
    // How many samples its limiter has held so far.
    virtual uint64_t limited() const noexcept { return 0; }

    // Starts anew: silence as history, initial RNN states, random streams from `seed` on.
    virtual void reset(uint64_t seed) = 0;
    // codes [voices][n], and what they sound like, [voices][n], or null. The split of n into calls changes nothing.
    virtual void generate(int32_t *codes, float *audio, int64_t n, const Controls &controls) = 0;

    // codes [voices][n] appended to the past; features [voices][F], or null: zeros
    virtual void prime(const int32_t *codes, int64_t n, const float *features) = 0;
    // One voice starts anew; only where position() is 0.
    virtual void reset_voice(int voice, uint64_t seed) = 0;
    // False for a source without snapshots, morphing, kicks and seeds of single voices: those throw std::runtime_error.
    virtual bool remembers() const noexcept { return true; }
    virtual void save(State &state) const = 0;
    // std::invalid_argument if `state` is not of the same model and number of voices.
    virtual void check(const State &state) const = 0;
    // `state` must be of the same model and number of voices: std::invalid_argument else.
    virtual void restore(const State &state) = 0;
    // One voice of it; only where position() is 0, and was for `state`. The random stream goes on as it is.
    virtual void restore_voice(int voice, const State &state) = 0;
    // RNN states go this share of the way towards those of `state`, 0 .. 1.
    virtual void approach(const State &state, float share) = 0;
    // Noise takes the place of this share of the RNN states, 0 .. 1.
    virtual void kick(float share) = 0;
};

} // namespace sopi

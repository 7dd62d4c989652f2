// What is set for each voice, and how the voices become the channels of a stream.
#pragma once

#include "stream/command.hpp"
#include "stream/moving.hpp"
#include "stream/player.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace sopi {

// A value for each command that is a knob, by its id.
struct Knobs {
    Knobs() noexcept
    {
        for (size_t id = 0; id < kIds; id++) values[id] = Moving(kCommands[id].usual);
    }
    const Moving &operator[](Id id) const noexcept { return values[static_cast<size_t>(id)]; }
    Moving &operator[](Id id) noexcept { return values[static_cast<size_t>(id)]; }
    void stretch(double time, double factor) noexcept
    {
        for (Moving &m : values) m.stretch(time, factor);
    }

    std::array<Moving, kIds> values;
};

struct VoiceControls {
    Knobs knobs;
    bool panned = false; // else its place among the voices says where it is
    std::vector<Moving> features;
    // A new seed fades the music out, and begins where the next top frame does.
    bool reseeds = false, reprimes = false; // reprimes: it goes on from where the guard last found it well
    uint64_t seed = 0, reseeds_from = 0, rise = 0; // rise: samples left of the fade in
    uint64_t nudged_until = 0; // its temperature is raised so long
};

class Voices {
public:
    // Those that are new are set as all were.
    void resize(size_t voices) { voices_.resize(voices, common_); }
    size_t size() const noexcept { return voices_.size(); }
    VoiceControls &operator[](size_t voice) noexcept { return voices_[voice]; }
    const VoiceControls &operator[](size_t voice) const noexcept { return voices_[voice]; }
    // voice -1: all, and those that come later. What is set for one before the model is there waits for it.
    template <class F> void set(int voice, F &&set)
    {
        if (voice < 0) {
            set(common_);
            for (VoiceControls &v : voices_) set(v);
        } else {
            if (size_t(voice) >= voices_.size()) voices_.resize(size_t(voice) + 1, common_);
            set(voices_[voice]);
        }
    }
    bool any_reseeds() const noexcept
    {
        return std::any_of(voices_.begin(), voices_.end(), [](const VoiceControls &v) { return v.reseeds; });
    }
    // From host frame `at` on, what is still to come takes `factor` times as many frames.
    void stretch(uint64_t at, double factor) noexcept;
    // RT. The voices of p.raw [voices][n] into the channels of p.audio from sample `from` of the plan on.
    // mixed: over the channels as pan says; else each voice has its channel.
    void mix(Player &p, int from, int n, bool mixed, int host_rate) noexcept;

private:
    static float faded(float x, VoiceControls &voice, const Player &p, uint64_t sample, uint64_t position,
                       int host_rate) noexcept;

    VoiceControls common_; // of voices that come later
    std::vector<VoiceControls> voices_;
};

} // namespace sopi

#include "stream/voices.hpp"

#include <cmath>

namespace sopi {

void Voices::stretch(uint64_t at, double factor) noexcept
{
    const double time = double(at);
    const auto later = [&](uint64_t &position) {
        if (position > at) position = at + uint64_t(std::llround(double(position - at) * factor));
    };
    set(-1, [&](VoiceControls &v) {
        v.knobs.stretch(time, factor);
        for (Moving &m : v.features) m.stretch(time, factor);
        later(v.nudged_until);
    });
}

// A sample of a voice, faded after the player's beginning and around a new seed.
float Voices::faded(float x, VoiceControls &voice, const Player &p, uint64_t sample, uint64_t position,
                    int host_rate) noexcept
{
    const uint64_t rise = uint64_t(std::lround(kFade * p.source->sample_rate()));
    const uint64_t fall = uint64_t(std::llround(kFade * host_rate));
    // Faded in before the resampler: after it, the step at the beginning would come out of its delay unfaded.
    if (sample < p.rise_samples) x *= fade_in(sample, p.rise_samples);
    if (voice.reseeds) {
        const uint64_t since = position > voice.reseeds_from ? position - voice.reseeds_from : 0;
        x *= since < fall ? 1.0f - fade_in(since, fall) : 0.0f;
    } else if (voice.rise > 0) {
        x *= fade_in(rise - voice.rise--, rise);
    }
    return x;
}

void Voices::mix(Player &p, int from, int n, bool mixed, int host_rate) noexcept
{
    const uint64_t first = p.resampler->samples() + from;
    const float scale = mixed ? float(1 / std::sqrt(double(p.voices))) : 1.0f;
    for (int c = 0; c < p.channels; c++) std::fill_n(&p.audio[size_t(c) * p.most + from], n, 0.0f);
    for (int v = 0; v < p.voices; v++) {
        VoiceControls &voice = voices_[v];
        const float *raw = &p.raw[size_t(v) * n];
        const double spread = p.voices > 1 ? 2.0 * v / (p.voices - 1) - 1 : 0;
        for (int i = 0; i < n; i++) {
            const uint64_t position = p.heard(from + i);
            float x = raw[i] * float(voice.knobs[Id::gain].at(double(position)));
            x = faded(x, voice, p, first + i, position, host_rate);
            float *to = &p.audio[from + i];
            if (!mixed) {
                to[size_t(v) * p.most] = x;
            } else if (p.channels == 1) {
                *to += scale * x;
            } else { // between two neighbours, with equal power
                const double pan = voice.panned ? voice.knobs[Id::pan].at(double(position)) : spread;
                const double place = 0.5 * (pan + 1) * (p.channels - 1);
                const int left = std::min(p.channels - 2, int(place));
                const double angle = 0.5 * kPi * (place - left);
                to[size_t(left) * p.most] += scale * x * float(std::cos(angle));
                to[size_t(left + 1) * p.most] += scale * x * float(std::sin(angle));
            }
        }
    }
}

} // namespace sopi

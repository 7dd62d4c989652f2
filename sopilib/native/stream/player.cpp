#include "stream/player.hpp"

namespace sopi {

Player::Player(std::shared_ptr<Source> source_, int channels_, int host_rate)
    : source(std::move(source_)), voices(source->voices()), channels(channels_)
{
    if (host_rate) fit(host_rate);
}

void Player::fit(int host_rate)
{
    const int chunk = chunk_of(host_rate), rate = source->sample_rate();
    auto made = std::make_unique<Resampler>(Filter::design(rate, host_rate), channels, chunk);
    between_[0] = Filter::design_between(rate, host_rate, 1);
    for (int octave : {1, 2}) {
        const int fastest = 1 << octave;
        // below the host's band nothing has to be kept out
        const bool same = rate * fastest <= host_rate;
        between_[octave] = same ? between_[0] : Filter::design_between(rate, host_rate, fastest);
    }
    most = made->most_samples();
    codes.assign(size_t(voices) * most, 0);
    temperatures.assign(size_t(voices) * most, 1.0f);
    sampling.resize(voices);
    features.assign(size_t(voices) * source->features(), 0.0f);
    audio.assign(size_t(channels) * most, 0.0f);
    blends.assign(most, 0.0f);
    raw.assign(size_t(voices) * most, 0.0f);
    rates.assign(chunk, 1.0);
    resampler = std::move(made);
}

} // namespace sopi

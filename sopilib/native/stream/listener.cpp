#include "stream/listener.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace sopi {

Listener::Listener(std::shared_ptr<Player> player_, std::vector<float> edges, int host_rate)
    : player(std::move(player_)), answer(std::make_unique<Prepared>(player)), edges_(std::move(edges))
{
    if (host_rate) fit(host_rate);
}

void Listener::fit(int host_rate)
{
    if (!player->resampler || player->resampler->filter().host_rate != host_rate) player->fit(host_rate);
    const int chunk = chunk_of(host_rate);
    const auto filter = Filter::design(host_rate, player->source->sample_rate());
    skip_ = std::llround(filter->delay * filter->up / filter->down);
    auto made = std::make_unique<Resampler>(filter, 1, chunk);
    in_.assign(made->most_samples(), 0.0f);
    out_.assign(chunk, 0.0f);
    codes_.assign(size_t(player->voices) * chunk, 0);
    resampler_ = std::move(made);
}

void Listener::hear(const SharedRing &input, uint64_t upto, bool last)
{
    Resampler &r = *resampler_;
    const Filter &f = r.filter();
    if (upto <= begin) return;
    const int64_t wanted = int64_t(((upto - begin) * f.up + f.down - 1) / f.down) + skip_;
    const uint64_t there = std::min(upto, sopi_load(&input.ring.write));
    const auto end = [&](int n) { return begin + taken_ + uint64_t(r.plan(n)); };
    while (made_ < wanted) {
        int n = int(std::min<int64_t>(int64_t(out_.size()), wanted - made_));
        while (n > 0 && end(n) > there && !last) n--;
        if (n == 0) break;
        const int takes = r.plan(n);
        for (int i = 0; i < takes; i++) {
            const uint64_t position = begin + taken_ + i;
            in_[i] = position < there ? input.at(0, int64_t(position)) : 0.0f;
        }
        float *out = out_.data();
        r.process(in_.data(), takes, &out);
        taken_ += takes;
        const int skipped = int(std::clamp<int64_t>(skip_ - made_, 0, n));
        made_ += n;
        prime(skipped, n);
    }
}

// All voices hear samples [skipped, n) of out_.
void Listener::prime(int skipped, int n)
{
    const int heard = n - skipped;
    if (heard <= 0) return;
    for (int i = 0; i < heard; i++) {
        const float heard_as = std::isnan(out_[skipped + i]) ? 0.0f : out_[skipped + i];
        const float emphasised = player->source->coding().emphasise(heard_as, before_);
        const float x = std::isnan(emphasised) ? 0.0f : emphasised;
        codes_[i] = int32_t(std::upper_bound(edges_.begin(), edges_.end(), x) - edges_.begin());
    }
    for (int v = 1; v < player->voices; v++) std::copy_n(codes_.begin(), heard, codes_.begin() + size_t(v) * heard);
    player->source->prime(codes_.data(), heard, player->features.data());
}

} // namespace sopi

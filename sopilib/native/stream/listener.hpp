// A source that follows the input: what comes in goes through its tiers.
#pragma once

#include "stream/player.hpp"
#include "stream/prepared.hpp"
#include "stream/shared_ring.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

namespace sopi {

// What sounds while a listener listens.
enum class Listening { off, silence, input, old };

struct Listener {
    // edges: of each code but the first the least float that the model encodes so, ascending. host_rate as for Player.
    Listener(std::shared_ptr<Player> player, std::vector<float> edges, int host_rate);
    // Allocates.
    void fit(int host_rate);
    bool fits(int host_rate) const noexcept { return resampler_ && resampler_->filter().model_rate == host_rate; }
    // Takes the input before host position `upto`. Of the resampler's delay it hears nothing: as long as it goes on it lags by
    // that much, and at the `last` it hears the end as if silence followed. Whatever the source throws comes through.
    void hear(const SharedRing &input, uint64_t upto, bool last);

    const std::shared_ptr<Player> player;
    std::unique_ptr<Prepared> answer; // the player, for when the listening has ended
    uint64_t begin = 0; // host position of the first frame that it hears
    std::atomic<bool> posted{false}; // a listener is posted once

private:
    void prime(int skipped, int n);

    const std::vector<float> edges_;
    std::unique_ptr<Resampler> resampler_; // from the host's rate to the model's
    uint64_t taken_ = 0; // frames of input taken
    int64_t made_ = 0; // samples made of them, the first skip_ of which are the filter's delay
    int64_t skip_ = 0;
    Memory before_; // of the emphasis of what came in
    std::vector<float> in_, out_;
    std::vector<int32_t> codes_; // [voices][n]
};

} // namespace sopi

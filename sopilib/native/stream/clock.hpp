// How far the producer has to be ahead of the host, and how it waits until then.
#pragma once

#include "stream/event.hpp"
#include "stream/shared_ring.hpp"

#include <atomic>
#include <cstdint>

namespace sopi {

// RT, but for `rest`. Positions are host frames.
class Clock {
public:
    Clock(SharedRing &shared, Stats &stats) noexcept : shared_(shared), stats_(stats) {}
    // Measures what the host takes at once. A host that stumbled once is not held to it for ever, nor called too slow for its
    // latency.
    void measure(uint64_t read, int host_rate) noexcept;
    // How far to produce. latency in seconds; wanted: what a freewheeling callback waits for; kept: the frames from there on
    // are still needed.
    uint64_t target(uint64_t read, uint64_t wanted, uint64_t kept, double latency, int host_rate) const noexcept;
    // Waits for a moment. at: how far was produced; busy: sound is expected.
    void rest(uint64_t read, uint64_t at, bool busy, const std::atomic<bool> &stop);

private:
    SharedRing &shared_;
    Stats &stats_;
    uint64_t bursts_[3] = {}, burst_until_ = 0; // the host's bursts of the last windows, and the present one's end
    uint64_t seen_read_ = 0; // and since when, to sleep longer while DSP is off
    int64_t read_moved_ns_ = 0;
};

} // namespace sopi

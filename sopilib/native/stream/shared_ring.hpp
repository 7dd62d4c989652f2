// A ring (ring.h) with its memory, and what its freewheeling callback and the producer wait on.
#pragma once

#include "ring.h"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

namespace sopi {

// Lives until the last holder of the ring is gone.
struct SharedRing {
    // capacity: frames, a power of two
    static SharedRing *make(int channels, uint32_t capacity, uint32_t reserve);
    void set_freewheel(bool on);
    double host_rate() const noexcept; // Hz; 0 before it is known
    // RT. The sample at a host position; 0 where nothing came in, or so long ago that it is gone.
    float at(int channel, int64_t position) const noexcept;

    sopi_ring ring;
    std::vector<float> data;
    std::mutex mutex;
    std::condition_variable wake;    // the producer: more is wanted, or stop
    std::condition_variable ready;   // the callback: more is there
    std::atomic<uint64_t> wanted{0}; // the callback waits for frames up to here
    std::atomic<bool> running{false};
};

} // namespace sopi

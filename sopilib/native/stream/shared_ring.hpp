// A ring (ring.h) with its memory, and what its freewheeling callback and the producer wait on.
#pragma once

#include "ring.h"

#include <atomic>
#include <condition_variable>
#include <cstddef>
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
    // RT. Of the producer of an output ring: the sample at a host position, which a recorder may be reading at this moment, and
    // what the recorder reads.
    void put(int channel, uint64_t position, float x) noexcept
    {
        __atomic_store(&ring.data[place(channel, position)], &x, __ATOMIC_RELAXED);
    }
    static float get(const sopi_ring &r, int channel, uint64_t position) noexcept
    {
        float x;
        __atomic_load(&r.data[size_t(channel) * r.capacity + (position & (r.capacity - 1))], &x, __ATOMIC_RELAXED);
        return x;
    }
    // RT. The sample at a host position; 0 where nothing came in, or so long ago that it is gone.
    float at(int channel, int64_t position) const noexcept;

    size_t place(int channel, uint64_t position) const noexcept
    {
        return size_t(channel) * ring.capacity + (position & (ring.capacity - 1));
    }

    sopi_ring ring;
    std::vector<float> data;
    std::mutex mutex;
    std::condition_variable wake; // the producer: more is wanted, or stop
    std::condition_variable ready; // the callback: more is there
    std::atomic<uint64_t> wanted{0}; // the callback waits for frames up to here
    std::atomic<bool> running{false};
};

} // namespace sopi

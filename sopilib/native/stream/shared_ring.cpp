#include "stream/shared_ring.hpp"

#include <cstring>

namespace sopi {

namespace {

void destroy(sopi_ring *ring) { delete static_cast<SharedRing *>(ring->owner); }

int wait(sopi_ring *ring, uint64_t position)
{
    auto *self = static_cast<SharedRing *>(ring->owner);
    const auto there = [&] { return sopi_load(&ring->write) >= position; };
    if (there()) return 1;
    std::unique_lock<std::mutex> lock(self->mutex);
    self->wanted.store(position, std::memory_order_release);
    self->wake.notify_all();
    self->ready.wait(lock, [&] { return there() || !self->running || !sopi_load(&ring->freewheel); });
    return there();
}

} // namespace

SharedRing *SharedRing::make(int channels, uint32_t capacity, uint32_t reserve)
{
    auto *s = new SharedRing;
    s->data.assign(size_t(channels) * capacity, 0.0f);
    sopi_ring &r = s->ring;
    std::memset(&r, 0, sizeof r);
    r.magic = SOPI_RING_MAGIC;
    r.version = SOPI_RING_VERSION;
    r.bytes = sizeof r;
    r.refs = 1;
    r.owner = s;
    r.channels = uint32_t(channels);
    r.capacity = capacity;
    r.reserve = reserve;
    r.data = s->data.data();
    r.gain = 1.0f;
    r.destroy = destroy;
    r.wait = wait;
    return s;
}

void SharedRing::set_freewheel(bool on)
{
    sopi_store(&ring.freewheel, on ? 1u : 0u);
    std::lock_guard<std::mutex> lock(mutex);
    ready.notify_all();
    wake.notify_all();
}

double SharedRing::host_rate() const noexcept
{
    double rate;
    __atomic_load(&ring.sample_rate, &rate, __ATOMIC_ACQUIRE);
    return rate;
}

float SharedRing::at(int channel, int64_t position) const noexcept
{
    const int64_t written = int64_t(sopi_load(&ring.write));
    const int64_t kept = int64_t(ring.capacity - ring.capacity / 8); // what is about to be written over is gone
    if (position < 0 || position >= written || position < written - kept) return 0;
    return ring.data[place(channel, uint64_t(position))];
}

} // namespace sopi

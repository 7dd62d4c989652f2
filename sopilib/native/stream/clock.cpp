#include "stream/clock.hpp"

#include "platform/platform.hpp"

#include <algorithm>
#include <chrono>

namespace sopi {

namespace {

constexpr double kMostSlack = 0.005;  // s that Python may take over a message; the rest guards against stalls
constexpr double kLeastSlack = 0.001; // s
constexpr uint32_t kBurstWindow = 2;  // s

} // namespace

void Clock::measure(uint64_t read, int host_rate) noexcept
{
    sopi_ring &r = shared_.ring;
    const uint64_t present = sopi_load(&r.burst), block = sopi_load(&r.block);
    if (read >= burst_until_) {
        std::copy_backward(bursts_, bursts_ + 2, bursts_ + 3);
        bursts_[0] = present;
        sopi_store(&r.burst, uint64_t(0));
        burst_until_ = read + uint64_t(host_rate) * kBurstWindow;
    }
    const auto [least, most] = std::minmax_element(bursts_, bursts_ + 3);
    stats_.burst.store(std::max({*most, present, block}), std::memory_order_relaxed);
    stats_.usual_burst.store(std::max(*least, block), std::memory_order_relaxed);
}

uint64_t Clock::target(uint64_t read, uint64_t wanted, uint64_t kept, double latency, int host_rate) const noexcept
{
    const sopi_ring &r = shared_.ring;
    const uint64_t block = uint64_t(sopi_load(&r.block)) + r.reserve;
    const double burst = double(stats_.burst.load(std::memory_order_relaxed) + r.reserve) / host_rate;
    // a message in a burst is stamped within it and handled after it
    const double slack = std::max(kLeastSlack, std::min({kMostSlack + burst, 0.25 * latency, latency - burst}));
    const double ahead = std::max(0.0, (latency - slack) * host_rate);
    const bool freewheel = sopi_load(&r.freewheel);
    const uint64_t limit = read + (freewheel ? uint64_t(ahead) : std::max(uint64_t(ahead), block));
    const uint64_t oldest = freewheel ? std::min(read, kept) : read;
    return std::min(std::max(limit, wanted), oldest + r.capacity - r.reserve);
}

void Clock::rest(uint64_t read, uint64_t at, bool busy, const std::atomic<bool> &stop)
{
    const int64_t now = platform::now_ns();
    if (read != seen_read_) read_moved_ns_ = now;
    seen_read_ = read;
    if (sopi_load(&shared_.ring.freewheel)) {
        std::unique_lock<std::mutex> lock(shared_.mutex);
        shared_.wake.wait_for(lock, std::chrono::milliseconds(2), [&] { return shared_.wanted > at || stop; });
    } else if (now - read_moved_ns_ > 300000000) {
        platform::sleep_ns(4000000); // DSP is off; the ring is full enough for its return
    } else {
        platform::sleep_ns(busy ? 500000 : 1000000);
    }
}

} // namespace sopi

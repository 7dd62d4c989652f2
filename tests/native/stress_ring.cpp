// A callback and a producer on two threads, in both directions: each sample that the callback plays is the one that was
// written for its position, and after an underrun the sound comes back by itself.
#include "check.hpp"
#include "platform/platform.hpp"
#include "ring.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <thread>
#include <vector>

using namespace sopi;

namespace {

constexpr uint32_t kChannels = 2, kCapacity = 1024, kReserve = 96, kHeadStart = 512;
constexpr uint64_t kFrames = 200000;

struct Ring {
    std::vector<float> data = std::vector<float>(size_t(kChannels) * kCapacity);
    sopi_ring ring;

    Ring()
    {
        std::memset(&ring, 0, sizeof ring);
        ring.magic = SOPI_RING_MAGIC;
        ring.version = SOPI_RING_VERSION;
        ring.bytes = sizeof ring;
        ring.refs = 1;
        ring.channels = kChannels;
        ring.capacity = kCapacity;
        ring.reserve = kReserve;
        ring.data = data.data();
        ring.gain = 1.0f;
    }
};

// What is written for a position: never 0, so that a missing sample is seen.
float value(uint32_t channel, uint64_t position)
{
    return 0.25f + 0.5f * static_cast<float>((position + channel) % 97) / 97;
}

void write(sopi_ring &r, uint64_t from, uint32_t n)
{
    for (uint32_t c = 0; c < r.channels; c++)
        for (uint32_t i = 0; i < n; i++)
            r.data[size_t(c) * r.capacity + ((from + i) & (r.capacity - 1))] = value(c, from + i);
    for (uint32_t i = 0; i < n; i++)
        if ((from + i) % 16 == 0) {
            const uint64_t at = r.tick_write;
            sopi_store(&r.ticks[at & (SOPI_RING_TICKS - 1)], from + i);
            sopi_store(&r.tick_write, at + 1);
        }
    sopi_store(&r.write, from + n);
}

// In pieces of all sizes, sometimes too late.
void produce(sopi_ring &r)
{
    sopi_store(&r.generating, 1u);
    for (uint64_t at = kHeadStart, piece = 1; at < kFrames;) {
        const uint64_t room = sopi_load(&r.read) + kCapacity - at;
        const auto n = static_cast<uint32_t>(std::min({piece, room, kFrames - at}));
        if (n == 0) std::this_thread::yield();
        write(r, at, n);
        at = std::max(at + n, sopi_load(&r.read)); // what was not there in time is left out
        piece = piece % 200 + 13;
        if (at % 7919 < 200) platform::sleep_ns(300000);
    }
}

void play(sopi_ring &r)
{
    sopi_ring_host(&r, 48000, 64, 1);
    std::vector<float> left(256), right(256);
    float *const out[] = {left.data(), right.data()};
    uint64_t whole = 0, ticks = 0;
    for (uint64_t at = 0; at + 256 <= kFrames;) {
        const uint32_t n = at % 3 ? 64 : 256;
        // as a host does, whose blocks come at their own times; now and then it is too early
        for (int waits = 0; waits < 200 && sopi_load(&r.write) < at + n + kReserve && at % 37 != 0; waits++)
            std::this_thread::yield();
        const uint64_t now = sopi_ring_now(&r);
        CHECK(now == at);
        for (uint64_t tick; sopi_ring_tick(&r, at, at + n, &tick); ticks++)
            CHECK(tick % 16 == 0 && tick >= at && tick < at + n);
        const float gain = r.gain;
        sopi_ring_read(&r, out, 2, n, static_cast<uint64_t>(platform::now_ns()));
        if (gain == 1.0f && r.gain == 1.0f) {
            for (uint32_t i = 0; i < n; i++) CHECK(left[i] == value(0, at + i) && right[i] == value(1, at + i));
            whole += n;
        } else {
            for (uint32_t i = 0; i < n; i++) CHECK(std::isfinite(left[i]) && std::fabs(left[i]) <= 0.75f);
        }
        at += n;
        if (n == 256) std::this_thread::yield();
    }
    std::printf("%llu of %llu frames whole, %llu underruns, %llu ticks\n", static_cast<unsigned long long>(whole),
                static_cast<unsigned long long>(kFrames), static_cast<unsigned long long>(sopi_load(&r.underruns)),
                static_cast<unsigned long long>(ticks));
}

void output_ring()
{
    Ring ring;
    write(ring.ring, 0, kHeadStart);
    std::thread producer([&] { produce(ring.ring); });
    play(ring.ring);
    producer.join();
}

// The other direction: the engine's thread reads a while behind what the callback writes, never so far that it is gone.
void input_ring()
{
    Ring ring;
    sopi_ring &r = ring.ring;
    constexpr uint64_t frames = 20000 / 64 * 64;
    std::atomic<uint64_t> seen{0};
    std::thread engine([&] {
        for (uint64_t at = 0; at < frames; seen = at) {
            const uint64_t written = sopi_load(&r.write);
            if (at == written) std::this_thread::yield();
            for (; at < written; at++) CHECK(r.data[at & (kCapacity - 1)] == value(0, at));
        }
    });
    std::vector<float> block(64);
    for (uint64_t at = 0; at < frames; at += 64) {
        while (at - seen > kCapacity / 2) std::this_thread::yield();
        for (uint32_t i = 0; i < 64; i++) block[i] = value(0, at + i);
        const float *const in[] = {block.data()};
        sopi_ring_write(&r, in, 1, 64);
    }
    engine.join();
}

// The last holder frees it, whoever that is.
void holders()
{
    static std::atomic<int> freed{0};
    Ring ring;
    ring.ring.destroy = [](sopi_ring *) { freed++; };
    for (int i = 0; i < 8; i++) sopi_ring_retain(&ring.ring);
    std::vector<std::thread> all;
    for (int i = 0; i < 9; i++) all.emplace_back([&] { sopi_ring_release(&ring.ring); });
    for (std::thread &t : all) t.join();
    CHECK(freed == 1);
    CHECK(sopi_ring_valid(&ring.ring));
    ring.ring.version++;
    CHECK(!sopi_ring_valid(&ring.ring));
}

} // namespace

int main()
{
    output_ring();
    input_ring();
    holders();
}

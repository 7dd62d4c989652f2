#include "bandwidth.hpp"

#include "pack.hpp"
#include "platform/platform.hpp"

#include <atomic>
#include <cstdint>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace sopi {

// Many sums, so that none waits for the one before, in the widest vectors that the processor has.
#if defined(SOPI_X86) && !defined(__SANITIZE_THREAD__) // whose GCC can't choose among clones
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
static uint64_t
sum(const uint64_t *data, size_t n) noexcept
{
    constexpr size_t lanes = 32;
    uint64_t sums[lanes] = {};
    for (size_t i = 0; i + lanes <= n; i += lanes)
        for (size_t k = 0; k < lanes; k++) sums[k] += data[i + k];
    uint64_t all = 0;
    for (uint64_t s : sums) all += s;
    return all;
}

double read_bandwidth(size_t bytes, int threads, double seconds)
{
    if (threads < 1 || threads > 1024)
        throw std::invalid_argument("threads is " + std::to_string(threads) + ", expected 1 to 1024");
    if (!(seconds >= 0 && seconds < 3600)) throw std::invalid_argument("seconds must be 0 to 3600");
    const size_t words = bytes / threads / sizeof(uint64_t) / 32 * 32 + 32;
    std::atomic<int> ready{0};
    std::atomic<bool> stop{false};
    std::atomic<uint64_t> read{0}, kept{0};
    Arena arena;
    std::vector<uint64_t *> shares;
    for (int t = 0; t < threads; t++) shares.push_back(arena.take<uint64_t>(words));
    std::atomic<bool> go{false};
    const auto measure = [&](uint64_t *data) {
        std::memset(data, 1, words * sizeof(uint64_t));
        uint64_t total = sum(data, words), passes = 0;
        ready++;
        while (!go && !stop) std::this_thread::yield();
        for (; !stop; passes++) total += sum(data, words);
        read += passes * words * sizeof(uint64_t);
        kept += total; // so that the sums are made
    };
    std::vector<std::thread> all;
    all.reserve(threads);
    try {
        for (int t = 0; t < threads; t++) all.emplace_back(measure, shares[t]);
    } catch (const std::exception &) {
        stop = true;
        for (std::thread &t : all) t.join();
        throw std::runtime_error("the system gives " + std::to_string(all.size()) + " of " + std::to_string(threads) +
                                 " threads");
    }
    while (ready < threads) std::this_thread::yield();
    const int64_t begin = platform::now_ns();
    go = true;
    platform::sleep_ns(static_cast<int64_t>(seconds * 1e9));
    stop = true;
    for (std::thread &t : all) t.join();
    return static_cast<double>(read) / (static_cast<double>(platform::now_ns() - begin) * 1e-9);
}

} // namespace sopi

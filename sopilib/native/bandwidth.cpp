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

static void check(int threads, double seconds)
{
    if (threads < 1 || threads > 1024)
        throw std::invalid_argument("threads is " + std::to_string(threads) + ", expected 1 to 1024");
    if (!(seconds >= 0 && seconds < 3600)) throw std::invalid_argument("seconds must be 0 to 3600");
}

// What `threads` threads do together in a second. once(thread) does some of it, first to warm up, then again and again for
// about `seconds`, and returns how much that was.
template <typename Once> static double measure(int threads, double seconds, Once &&once)
{
    std::atomic<int> ready{0};
    std::atomic<bool> stop{false}, go{false};
    std::atomic<uint64_t> done{0};
    const auto work = [&](int thread) {
        once(thread);
        ready++;
        while (!go && !stop) std::this_thread::yield();
        uint64_t mine = 0;
        while (!stop) mine += once(thread);
        done += mine;
    };
    std::vector<std::thread> all;
    all.reserve(threads);
    try {
        for (int t = 0; t < threads; t++) all.emplace_back(work, t);
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
    return static_cast<double>(done) / (static_cast<double>(platform::now_ns() - begin) * 1e-9);
}

double read_bandwidth(size_t bytes, int threads, double seconds)
{
    check(threads, seconds);
    const size_t words = bytes / threads / sizeof(uint64_t) / 32 * 32 + 32;
    std::atomic<uint64_t> kept{0}; // so that the sums are made
    Arena arena;
    std::vector<uint64_t *> shares;
    for (int t = 0; t < threads; t++) {
        shares.push_back(arena.take<uint64_t>(words));
        std::memset(shares.back(), 1, words * sizeof(uint64_t));
    }
    return measure(threads, seconds, [&](int thread) {
        kept += sum(shares[thread], words);
        return words * sizeof(uint64_t);
    });
}

double peak_products(const Kernels &kernels, Form form, int threads, double seconds)
{
    check(threads, seconds);
    return measure(threads, seconds, [&](int) { return kernels.peak(form, 1000); });
}

} // namespace sopi

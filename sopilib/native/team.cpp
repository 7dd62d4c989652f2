#include "team.hpp"

#include "denormals.hpp"

#include <chrono>

#if defined(__x86_64__)
#include <immintrin.h>
static inline void pause() { _mm_pause(); }
#else
static inline void pause() { std::this_thread::yield(); }
#endif

namespace sopi {

// Spins before giving the core to somebody else: about 20 us.
constexpr int kSpins = 1000;

Team::Team(int threads) : size_(threads)
{
    for (int i = 1; i < size_; i++) threads_.emplace_back([this, i] { member(i); });
}

Team::~Team()
{
    {
        std::lock_guard<std::mutex> lock(mutex_);
        quit_ = true;
    }
    changed_.notify_all();
    for (std::thread &t : threads_) t.join();
}

void Team::wake(bool awake)
{
    if (size_ == 1) return;
    {
        std::lock_guard<std::mutex> lock(mutex_);
        awake_ = awake;
    }
    if (awake) changed_.notify_all();
}

void Team::run(const void *context, Call call) noexcept
{
    context_ = context;
    call_ = call;
    busy_.store(size_ - 1, std::memory_order_relaxed);
    job_.fetch_add(1, std::memory_order_release);
    call(context, 0);
    for (int spins = 0; busy_.load(std::memory_order_acquire); spins++)
        if (spins < kSpins) pause();
        // a real-time caller that only yields would keep an ordinary member from its core for ever
        else std::this_thread::sleep_for(std::chrono::microseconds(20));
}

void Team::member(int index)
{
    const DenormalsFlushed flushed;
    uint32_t done = 0;
    while (!quit_) {
        for (int spins = 0; awake_.load(std::memory_order_relaxed);) {
            const uint32_t job = job_.load(std::memory_order_acquire);
            if (job == done) {
                if (++spins < kSpins) pause();
                else std::this_thread::yield();
                continue;
            }
            done = job;
            spins = 0;
            call_(context_, index);
            busy_.fetch_sub(1, std::memory_order_release);
        }
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [this] { return awake_ || quit_; });
    }
}

} // namespace sopi

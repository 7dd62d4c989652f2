#include "team.hpp"

#include "denormals.hpp"

#include <pthread.h>
#include <sched.h>

#if defined(__x86_64__)
#include <immintrin.h>
static inline void pause() { _mm_pause(); }
#elif defined(__aarch64__)
static inline void pause() { asm volatile("isb" ::: "memory"); }
#else
static inline void pause() {}
#endif

namespace sopi {

// Within a job: 20 us or so of spinning, then a millisecond of offering the core to whoever wants it, then sleep, which
// must be rare: it lasts so long that the others would go to sleep over it, and then this one over them.
constexpr int kSpins = 1000, kOffers = 2000;
// Between jobs: 60 us or so, then sleep.
constexpr int kIdleSpins = 3000;
constexpr auto kWindow = std::chrono::milliseconds(100);
constexpr double kMostBusy = 0.9; // of that

Team::Team(int threads) : size_(threads), here_(new Count[threads])
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

// Members run with their caller's priority: an ordinary one would leave a real-time caller waiting while something
// unimportant has its core. But where that would be all cores, only while the team rests often enough for the others:
// a real-time engine that is too slow for its model never does.
void Team::take_priority() noexcept
{
    int policy = SCHED_OTHER;
    sched_param p{};
    pthread_getschedparam(pthread_self(), &policy, &p);
    policy &= ~SCHED_RESET_ON_FORK;
    if (policy == policy_ && p.sched_priority == priority_ && tired_ == was_tired_) return;
    policy_ = policy;
    priority_ = p.sched_priority;
    was_tired_ = tired_;
    const bool real_time = policy == SCHED_FIFO || policy == SCHED_RR;
    const int cores = static_cast<int>(std::thread::hardware_concurrency());
    for (int i = 1; i < size_; i++) {
        const bool take = real_time && (i + 1 < cores || !tired_);
        const sched_param given{take ? priority_ : 0};
        pthread_setschedparam(threads_[i - 1].native_handle(), take ? policy : SCHED_OTHER, &given);
    }
}

void Team::note_work(Clock::time_point began, Clock::time_point ended) noexcept
{
    busy_ += ended - began;
    if (ended - since_ < kWindow) return;
    tired_ = busy_ > kMostBusy * (ended - since_);
    busy_ = {};
    since_ = ended;
}

void Team::run(const void *work, Call call) noexcept
{
    const auto began = Clock::now();
    take_priority();
    work_ = work;
    call_ = call;
    job_.fetch_add(1); // sequentially consistent, as are those of asleep_: one of the two sides sees the other
    if (asleep_.load()) {
        std::lock_guard<std::mutex> lock(mutex_);
        changed_.notify_all();
    }
    call(work, 0);
    meet(0);
    note_work(began, Clock::now());
}

void Team::wait_for(int other, uint32_t count) noexcept
{
    for (int spins = 0; static_cast<int32_t>(here_[other].count.load(std::memory_order_acquire) - count) < 0; spins++)
        if (spins < kSpins) pause();
        else if (spins < kSpins + kOffers) std::this_thread::yield();
        // a real-time member that only yields would keep an ordinary one from its core for ever
        else std::this_thread::sleep_for(std::chrono::microseconds(20));
}

void Team::member(int index)
{
    const DenormalsFlushed flushed;
    for (uint32_t done = 0;; done++) {
        const auto called = [&] { return job_.load() != done || quit_; };
        for (int spins = 0; !called() && spins < kIdleSpins; spins++) pause();
        if (!called()) {
            std::unique_lock<std::mutex> lock(mutex_);
            asleep_.fetch_add(1);
            changed_.wait(lock, called);
            asleep_.fetch_sub(1);
        }
        if (quit_) return;
        call_(work_, index);
        arrive(index);
    }
}

} // namespace sopi

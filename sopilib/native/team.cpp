#include "team.hpp"

#include "denormals.hpp"

#include <algorithm>
#include <exception>

#if defined(__x86_64__)
#include <immintrin.h>
static inline void pause() { _mm_pause(); }
#elif defined(__aarch64__)
static inline void pause() { asm volatile("isb" ::: "memory"); }
#else
static inline void pause() {}
#endif

namespace sopi {

// Of the time that they work together a quarter is credit, as they get further in it; what is lost in waiting is taken
// from it, and where nothing is left the caller goes alone, which pays back a hundredth of its time.
constexpr int64_t kTogether = 4, kAlone = 100;
constexpr int64_t kMostCredit = 10000000; // ns

// Within a job: 20 us or so of spinning, then a millisecond of offering the core to whoever wants it, then sleep, which
// must be rare: it lasts so long that the others would go to sleep over it, and then this one over them.
constexpr int kSpins = 1000, kOffers = 2000;
constexpr int64_t kSpinning = 20000; // ns
// Between jobs: 60 us or so, then sleep. After being called to be there: a millisecond or so, in which whoever wants the
// core has it, the caller too.
constexpr int kIdleSpins = 3000, kCalledOffers = 2000;
constexpr int64_t kRest = 100000; // ns: a caller that rests so long between jobs needs nobody
constexpr int64_t kWindow = 100000000; // ns
constexpr double kMostBusy = 0.9; // of that
constexpr int64_t kNap = 20000; // ns

Team::Team(int threads) : here_(new Count[threads])
{
    platform::inherit_priority(idle_->mutex);
    threads_.reserve(threads);
    try {
        for (; size_ < threads; size_++) threads_.emplace_back([this, i = size_] { member(i); });
    } catch (const std::exception &) {
        // The system gives no more threads, so that those that there are do all of the work.
    }
    active_ = size_;
}

Team::~Team()
{
    if (!complete()) { // nobody is there to be joined, and those who wait are not there to be woken
        static_cast<void>(idle_.release());
        for (std::thread &t : threads_) static_cast<void>(std::make_unique<std::thread>(std::move(t)).release());
        return;
    }
    {
        std::lock_guard<std::mutex> lock(idle_->mutex);
        quit_ = true;
    }
    idle_->changed.notify_all();
    for (std::thread &t : threads_) t.join();
}

// Members run with their caller's priority: an ordinary one would leave a real-time caller waiting while something
// unimportant has its core. But where that would be all cores, only while the team rests often enough for the others:
// a real-time engine that is too slow for its model never does.
void Team::take_priority() noexcept
{
    const platform::Priority mine = platform::priority();
    if (mine == priority_ && tired_ == was_tired_) return;
    priority_ = mine;
    was_tired_ = tired_;
    const int cores = static_cast<int>(std::thread::hardware_concurrency());
    for (int i = 1; i < size_; i++) {
        const bool take = mine.real_time && (i + 1 < cores || !tired_);
        platform::set_priority(threads_[i - 1], take ? mine : platform::ordinary());
    }
}

void Team::note_work(int64_t began, int64_t ended) noexcept
{
    busy_ += ended - began;
    if (ended - since_ < kWindow) return;
    tired_ = static_cast<double>(busy_) > kMostBusy * static_cast<double>(ended - since_);
    busy_ = 0;
    since_ = ended;
}

bool Team::choose() noexcept
{
    if (size_ == 1) return false;
    const int before = active_;
    const int64_t now = platform::now_ns();
    credit_ += (now - chosen_) / (active_ == 1 ? kAlone : kTogether);
    credit_ = std::min(credit_, kMostCredit) - lost_;
    chosen_ = now;
    lost_ = 0;
    leave_.store(false, std::memory_order_relaxed);
    if (credit_ < 0) active_ = 1;
    else if (fresh_ || !asleep_.load()) active_ = size_;
    else {
        active_ = 1; // nobody waits for them to wake
        if (now - ended_ < kRest) {
            calls_.fetch_add(1);
            wake();
        }
    }
    fresh_ = false;
    return active_ != before;
}

void Team::wake() noexcept
{
    const std::lock_guard<std::mutex> lock(idle_->mutex);
    idle_->changed.notify_all();
}

void Team::run(const void *work, Call call) noexcept
{
    const int64_t began = platform::now_ns();
    take_priority();
    work_ = work;
    call_ = call;
    job_.fetch_add(1); // sequentially consistent, as are those of asleep_: one of the two sides sees the other
    if (asleep_.load()) wake();
    call(work, 0);
    meet(0);
    ended_ = platform::now_ns();
    note_work(began, ended_);
}

void Team::wait_for(int other, uint32_t count, int member) noexcept
{
    int64_t since = 0;
    for (int spins = 0; static_cast<int32_t>(here_[other].count.load(std::memory_order_acquire) - count) < 0; spins++) {
        if (spins == kSpins) since = platform::now_ns();
        if (spins < kSpins) pause();
        else if (spins < kSpins + kOffers) std::this_thread::yield();
        // a real-time member that only yields would keep an ordinary one from its core for ever
        else platform::sleep_ns(kNap);
    }
    if (since && member == 0) lost_ += kSpinning + platform::now_ns() - since;
}

void Team::member(int index)
{
    const DenormalsFlushed flushed;
    uint32_t heard = 0; // of the calls
    bool called = false;
    for (uint32_t done = 0;;) {
        const auto wanted = [&] { return job_.load() != done || quit_; };
        if (called)
            for (int offers = 0; !wanted() && offers < kCalledOffers; offers++) std::this_thread::yield();
        called = false;
        for (int spins = 0; !wanted() && spins < kIdleSpins; spins++) pause();
        if (!wanted()) {
            std::unique_lock<std::mutex> lock(idle_->mutex);
            asleep_.fetch_add(1);
            idle_->changed.wait(lock, [&] { return wanted() || calls_.load() != heard; });
            asleep_.fetch_sub(1);
        }
        if (quit_) return;
        if (calls_.load() != heard) {
            heard = calls_.load();
            called = true;
        }
        if (job_.load() == done) continue;
        call_(work_, index);
        arrive(index);
        done++;
    }
}

} // namespace sopi

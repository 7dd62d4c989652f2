// One engine on several cores: a crew that runs the same function together, each with a number of its own, and meets
// at points that all of them pass. Where the system doesn't run a member in time, because something else wants its core,
// the caller goes on alone, and tries the others again now and then: a crew is no slower than its caller.
#pragma once

#include "platform/platform.hpp"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace sopi {

class Team {
public:
    // `threads` counts the caller of run().
    explicit Team(int threads); // or fewer, if the system gives no more
    ~Team();
    int size() const noexcept { return size_; }
    // How many of them the next run() has: all, or the caller alone.
    int active() const noexcept { return active_; }
    // Before a run(): decides that. True if it isn't as many as in the last one.
    bool choose() noexcept;
    // Within run(), between two steps that all of them do: the caller says what it has seen before it arrives, and all
    // who have waited for it know whether to leave off there, so that the others can be chosen anew.
    void settle() noexcept
    {
        if (lost_ > credit_) leave_.store(true, std::memory_order_relaxed);
    }
    bool leaves_off() const noexcept { return leave_.load(std::memory_order_relaxed); }
    // False in a child that fork() made: the threads stayed with its parent, and run() would wait for them for ever.
    bool complete() const noexcept { return size_ == 1 || platform::process() == process_; }

    // work(member) on each, member 0 here; returns when all are done. One caller at a time.
    template <typename Work> void run(Work &&work) noexcept
    {
        if (active_ == 1) {
            work(0);
            ended_ = platform::now_ns();
            if (size_ > 1) note_work(chosen_, ended_);
            return;
        }
        using Type = std::remove_reference_t<Work>;
        run(&work, [](const void *w, int member) { (*static_cast<const Type *>(w))(member); });
    }

    // Within run(): what a member wrote before it arrived, the others see after they waited. Each member arrives and
    // waits in turn; what it does in between must not depend on the others.
    void arrive(int member) noexcept
    {
        if (active_ == 1) return; // the others' counts stay where they are as well
        here_[member].count.store(here_[member].count.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    }
    void wait(int member) noexcept
    {
        if (active_ == 1) return;
        const uint32_t mine = here_[member].count.load(std::memory_order_relaxed);
        for (int other = 0; other < active_; other++)
            if (static_cast<int32_t>(here_[other].count.load(std::memory_order_acquire) - mine) < 0)
                wait_for(other, mine, member);
    }
    void meet(int member) noexcept
    {
        arrive(member);
        wait(member);
    }

private:
    using Call = void (*)(const void *, int member);
    struct alignas(64) Count {
        std::atomic<uint32_t> count{0};
    };
    void run(const void *work, Call call) noexcept;
    void wake() noexcept;
    void take_priority() noexcept;
    void note_work(int64_t began, int64_t ended) noexcept;
    void wait_for(int other, uint32_t count, int member) noexcept;
    void member(int index);

    int size_ = 1, active_ = 1;
    bool fresh_ = true; // the first time they work together whether they are awake or not
    int64_t lost_ = 0; // ns that the caller has waited for members that weren't run
    int64_t credit_ = 0, chosen_ = platform::now_ns(); // ns: see choose()
    int64_t ended_ = 0; // ns, the last run()
    std::atomic<uint32_t> calls_{0}; // for members to be there
    std::atomic<bool> leave_{false};
    const int64_t process_ = platform::process();
    std::unique_ptr<Count[]> here_;
    alignas(64) std::atomic<uint32_t> job_{0};
    std::atomic<int> asleep_{0};
    std::atomic<bool> quit_{false};
    const void *work_ = nullptr;
    Call call_ = nullptr;
    struct Idle {
        std::mutex mutex;
        std::condition_variable changed;
    };
    std::unique_ptr<Idle> idle_ = std::make_unique<Idle>();
    std::vector<std::thread> threads_;
    platform::Priority priority_{false, -1, 0}; // of the caller of the last run: none yet
    int64_t since_ = 0, busy_ = 0; // ns; busy_: since then
    bool tired_ = true, was_tired_ = true;
};

} // namespace sopi

// One engine on several cores: a crew that runs the same function together, each with a number of its own, and meets
// at points that all of them pass.
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
    // False in a child that fork() made: the threads stayed with its parent, and run() would wait for them for ever.
    bool complete() const noexcept { return size_ == 1 || platform::process() == process_; }

    // work(member) on each, member 0 here; returns when all are done. One caller at a time.
    template <typename Work> void run(Work &&work) noexcept
    {
        if (size_ == 1) return work(0);
        using Type = std::remove_reference_t<Work>;
        run(&work, [](const void *w, int member) { (*static_cast<const Type *>(w))(member); });
    }

    // Within run(): what a member wrote before it arrived, the others see after they waited. Each member arrives and
    // waits in turn; what it does in between must not depend on the others.
    void arrive(int member) noexcept
    {
        here_[member].count.store(here_[member].count.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    }
    void wait(int member) noexcept
    {
        const uint32_t mine = here_[member].count.load(std::memory_order_relaxed);
        for (int other = 0; other < size_; other++)
            if (static_cast<int32_t>(here_[other].count.load(std::memory_order_acquire) - mine) < 0)
                wait_for(other, mine);
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
    void take_priority() noexcept;
    void note_work(int64_t began, int64_t ended) noexcept;
    void wait_for(int other, uint32_t count) noexcept;
    void member(int index);

    int size_ = 1;
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

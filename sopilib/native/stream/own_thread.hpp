// A thread of this process alone. A child made by fork() has the object and not the thread: there nothing is waited for.
#pragma once

#include "platform/platform.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>

namespace sopi {

class OwnThread {
public:
    OwnThread() = default;
    OwnThread(const OwnThread &) = delete;
    OwnThread &operator=(const OwnThread &) = delete;
    ~OwnThread() { join(); }

    // std::system_error if the system gives no more threads.
    template <class F> void start(F &&work)
    {
        process_ = platform::process();
        thread_ = std::make_unique<std::thread>(std::forward<F>(work));
    }
    bool started() const noexcept { return thread_ != nullptr; }
    // True in a child of the process that it belongs to.
    bool elsewhere() const noexcept
    {
        const int64_t process = process_;
        return process != 0 && process != platform::process();
    }
    void join()
    {
        if (elsewhere()) (void)thread_.release(); // nobody is there, and nothing of it may be touched
        else if (thread_) thread_->join();
        thread_.reset();
    }
    void detach()
    {
        if (elsewhere()) (void)thread_.release();
        else if (thread_) thread_->detach();
        thread_.reset();
    }

private:
    std::unique_ptr<std::thread> thread_;
    std::atomic<int64_t> process_{0}; // 0: never started
};

} // namespace sopi

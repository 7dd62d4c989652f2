// One voice on several cores: threads that divide a matrix's rows, never its sums, so that their number changes no bit.
#pragma once

#include "engine.hpp"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace sopi {

class Team {
public:
    // `threads` counts the caller.
    explicit Team(int threads);
    ~Team();
    int size() const noexcept { return size_; }

    // While one of these lives the members spin for work; otherwise they sleep.
    class Awake {
    public:
        explicit Awake(Team &team) : team_(team) { team_.wake(true); }
        ~Awake() { team_.wake(false); }

    private:
        Team &team_;
    };

    // Calls work(begin, end) for blocks of m's rows, on every member at once if m is large enough to be worth it.
    template <typename Work> void rows(const Matrix &m, Work &&work) noexcept
    {
        const int groups = (m.blocks() + kGroup - 1) / kGroup;
        if (size_ == 1 || groups < size_ || static_cast<int64_t>(m.rows) * m.columns < 65536) return work(0, m.blocks());
        const auto share = [&](int member) {
            const int begin = groups * member / size_ * kGroup, end = groups * (member + 1) / size_ * kGroup;
            work(begin, end < m.blocks() ? end : m.blocks());
        };
        using Share = decltype(share);
        run(&share, [](const void *s, int member) { (*static_cast<const Share *>(s))(member); });
    }

private:
    using Call = void (*)(const void *, int member);
    void run(const void *context, Call call) noexcept;
    void wake(bool awake);
    void member(int index);

    const int size_;
    std::vector<std::thread> threads_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::atomic<bool> awake_{false}, quit_{false};
    alignas(64) std::atomic<uint32_t> job_{0};
    alignas(64) std::atomic<int> busy_{0};
    const void *context_ = nullptr;
    Call call_ = nullptr;
};

} // namespace sopi

// Between two threads, without locks.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <type_traits>

namespace sopi {

// One thread pushes and one pops. N is a power of two; nothing is allocated after construction.
template <class T, size_t N> class Queue {
    static_assert(std::is_trivially_copyable_v<T>, "an item is copied as it is, so that neither thread frees anything");

public:
    // False if the queue is full.
    bool push(const T &item) noexcept
    {
        const size_t at = in_.load(std::memory_order_relaxed);
        if (at - out_.load(std::memory_order_acquire) == N) return false;
        (*items_)[at & (N - 1)] = item;
        in_.store(at + 1, std::memory_order_release);
        return true;
    }
    // False if the queue is empty.
    bool pop(T &item) noexcept
    {
        const size_t at = out_.load(std::memory_order_relaxed);
        if (at == in_.load(std::memory_order_acquire)) return false;
        item = (*items_)[at & (N - 1)];
        out_.store(at + 1, std::memory_order_release);
        return true;
    }

private:
    const std::unique_ptr<std::array<T, N>> items_ = std::make_unique<std::array<T, N>>();
    std::atomic<size_t> in_{0}, out_{0};
};

} // namespace sopi

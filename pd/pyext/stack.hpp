// stack.hpp: a lock-free stack that many threads push to. Knows neither Pd nor Python.
#pragma once

#include <atomic>

// Many threads push, one at a time takes all; nobody waits. T has a member `next`.
template <class T> class Stack {
public:
    void push(T *item)
    {
        item->next = top_.load(std::memory_order_relaxed);
        while (!top_.compare_exchange_weak(item->next, item, std::memory_order_release, std::memory_order_relaxed)) {}
    }

    // All there is, oldest first, linked by `next`.
    T *take()
    {
        T *item = top_.exchange(nullptr, std::memory_order_acquire), *first = nullptr;
        while (item) {
            T *next = item->next;
            item->next = first;
            first = item;
            item = next;
        }
        return first;
    }

    bool empty() const { return !top_.load(std::memory_order_relaxed); }

private:
    std::atomic<T *> top_{nullptr};
};

// What is made on the control side, used by the producer, and freed on the control side again: a model, an envelope, a
// snapshot. The producer neither allocates nor frees any of it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

namespace sopi {

// Its address says which type a Prepared holds.
template <class T> inline char type_of;

class Prepared {
public:
    template <class T> explicit Prepared(std::shared_ptr<T> what) : what_(std::move(what)), type_(&type_of<T>) {}
    const void *type() const noexcept { return type_; }
    template <class T> T *as() const noexcept { return type_ == &type_of<T> ? static_cast<T *>(what_.get()) : nullptr; }

private:
    friend class Retired;
    template <class T> friend class Held;
    const std::shared_ptr<void> what_;
    const void *const type_;
    Prepared *next_ = nullptr; // among those that are retired
    uint32_t holders_ = 0;     // counted by the producer alone
};

// Takes in what the producer is done with, until the control side frees it.
class Retired {
public:
    ~Retired() { free(); }
    // RT. Called by the producer.
    void give(Prepared *done) noexcept
    {
        done->next_ = first_.load(std::memory_order_relaxed);
        while (!first_.compare_exchange_weak(done->next_, done, std::memory_order_release, std::memory_order_relaxed)) {
        }
    }
    // Called by any other thread.
    void free() noexcept
    {
        Prepared *done = first_.exchange(nullptr, std::memory_order_acquire);
        while (done) delete std::exchange(done, done->next_);
    }

private:
    std::atomic<Prepared *> first_{nullptr};
};

// RT. The producer's hold on something prepared. When the last hold on it goes, it is retired.
template <class T> class Held {
public:
    Held() = default;
    Held(Prepared *node, Retired *to) noexcept : node_(node), to_(to)
    {
        if (node_) node_->holders_++;
    }
    Held(const Held &other) noexcept : Held(other.node_, other.to_) {}
    Held(Held &&other) noexcept : node_(std::exchange(other.node_, nullptr)), to_(other.to_) {}
    Held &operator=(Held other) noexcept
    {
        std::swap(node_, other.node_);
        std::swap(to_, other.to_);
        return *this;
    }
    ~Held() { reset(); }

    void reset() noexcept
    {
        Prepared *node = std::exchange(node_, nullptr);
        if (node && --node->holders_ == 0) to_->give(node);
    }
    T *get() const noexcept { return node_ ? node_->as<T>() : nullptr; }
    T *operator->() const noexcept { return get(); }
    T &operator*() const noexcept { return *get(); }
    explicit operator bool() const noexcept { return get() != nullptr; }

private:
    Prepared *node_ = nullptr;
    Retired *to_ = nullptr;
};

} // namespace sopi

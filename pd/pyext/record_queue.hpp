// record_queue.hpp: records of any length from one thread to another, in memory allocated beforehand. Neither waits.
// Knows neither Pd nor Python.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <new>

class RecordQueue {
public:
    static constexpr uint64_t size = 1 << 20; // bytes, a power of two

    RecordQueue() = default;
    RecordQueue(const RecordQueue &) = delete;
    RecordQueue &operator=(const RecordQueue &) = delete;
    ~RecordQueue() { ::operator delete(data_, std::align_val_t(aligned)); }

    void allocate()
    {
        data_ = static_cast<char *>(::operator new(size, std::align_val_t(aligned)));
        std::memset(data_, 0, size); // no page fault later
    }

    // Writer: memory for a record, aligned to 16 bytes, or null if the queue is full. It arrives with commit().
    void *reserve(uint64_t bytes)
    {
        bytes = (bytes + header + 15) & ~uint64_t{15};
        const uint64_t tail = put_.load(std::memory_order_relaxed);
        const uint64_t to_end = size - (tail & (size - 1));
        const uint64_t padding = bytes > to_end ? to_end : 0; // a record lies in one piece
        if (tail + padding + bytes - taken_.load(std::memory_order_acquire) > size) return nullptr;
        if (padding) length_at(tail) = 0;
        length_at(tail + padding) = bytes;
        reserved_ = tail + padding + bytes;
        return at(tail + padding) + header;
    }
    void commit() { put_.store(reserved_, std::memory_order_release); }

    // Reader: the oldest record, or null. It stays until pop().
    void *front()
    {
        uint64_t head = taken_.load(std::memory_order_relaxed);
        if (head == put_.load(std::memory_order_acquire)) return nullptr;
        if (length_at(head) == 0) head += size - (head & (size - 1)); // padding
        after_ = head + length_at(head);
        return at(head) + header;
    }
    void pop() { taken_.store(after_, std::memory_order_release); }

    // Bytes ever put and taken: a record put when put() was n has been taken when taken() is n or more.
    uint64_t put() const { return put_.load(std::memory_order_acquire); }
    uint64_t taken() const { return taken_.load(std::memory_order_acquire); }
    bool empty() const { return taken() == put(); }

private:
    static constexpr size_t aligned = 64;
    static constexpr uint64_t header = 16; // its length, and what keeps the record aligned

    char *at(uint64_t position) { return data_ + (position & (size - 1)); }
    uint64_t &length_at(uint64_t position) { return *reinterpret_cast<uint64_t *>(at(position)); }

    char *data_ = nullptr;
    std::atomic<uint64_t> put_{0}, taken_{0};
    uint64_t reserved_ = 0; // the writer's
    uint64_t after_ = 0;    // the reader's
};

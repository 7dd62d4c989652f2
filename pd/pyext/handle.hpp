// handle.hpp: what outlives a Pd object, for those who may not touch the object itself.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "../../sopilib/native/ring.h"
#include "gil.hpp"
#include "stop.hpp"

struct Object;

// A counted hold on a ring. The last hold frees it, so let none end on Pd's thread: see discard().
class RingRef {
public:
    RingRef() = default;
    explicit RingRef(sopi_ring *ring) : ring_(ring) { retain(); }
    RingRef(const RingRef &other) : ring_(other.ring_) { retain(); }
    RingRef(RingRef &&other) noexcept : ring_(std::exchange(other.ring_, nullptr)) {}
    RingRef &operator=(RingRef other) noexcept
    {
        std::swap(ring_, other.ring_);
        return *this;
    }
    ~RingRef()
    {
        if (ring_) sopi_ring_release(ring_);
    }
    explicit operator bool() const { return ring_ != nullptr; }
    sopi_ring *get() const { return ring_; }
    sopi_ring *operator->() const { return ring_; }

private:
    void retain()
    {
        if (ring_) sopi_ring_retain(ring_);
    }
    sopi_ring *ring_ = nullptr;
};

// What outlives a Pd object: messages under way, threads and the Python instance hold on to it.
struct Handle {
    Object *object = nullptr;             // null once Pd has deleted it; Pd's thread only
    std::string name;                     // module.class, for error lines
    PyObject *box = nullptr;              // its Python half (Box); with the GIL only
    RingRef clock;                        // what self._time reads; with the GIL only
    std::atomic<bool> gone{false};        // Pd has deleted the object
    Stop stop;                            // self._shouldexit
    std::atomic<int> detach{0};           // @detach
    std::atomic<bool> respond{false};     // @respond
    std::atomic<int> outlets{0};          // message outlets, without the dump outlet
    std::atomic<uint32_t> dropped_in{0};  // messages to Python that found the queue full
    std::atomic<uint32_t> dropped_out{0}; // messages from Python that found the queue full
};
using HandlePtr = std::shared_ptr<Handle>;

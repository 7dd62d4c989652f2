// worker.hpp: how messages reach Python without Pd's thread waiting for it.
#pragma once

#include <m_pd.h>

#include <atomic>
#include <cstdint>

#include "handle.hpp"
#include "platform/platform.hpp"
#include "record_queue.hpp"
#include "stack.hpp"

enum class Kind : int32_t { message, bound, control };

// One message for Python. `number`: inlet from 1 (0: a bang into the left inlet of [py]), or the id of a binding.
struct Incoming {
    Kind kind;
    int32_t number;
    int64_t time; // host frame of the object's ring; -1 without a ring
    t_symbol *selector;
    int32_t argc;
};

// With the GIL: hand a message to the Python half, by the method `entry` of Box.
void deliver(const HandlePtr &handle, const char *entry, const Incoming &message, const t_atom *argv);

// A thread that hands messages to Python in order. Pd's thread feeds it without a lock.
class Worker {
public:
    explicit Worker(const char *entry) : entry_(entry) {}
    void start();
    // Pd's thread. False, and counted, if the queue is full.
    bool push(const HandlePtr &handle, const Incoming &message, const t_atom *argv);
    // Pd's thread: `_del`, then let go, in this thread.
    void bury(const HandlePtr &handle, RingRef out, RingRef in);
    // Pd's thread, freewheel: wait until all that was pushed is handled.
    void finish();
    void wake();
    bool idle() const { return idle_; }

private:
    struct Record { // in the queue: this, then the atoms
        HandlePtr handle;
        Incoming message;
    };
    struct Dead {
        HandlePtr handle;
        RingRef out, in;
        Dead *next;
    };
    static void *run(void *self);
    void loop();
    bool handle_next();
    void handle_dead();

    static constexpr uint64_t most_nested_ = 1 << 16; // bytes
    const char *entry_;
    RecordQueue queue_;
    Stack<Dead> dead_;
    std::atomic<bool> idle_{true};
    os::Semaphore semaphore_;
    bool waiting_ = false; // Pd's thread is in finish()
};

extern Worker ring_worker;   // objects with a ring
extern Worker detach_worker; // @detach 1
extern Worker spawner;       // @detach 2: starts a thread a call

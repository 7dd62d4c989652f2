/* py.hpp: what the files of the external share. README.md tells which thread does what. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <m_pd.h>
#include <semaphore.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../../sopilib/native/ring.h"

static_assert(PY_VERSION_HEX >= 0x030A0000, "pyext needs Python 3.10 or newer");
static_assert(PD_FLOATSIZE == 32, "pyext needs a Pd of single precision");

struct Object;

/* ------------------------------------------------------------------ references */

/* A counted hold on a ring. The last hold frees it, so let none end on Pd's thread: see discard(). */
class RingRef {
public:
    RingRef() = default;
    explicit RingRef(sopi_ring *ring) : ring_(ring) { retain(); }
    RingRef(const RingRef &other) : ring_(other.ring_) { retain(); }
    RingRef(RingRef &&other) noexcept : ring_(std::exchange(other.ring_, nullptr)) {}
    RingRef &operator=(RingRef other) noexcept { std::swap(ring_, other.ring_); return *this; }
    ~RingRef() { if (ring_) sopi_ring_release(ring_); }
    explicit operator bool() const { return ring_ != nullptr; }
    sopi_ring *get() const { return ring_; }
    sopi_ring *operator->() const { return ring_; }

private:
    void retain() { if (ring_) sopi_ring_retain(ring_); }
    sopi_ring *ring_ = nullptr;
};

/* What outlives a Pd object: messages under way, threads and the Python instance hold on to it. */
struct Handle {
    Object *object = nullptr;             /* null once Pd has deleted it; Pd's thread only */
    std::string name;                     /* module.class, for error lines */
    PyObject *box = nullptr;              /* its Python half (_Box); with the GIL only */
    RingRef clock;                        /* what self._time reads; with the GIL only */
    std::atomic<bool> gone{false};        /* Pd has deleted the object */
    std::atomic<bool> should_exit{false}; /* self._shouldexit */
    std::atomic<int> detach{0};           /* @detach */
    std::atomic<bool> respond{false};     /* @respond */
    std::atomic<int> outlets{0};          /* message outlets, without the dump outlet */
    std::atomic<uint32_t> dropped_in{0};  /* messages to Python that found the queue full */
    std::atomic<uint32_t> dropped_out{0}; /* messages from Python that found the queue full */
};
using HandlePtr = std::shared_ptr<Handle>;

/* Many threads push, one takes all; nobody waits. T has a member `next`. */
template <class T> class Stack {
public:
    void push(T *item)
    {
        item->next = top_.load(std::memory_order_relaxed);
        while (!top_.compare_exchange_weak(item->next, item, std::memory_order_release, std::memory_order_relaxed)) {}
    }
    T *take() /* oldest first */
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

/* ------------------------------------------------------------------ the GIL */

struct Gil { /* holds the GIL while it lives */
    PyGILState_STATE state = PyGILState_Ensure();
    ~Gil() { PyGILState_Release(state); }
};

struct GilReleased { /* lets the GIL go while it lives, if this thread has it */
    PyThreadState *state = PyGILState_Check() ? PyEval_SaveThread() : nullptr;
    ~GilReleased() { if (state) PyEval_RestoreThread(state); }
};

struct Ref { /* one owned reference; with the GIL only */
    PyObject *o;
    Ref(PyObject *owned = nullptr) : o(owned) {}
    Ref(const Ref &) = delete;
    Ref &operator=(const Ref &) = delete;
    ~Ref() { Py_XDECREF(o); }
    operator PyObject *() const { return o; }
    PyObject *take() { return std::exchange(o, nullptr); }
};

/* _Box reports what classes raise. An exception that comes through to here is a fault of ours. */
inline void report_fault()
{
    if (PyErr_Occurred()) PyErr_WriteUnraisable(nullptr);
}

/* ------------------------------------------------------------------ Pd's thread (pd_thread.cpp) */

/* While one lives, this thread is Pd's: put one at each entry that Pd calls. */
struct PdScope {
    explicit PdScope(bool dsp = false);
    ~PdScope();
    bool dsp_before;
};
bool on_pd_thread();
bool in_dsp(); /* inside a perform routine: nothing may be sent to other objects now */

/* Any thread: run on Pd's thread, in order. False, and counted, if the queue is full. */
bool post_to_pd(const HandlePtr &handle, std::function<void()> run);
/* Any thread: run on Pd's thread and wait for it, without the GIL. False if Pd is quitting.
 * `run` may outlive the call in that case: it must own what it touches. */
bool call_on_pd(std::function<void()> run);
/* Pd's thread: destroy what `held` owns on another thread. */
void discard(std::function<void()> held);
/* Pd's thread: run what has been posted, `most` at most. */
void drain(int most);
/* Pd's thread: sleep until something was posted, wake_pd() was called or a few ms went by. */
void wait_for_post();
void wake_pd();
/* Any thread but Pd's: free what Pd's thread is done with. */
void collect_discarded();
void start_poll();
void note_dropped(); /* a dropped_in or dropped_out has grown: print it soon */

/* A line to Pd's console, from any thread; with a handle "find last error" finds the object. */
void print_error(const HandlePtr &handle, std::string line);
void print_line(std::string line);

/* ------------------------------------------------------------------ messages (message.cpp) */

PyObject *python_symbol(const t_symbol *s);                /* new Symbol */
PyObject *python_atoms(int argc, const t_atom *argv);      /* new tuple */

/* A message on its way from Python to Pd: made with the GIL on any thread, delivered on Pd's. */
class Outgoing {
public:
    /* `args`: tuple of what follows the outlet or receiver. Never fails: what cannot be converted
     * is an empty symbol and a console line. */
    Outgoing(PyObject *args, const HandlePtr &handle);
    void to_outlet(t_outlet *outlet);
    void to_receiver(t_pd *receiver);

private:
    void append(PyObject *item, const HandlePtr &handle);
    void append_text(PyObject *text);
    t_symbol *resolve(); /* Pd's thread: interns the names; returns the selector */
    std::string text_;          /* the selector, then each name, all zero-terminated */
    std::vector<t_atom> atoms_; /* names as offsets into text_ until resolved */
    t_symbol *selector_ = nullptr;
};

/* ------------------------------------------------------------------ messages to Python (worker.cpp) */

enum class Kind : int32_t { message, bound, control };

/* One message for Python. `number`: inlet from 1, or the id of a binding. */
struct Incoming {
    Kind kind;
    int32_t number;
    int64_t time; /* host frame of the object's ring; -1 without a ring */
    t_symbol *selector;
    int32_t argc;
};

/* With the GIL: hand a message to the Python half, by the method `entry` of _Box. */
void deliver(const HandlePtr &handle, const char *entry, const Incoming &message, const t_atom *argv);

/* Pd's thread: threads that are started from it (by classes, by libraries) will not inherit real-time priority. */
void keep_real_time_to_pd();

/* A detached thread without Pd's real-time priority, which is not for Python, and without Pd's signals. */
bool start_thread(void *(*run)(void *), void *argument);

/* A thread that hands messages to Python in order. Pd's thread feeds it without a lock. */
class Worker {
public:
    explicit Worker(const char *entry) : entry_(entry) {}
    void start();
    /* Pd's thread. False, and counted, if the queue is full. */
    bool push(const HandlePtr &handle, const Incoming &message, const t_atom *argv);
    void bury(const HandlePtr &handle, RingRef out, RingRef in); /* Pd's thread: `_del`, then let go, in this thread */
    void finish();                /* Pd's thread, freewheel: wait until all that was pushed is handled */
    void wake();
    bool idle() const { return idle_; }

private:
    struct Record;
    struct Dead {
        HandlePtr handle;
        RingRef out, in;
        Dead *next;
    };
    static void *run(void *self);
    void loop();
    bool handle_next();
    void handle_dead();

    static constexpr uint64_t size_ = 1 << 20; /* bytes, a power of two */
    static constexpr uint64_t most_nested_ = 1 << 16; /* bytes */
    const char *entry_;
    char *data_ = nullptr;
    std::atomic<uint64_t> head_{0}, tail_{0}; /* bytes ever taken and put */
    Stack<Dead> dead_;
    std::atomic<bool> idle_{true};
    sem_t semaphore_;
    bool waiting_ = false; /* Pd's thread is in finish() */
};

extern Worker ring_worker;    /* objects with a ring */
extern Worker detach_worker;  /* @detach 1 */
extern Worker spawner;        /* @detach 2: starts a thread a call */

/* ------------------------------------------------------------------ the Pd object (object.cpp, audio.cpp) */

struct t_pyext {
    t_object obj;
    t_float scalar; /* of the first signal inlet */
    Object *object;
};

struct Inlet { /* message inlet */
    t_pd pd;
    Object *object;
    int number;
};

struct Binding { /* to a receive name */
    t_pd pd;
    Object *object;
    t_symbol *name;
    int id;
};

/* Everything here belongs to Pd's thread. */
struct Object {
    t_pyext *pd = nullptr;
    t_canvas *canvas = nullptr;
    HandlePtr handle;
    std::vector<Inlet *> inlets;
    std::vector<Binding *> bindings;
    std::vector<t_outlet *> outlets;
    t_outlet *dump = nullptr;
    bool tilde = false;

    int signal_inlets = 0, signal_outlets = 0;
    std::vector<t_sample *> in, out; /* Pd's vectors, valid until the next DSP rebuild */
    int block = 0;
    double rate = 0;             /* Hz; 0 until DSP was built */
    double last_end = 0;         /* logical time at the end of the last perform */
    bool performed = false;
    PyObject *signal = nullptr;  /* self._signal, or null; with the GIL only */
    bool was_running = false;

    RingRef out_ring, in_ring;
    bool had_ring = false;       /* then its Python half is let go by the worker */
    int tick_outlet = 0;
    t_clock *tick_clock = nullptr;
    std::array<double, 256> ticks{}; /* logical times to come */
    uint32_t tick_read = 0, tick_write = 0;

    bool has_ring() const { return out_ring || in_ring; }
    sopi_ring *clock_ring() const { return out_ring ? out_ring.get() : in_ring.get(); }
    bool freewheel() const;
    int64_t frame_now() const;   /* host frame of this logical time */
};

extern std::vector<Object *> objects;

void setup_classes();
void receive(const HandlePtr &handle, Kind kind, int number, t_symbol *selector, int argc, const t_atom *argv);
void bind_receiver(Object &object, int id, t_symbol *name);
void unbind_receiver(Object &object, int id);

void set_rings(Object &object, RingRef &out, RingRef &in, int tick_outlet); /* swaps the old ones out */
void setup_audio(t_class *c);
void free_audio(Object &object);
void build_dsp(Object &object, t_signal **sp);
void watch_dsp(); /* polled: tells rings that DSP was switched off */
void tick_due(Object *object);

/* ------------------------------------------------------------------ Python (interpreter.cpp, natives.cpp) */

extern PyObject *host; /* the module `pyext` */
bool start_python();   /* false after one clear line */
PyObject *make_natives();
PyObject *new_handle(const HandlePtr &handle); /* capsule */

/* ------------------------------------------------------------------ quitting (quit.cpp) */

extern std::atomic<bool> quitting;
void quit_if_terminated(); /* polled: SIGTERM ends Pd by exit() */
void prepare_quit();   /* first of all at load: registers the last step of exit() */
void prepare_freeze(); /* after anything was imported: registers the first step of exit() */

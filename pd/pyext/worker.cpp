/* worker.cpp: threads that hand Pd's messages to Python, so that Pd's thread need not wait for the GIL. */
#include "py.hpp"

#include <pthread.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <new>

Worker ring_worker("ring_message"), detach_worker("detached_message"), spawner("spawn_message");

/* In the queue: this, then the atoms. */
struct alignas(16) Worker::Record {
    uint64_t bytes; /* with the atoms, a multiple of 16 */
    HandlePtr handle;
    Incoming message;
};

void deliver(const HandlePtr &handle, const char *entry, const Incoming &message, const t_atom *argv)
{
    if (!handle->box) return; /* deleted meanwhile */
    const Ref box(Py_NewRef(handle->box));
    const Ref selector(python_symbol(message.selector));
    const Ref atoms(python_atoms(message.argc, argv));
    const Ref done(selector && atoms ? PyObject_CallMethod(box, entry, "iiOOL", static_cast<int>(message.kind),
        static_cast<int>(message.number), selector.o, atoms.o, static_cast<long long>(message.time)) : nullptr);
    report_fault();
}

void keep_real_time_to_pd()
{
    const int policy = sched_getscheduler(0);
    sched_param parameters;
    if ((policy == SCHED_FIFO || policy == SCHED_RR) && sched_getparam(0, &parameters) == 0)
        sched_setscheduler(0, policy | SCHED_RESET_ON_FORK, &parameters);
}

bool start_thread(void *(*run)(void *), void *argument)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    const sched_param normal{};
    pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(&attributes, SCHED_OTHER);
    pthread_attr_setschedparam(&attributes, &normal);
    pthread_t thread;
    const bool started = pthread_create(&thread, &attributes, run, argument) == 0;
    if (started) pthread_detach(thread);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return started;
}

void Worker::start()
{
    data_ = static_cast<char *>(std::aligned_alloc(64, size_));
    std::memset(data_, 0, size_); /* no page fault later */
    sem_init(&semaphore_, 0, 0);

    if (!start_thread(run, this)) pd_error(nullptr, "py: cannot start a thread: messages to Python will not arrive");
}

void Worker::wake() { sem_post(&semaphore_); }

bool Worker::push(const HandlePtr &handle, const Incoming &message, const t_atom *argv)
{
    const uint64_t atoms = static_cast<uint64_t>(message.argc) * sizeof(t_atom);
    const uint64_t bytes = (sizeof(Record) + atoms + 15) & ~uint64_t{15};
    uint64_t tail = tail_.load(std::memory_order_relaxed);
    const uint64_t to_end = size_ - (tail & (size_ - 1));
    const uint64_t padding = bytes > to_end ? to_end : 0; /* a record lies in one piece */
    if (tail + padding + bytes - head_.load(std::memory_order_acquire) > size_) {
        handle->dropped_in++;
        note_dropped();
        return false;
    }
    if (padding) {
        *reinterpret_cast<uint64_t *>(data_ + (tail & (size_ - 1))) = 0;
        tail += padding;
    }
    Record *record = new (data_ + (tail & (size_ - 1))) Record{bytes, handle, message};
    if (atoms) std::memcpy(static_cast<void *>(record + 1), argv, atoms);
    tail_.store(tail + bytes, std::memory_order_release);
    wake();
    return true;
}

bool Worker::handle_next()
{
    uint64_t head = head_.load(std::memory_order_relaxed);
    if (head == tail_.load(std::memory_order_acquire)) return false;
    char *at = data_ + (head & (size_ - 1));
    if (*reinterpret_cast<uint64_t *>(at) == 0) { /* padding */
        head += size_ - (head & (size_ - 1));
        at = data_;
    }
    Record *record = reinterpret_cast<Record *>(at);
    const uint64_t bytes = record->bytes;
    deliver(record->handle, entry_, record->message, reinterpret_cast<t_atom *>(record + 1));
    record->~Record();
    head_.store(head + bytes, std::memory_order_release);
    return true;
}

void Worker::bury(const HandlePtr &handle, RingRef out, RingRef in)
{
    dead_.push(new Dead{handle, std::move(out), std::move(in), nullptr});
    wake();
}

void Worker::handle_dead()
{
    for (Dead *dead = dead_.take(); dead;) {
        Dead *next = dead->next;
        if (PyObject *box = std::exchange(dead->handle->box, nullptr)) {
            const Ref done(PyObject_CallMethod(box, "delete", nullptr));
            report_fault();
            Py_DECREF(box);
        }
        dead->handle->clock = RingRef();
        delete dead;
        dead = next;
    }
}

void *Worker::run(void *self)
{
    static_cast<Worker *>(self)->loop();
    return nullptr;
}

void Worker::loop()
{
    PyGILState_Ensure(); /* once: this thread's Python state stays */
    PyThreadState *state = PyEval_SaveThread();
    while (!quitting) {
        sem_wait(&semaphore_);
        collect_discarded();
        const bool messages = head_ != tail_.load(std::memory_order_acquire);
        if (quitting || (!messages && dead_.empty())) continue;
        idle_ = false;
        PyEval_RestoreThread(state);
        while (!quitting && handle_next()) wake_pd();
        handle_dead();
        state = PyEval_SaveThread();
        idle_ = true;
        wake_pd();
    }
}

void Worker::finish()
{
    if (waiting_) return; /* a message that came while waiting is queued: the wait that is on covers it */
    waiting_ = true;
    {
        GilReleased released;
        /* Also for what the handlers send to objects with rings; bounded, for they may send in circles. */
        const uint64_t last = tail_.load(std::memory_order_relaxed) + most_nested_;
        for (;;) {
            const uint64_t head = head_.load(std::memory_order_acquire);
            drain(1 << 30);
            if (quitting || head >= last || head == tail_.load(std::memory_order_relaxed)) break;
            wait_for_post();
        }
    }
    waiting_ = false;
}

// worker.cpp: threads that hand Pd's messages to Python, so that Pd's thread need not wait for the GIL.
#include "worker.hpp"

#include <cstring>
#include <new>

#include "gil.hpp"
#include "message.hpp"
#include "pd_thread.hpp"
#include "platform/platform.hpp"
#include "process.hpp"

Worker ring_worker("ring_message"), detach_worker("detached_message"), spawner("spawn_message");

void deliver(const HandlePtr &handle, const char *entry, const Incoming &message, const t_atom *argv)
{
    if (!handle->box) return; // deleted meanwhile
    const Ref box(Py_NewRef(handle->box));
    const Ref selector(python_symbol(message.selector));
    const Ref atoms(python_atoms(message.argc, argv));
    const Ref done(selector && atoms ? PyObject_CallMethod(box, entry, "iiOOL", static_cast<int>(message.kind),
                                                           static_cast<int>(message.number), selector.o, atoms.o,
                                                           static_cast<long long>(message.time))
                                     : nullptr);
    report_fault();
}

void Worker::start()
{
    queue_.allocate();
    if (!os::start_thread(run, this))
        pd_error(nullptr, "sopi: cannot start a thread: messages to Python will not arrive");
}

void Worker::wake() { semaphore_.post(); }

bool Worker::push(const HandlePtr &handle, const Incoming &message, const t_atom *argv)
{
    const uint64_t atoms = static_cast<uint64_t>(message.argc) * sizeof(t_atom);
    void *place = queue_.reserve(sizeof(Record) + atoms);
    if (!place) {
        handle->dropped_in++;
        note_dropped();
        return false;
    }
    Record *record = new (place) Record{handle, message};
    if (atoms) std::memcpy(static_cast<void *>(record + 1), argv, atoms);
    queue_.commit();
    wake();
    return true;
}

bool Worker::handle_next()
{
    Record *record = static_cast<Record *>(queue_.front());
    if (!record) return false;
    deliver(record->handle, entry_, record->message, reinterpret_cast<const t_atom *>(record + 1));
    record->~Record();
    queue_.pop();
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
    PyGILState_Ensure(); // once: this thread's Python state stays
    PyThreadState *state = PyEval_SaveThread();
    while (!quitting) {
        semaphore_.wait();
        collect_discarded();
        const bool messages = !queue_.empty();
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
    if (waiting_) return; // a message that came while waiting is queued: the wait that is on covers it
    waiting_ = true;
    {
        const GilReleased released;
        // Also for what the handlers send to objects with rings; bounded, for they may send in circles.
        const uint64_t last = queue_.put() + most_nested_;
        for (;;) {
            const uint64_t taken = queue_.taken();
            drain(1 << 30);
            if (quitting || taken >= last || taken == queue_.put()) break;
            wait_for_post();
        }
    }
    waiting_ = false;
}

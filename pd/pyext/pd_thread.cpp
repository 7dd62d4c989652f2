// pd_thread.cpp: how other threads reach Pd. They post functions; a Pd clock runs them on Pd's thread.
#include "pd_thread.hpp"

#include <m_pd.h>

#include <atomic>
#include <cstdio>

#include "object.hpp"
#include "platform/platform.hpp"
#include "post_queue.hpp"
#include "process.hpp"
#include "worker.hpp"

namespace {

constexpr int most_pending = 8192; // posts that Pd has not run yet
constexpr int most_per_poll = 512; // so that a flood cannot hold up audio
constexpr double poll_ms = 1;
constexpr int patience_ms = 3000; // for Pd's thread, which may wait for the very thread that waits for it

PostQueue queue(most_pending);
std::atomic<uint32_t> dropped{0}; // of no particular object
std::atomic<bool> any_dropped{false};
std::atomic<bool> pd_waits{false};
os::Semaphore pd_wake;

thread_local int pd_depth PYEXT_QUICK_TLS = 0;
thread_local bool dsp_now PYEXT_QUICK_TLS = false;

t_clock *poll_clock;
double last_report = -1; // s

// One line a second and object, however much was lost.
void report_dropped()
{
    if (!any_dropped || sys_getrealtime() - last_report < 1) return;
    last_report = sys_getrealtime();
    any_dropped = false;
    if (const unsigned n = dropped.exchange(0))
        pd_error(nullptr, "sopi: dropped %u messages from Python threads: they come faster than Pd takes them", n);
    for (Object *o : objects) {
        if (const unsigned n = o->handle->dropped_out.exchange(0))
            pd_error(o->pd, "%s: dropped %u messages from Python: they come faster than Pd takes them",
                     o->handle->name.c_str(), n);
        if (const unsigned n = o->handle->dropped_in.exchange(0))
            pd_error(o->pd, "%s: dropped %u messages to Python: it is busy and the queue is full",
                     o->handle->name.c_str(), n);
    }
}

void poll(void *)
{
    PdScope scope;
    quit_if_terminated();
    clock_delay(poll_clock, poll_ms);
    drain(most_per_poll);
    watch_dsp();
    report_dropped();
}

} // namespace

PdScope::PdScope(bool dsp) : dsp_before(dsp_now)
{
    pd_depth++;
    dsp_now = dsp_now || dsp;
}

PdScope::~PdScope()
{
    pd_depth--;
    dsp_now = dsp_before;
}

bool on_pd_thread() { return pd_depth > 0 && !is_fork(); }
bool in_dsp() { return dsp_now; }

void note_dropped() { any_dropped = true; }

bool post_to_pd(const HandlePtr &handle, std::function<void()> run)
{
    if (is_fork()) return false;
    if (!on_pd_thread()) collect_discarded();
    if (!queue.push(std::move(run))) {
        (handle ? handle->dropped_out : dropped)++;
        note_dropped();
        return false;
    }
    wake_pd();
    return true;
}

bool call_on_pd(std::function<void()> run)
{
    if (is_fork()) return false;
    if (on_pd_thread()) {
        run();
        return true;
    }
    struct Call {
        std::function<void()> run;
        os::Semaphore done;
    };
    const auto call = std::make_shared<Call>();
    call->run = std::move(run);
    queue.push_always([call] {
        call->run();
        call->done.post();
    });
    wake_pd();
    const GilReleased released;
    constexpr int step_ms = 20;
    for (int ms = 0; ms < patience_ms && !quitting; ms += step_ms)
        if (call->done.wait_for(step_ms)) return true;
    return false;
}

void send_soon(const HandlePtr &handle, std::function<void()> send)
{
    if (on_pd_thread() && !in_dsp()) send();
    else post_to_pd(handle, std::move(send));
}

void drain(int most)
{
    if (queue.run(most)) ring_worker.wake(); // it frees them
}

void discard(std::function<void()> held)
{
    queue.discard(std::move(held));
    ring_worker.wake();
}

void collect_discarded() { queue.collect(); }

void wait_for_post()
{
    pd_waits = true;
    if (queue.empty()) pd_wake.wait_for(2);
    pd_waits = false;
}

void wake_pd()
{
    if (pd_waits) pd_wake.post();
}

void start_poll()
{
    poll_clock = clock_new(nullptr, reinterpret_cast<t_method>(poll));
    clock_delay(poll_clock, poll_ms);
}

// ------------------------------------------------------------------ console

void print_error(const HandlePtr &handle, std::string line)
{
    if (is_fork()) std::fprintf(stderr, "%s\n", line.c_str());
    else if (on_pd_thread()) pd_error(handle && handle->object ? handle->object->pd : nullptr, "%s", line.c_str());
    else
        post_to_pd(handle, [handle, line = std::move(line)] {
            pd_error(handle && handle->object ? handle->object->pd : nullptr, "%s", line.c_str());
        });
}

void print_line(std::string line)
{
    if (is_fork()) std::fprintf(stderr, "%s\n", line.c_str());
    else if (on_pd_thread()) post("%s", line.c_str());
    else post_to_pd(nullptr, [line = std::move(line)] { post("%s", line.c_str()); });
}

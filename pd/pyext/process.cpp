// process.cpp: the end of Pd's process, and forks of it. Pd ends by exit(), without freeing objects; Python is never
// finalised.
#include "process.hpp"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "gil.hpp"
#include "platform/platform.hpp"
#include "worker.hpp"

std::atomic<bool> quitting{false};

namespace {

constexpr int worker_patience_ms = 200, gil_patience_ms = 200;
int64_t own_process; // a fork of it must not do this
std::atomic<bool> forked{false};
std::atomic<bool> frozen{false};
std::atomic<bool> terminated{false}; // by SIGTERM

void sleep_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

// Takes the GIL and keeps it: from now on no Python code runs.
void *take_gil(void *)
{
    PyGILState_Ensure();
    frozen = true;
    for (;;) sleep_ms(1000000);
}

void freeze_python()
{
    if (os::process() != own_process || quitting.exchange(true)) return;
    for (Worker *w : {&ring_worker, &detach_worker, &spawner}) w->wake();
    if (!holds_gil || holds_gil())
        return; // not started; or exit() was called from Python: nobody else gets the GIL now
    for (int ms = 0; ms < worker_patience_ms; ms++) {
        if (ring_worker.idle() && detach_worker.idle() && spawner.idle()) break;
        sleep_ms(1);
    }
    os::start_thread(take_gil, nullptr);
    for (int ms = 0; ms < gil_patience_ms && !frozen; ms++) sleep_ms(1);
}

} // namespace

bool is_fork() { return forked; }

// exit() runs what was registered last first: the libraries' own ends come between these two.
void prepare_quit()
{
    own_process = os::process();
    os::on_fork([] { forked = true; });
    os::at_last(freeze_python, &terminated);
    os::watch_termination(&terminated);
}

void quit_if_terminated()
{
    if (terminated && !quitting) std::exit(128 + SIGTERM);
}

void prepare_freeze() { os::at_first(freeze_python); }

/* quit.cpp: the end of the process. Pd ends by exit(), without freeing objects; Python is never finalised. */
#include "py.hpp"

#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

std::atomic<bool> quitting{false};

namespace {

constexpr int worker_patience_ms = 200, gil_patience_ms = 200;
pid_t process; /* a fork of it must not do this */
std::atomic<bool> frozen{false};

/* Takes the GIL and keeps it: from now on no Python code runs. */
void *take_gil(void *)
{
    PyGILState_Ensure();
    frozen = true;
    for (;;) pause();
}

void freeze_python()
{
    if (getpid() != process || quitting.exchange(true)) return;
    for (Worker *w : {&ring_worker, &detach_worker, &spawner}) w->wake();
    if (PyGILState_Check()) return; /* exit() was called from Python: nobody else gets the GIL now */
    for (int ms = 0; ms < worker_patience_ms; ms++) {
        if (ring_worker.idle() && detach_worker.idle() && spawner.idle()) break;
        usleep(1000);
    }
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    if (pthread_create(&thread, nullptr, take_gil, nullptr) == 0) pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    for (int ms = 0; ms < gil_patience_ms && !frozen; ms++) usleep(1000);
}

/* The last step: threads may be stuck in C for long, so nobody joins them. */
void leave(int status, void *)
{
    if (getpid() != process) return;
    freeze_python();
    std::fflush(nullptr);
    _exit(status);
}

} // namespace

/* exit() runs what was registered last first: the libraries' own ends come between these two. */
void prepare_quit()
{
    process = getpid();
    on_exit(leave, nullptr);
}

void prepare_freeze() { std::atexit(freeze_python); }

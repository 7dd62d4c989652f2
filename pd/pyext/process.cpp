// process.cpp: the end of Pd's process, and forks of it. Pd ends by exit(), without freeing objects; Python is never
// finalised.
#include "process.hpp"

#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "gil.hpp"
#include "thread.hpp"
#include "worker.hpp"

std::atomic<bool> quitting{false};

namespace {

constexpr int worker_patience_ms = 200, gil_patience_ms = 200;
pid_t process; // a fork of it must not do this
std::atomic<bool> forked{false};
std::atomic<bool> frozen{false};
std::atomic<bool> terminated{false}; // by SIGTERM
sem_t termination;

// Takes the GIL and keeps it: from now on no Python code runs.
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
    if (PyGILState_Check()) return; // exit() was called from Python: nobody else gets the GIL now
    for (int ms = 0; ms < worker_patience_ms; ms++) {
        if (ring_worker.idle() && detach_worker.idle() && spawner.idle()) break;
        usleep(1000);
    }
    start_thread(take_gil, nullptr);
    for (int ms = 0; ms < gil_patience_ms && !frozen; ms++) usleep(1000);
}

// SIGTERM would end Pd without exit(), and with it recordings that are not closed. Its end is left to
// Pd's thread; if that is stuck, it comes all the same.
constexpr unsigned termination_patience_s = 1;

void die_of_sigterm()
{
    std::signal(SIGTERM, SIG_DFL);
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_UNBLOCK, &term, nullptr);
    kill(getpid(), SIGTERM);
}

void on_sigterm(int)
{
    if (getpid() != process) die_of_sigterm();
    terminated = true;
    sem_post(&termination);
}

void *watch_termination(void *)
{
    while (sem_wait(&termination) != 0) {}
    sleep(termination_patience_s);
    die_of_sigterm();
    return nullptr;
}

// The last step: threads may be stuck in C for long, so nobody joins them.
void leave(int status, void *)
{
    if (getpid() != process) return;
    freeze_python();
    std::fflush(nullptr);
    if (terminated) die_of_sigterm();
    _exit(status);
}

} // namespace

bool is_fork() { return forked; }

// exit() runs what was registered last first: the libraries' own ends come between these two.
void prepare_quit()
{
    process = getpid();
    pthread_atfork(nullptr, nullptr, [] { forked = true; });
    on_exit(leave, nullptr);

    struct sigaction before, ours = {};
    if (sigaction(SIGTERM, nullptr, &before) != 0 || before.sa_handler != SIG_DFL) return;
    sem_init(&termination, 0, 0);
    if (!start_thread(watch_termination, nullptr)) return;
    ours.sa_handler = on_sigterm;
    ours.sa_flags = SA_RESTART;
    sigaction(SIGTERM, &ours, nullptr);
}

void quit_if_terminated()
{
    if (terminated && !quitting) std::exit(128 + SIGTERM);
}

void prepare_freeze() { std::atexit(freeze_python); }

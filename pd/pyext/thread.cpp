// thread.cpp: threads that do not get Pd's real-time priority.
#include "thread.hpp"

#include <pthread.h>
#include <sched.h>

#include <csignal>

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

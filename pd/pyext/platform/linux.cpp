// linux.cpp: Linux; posix.cpp has what it shares with macOS.
#if defined(__linux__)
#include "platform.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace os {

// ------------------------------------------------------------------ places

static std::string folder(const char *given, const char *usual)
{
    const std::string set = variable(given);
    return (!set.empty() && set[0] == '/' ? set : variable("HOME") + usual) + "/samplernn";
}

std::string data_folder() { return folder("XDG_DATA_HOME", "/.local/share"); }
std::string cache_folder() { return folder("XDG_CACHE_HOME", "/.cache"); }

std::vector<std::string> known_pythons()
{
    std::vector<std::string> found;
    std::string path = variable("PATH");
    if (path.empty()) path = "/usr/local/bin:/usr/bin:/bin";
    for (size_t at = 0; at <= path.size();) {
        const size_t end = std::min(path.find(':', at), path.size());
        const std::string entry = path.substr(at, end - at);
        at = end + 1;
        if (entry.empty() || entry[0] != '/') continue; // the current folder, or one in it
        for (const char *name : {"python3", "python3.11", "python3.12", "python3.13", "python3.14", "python3.15"})
            if (access((entry + "/" + name).c_str(), X_OK) == 0) found.push_back(entry + "/" + name);
    }
    return found;
}

std::string how_to_install(const std::string &version)
{
    if (access("/usr/bin/apt-get", X_OK) == 0)
        return version.empty() ? "sudo apt install python3-venv libpython3-dev"
                               : "sudo apt install libpython" + version;
    return "install a Python from 3.11 with its shared library (libpython) by your system's packages";
}

// ------------------------------------------------------------------ threads

void keep_real_time_to_pd()
{
    const int policy = sched_getscheduler(0);
    sched_param parameters;
    if ((policy == SCHED_FIFO || policy == SCHED_RR) && sched_getparam(0, &parameters) == 0)
        sched_setscheduler(0, policy | SCHED_RESET_ON_FORK, &parameters);
}

void ordinary_priority(posix_spawnattr_t *attributes)
{
    const sched_param normal{};
    posix_spawnattr_setschedpolicy(attributes, SCHED_OTHER);
    posix_spawnattr_setschedparam(attributes, &normal);
    posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSCHEDULER | POSIX_SPAWN_SETSCHEDPARAM);
}

// Real-time threads stay so, others change their niceness.
bool raise_priority(int delta)
{
    int policy;
    sched_param parameters;
    pthread_getschedparam(pthread_self(), &policy, &parameters);
    if (policy == SCHED_OTHER) {
        const id_t thread = static_cast<id_t>(syscall(SYS_gettid));
        return setpriority(PRIO_PROCESS, thread, getpriority(PRIO_PROCESS, thread) - delta) == 0;
    }
    parameters.sched_priority = std::clamp(parameters.sched_priority + delta, sched_get_priority_min(policy),
                                           sched_get_priority_max(policy));
    return pthread_setschedparam(pthread_self(), policy, &parameters) == 0;
}

static sem_t *own(void *held) { return static_cast<sem_t *>(held); }

Semaphore::Semaphore() : held_(new sem_t) { sem_init(own(held_), 0, 0); }

Semaphore::~Semaphore()
{
    sem_destroy(own(held_));
    delete own(held_);
}

void Semaphore::post() noexcept { sem_post(own(held_)); }

void Semaphore::wait() noexcept
{
    while (sem_wait(own(held_)) != 0 && errno == EINTR) {}
}

bool Semaphore::wait_for(int ms) noexcept
{
    timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    const int64_t ns = limit.tv_nsec + ms * int64_t{1000000};
    limit.tv_sec += ns / 1000000000;
    limit.tv_nsec = ns % 1000000000;
    return sem_timedwait(own(held_), &limit) == 0;
}

// ------------------------------------------------------------------ the end of the process

[[noreturn]] void die_of_sigterm(); // posix.cpp

static void (*last_step)();
static const std::atomic<bool> *was_stopped;

// Threads may be stuck in C for long, so nobody joins them.
static void leave(int status, void *)
{
    last_step();
    std::fflush(nullptr);
    if (*was_stopped) die_of_sigterm();
    _exit(status);
}

static int64_t registered_in;

void at_last(void (*last)(), const std::atomic<bool> *stopped)
{
    last_step = last;
    was_stopped = stopped;
    registered_in = process();
    on_exit(
        [](int status, void *nothing) {
            if (process() == registered_in) leave(status, nothing);
        },
        nullptr);
}

} // namespace os

#endif

// macos.cpp: macOS; posix.cpp has what it shares with Linux.
#if defined(__APPLE__)
#include "platform.hpp"

#include <cstdlib>

#include <dispatch/dispatch.h>
#include <pthread.h>
#include <pthread/qos.h>
#include <spawn.h>
#include <unistd.h>

namespace os {

// ------------------------------------------------------------------ places

std::string data_folder() { return variable("HOME") + "/Library/Application Support/samplernn"; }
std::string cache_folder() { return variable("HOME") + "/Library/Caches/samplernn"; }

// Pd, started from the Finder, has no PATH worth the name.
std::vector<std::string> known_pythons()
{
    std::vector<std::string> found;
    for (const char *folder :
         {"/Library/Frameworks/Python.framework/Versions/Current/bin/", "/opt/homebrew/bin/", "/usr/local/bin/"})
        for (const char *name : {"python3", "python3.13", "python3.14", "python3.12", "python3.11", "python3.15"})
            if (access((std::string(folder) + name).c_str(), X_OK) == 0) found.push_back(std::string(folder) + name);
    // Without the developer tools it is a program that asks to install them.
    std::string developer;
    if (run_program("/usr/bin/xcode-select", {"-p"}, 1000, &developer) && access("/usr/bin/python3", X_OK) == 0)
        found.emplace_back("/usr/bin/python3");
    return found;
}

std::string how_to_install(const std::string &)
{
    return access("/opt/homebrew/bin/brew", X_OK) == 0 || access("/usr/local/bin/brew", X_OK) == 0
               ? "brew install python numpy"
               : "open https://www.python.org/downloads/macos and install a Python from 3.11";
}

// ------------------------------------------------------------------ threads

// A thread's time-constraint policy is its own: those that it starts don't have it.
void keep_real_time_to_pd() {}

void ordinary_priority(posix_spawnattr_t *) {}

// From one class of service to the next.
bool raise_priority(int delta)
{
    const qos_class_t wanted = delta > 0   ? QOS_CLASS_USER_INTERACTIVE
                               : delta < 0 ? QOS_CLASS_UTILITY
                                           : qos_class_self();
    return pthread_set_qos_class_self_np(wanted, 0) == 0;
}

// There are no unnamed semaphores of POSIX.
static dispatch_semaphore_t own(void *held) { return static_cast<dispatch_semaphore_t>(held); }

Semaphore::Semaphore() : held_(dispatch_semaphore_create(0)) {}
Semaphore::~Semaphore() { dispatch_release(own(held_)); }
void Semaphore::post() noexcept { dispatch_semaphore_signal(own(held_)); }
void Semaphore::wait() noexcept { dispatch_semaphore_wait(own(held_), DISPATCH_TIME_FOREVER); }
bool Semaphore::wait_for(int ms) noexcept
{
    return dispatch_semaphore_wait(own(held_), dispatch_time(DISPATCH_TIME_NOW, ms * int64_t{1000000})) == 0;
}

// ------------------------------------------------------------------ the end of the process

[[noreturn]] void die_of_sigterm(); // posix.cpp

static void (*last_step)();
static const std::atomic<bool> *was_stopped;
static int64_t registered_in;

// Nothing here is told the status, so the rest of exit() goes its way: it joins no thread.
void at_last(void (*last)(), const std::atomic<bool> *stopped)
{
    last_step = last;
    was_stopped = stopped;
    registered_in = process();
    std::atexit([] {
        if (process() != registered_in) return;
        last_step();
        if (*was_stopped) die_of_sigterm();
    });
}

} // namespace os

#endif

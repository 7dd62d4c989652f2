// posix.cpp: what Linux and macOS share.
#if defined(__linux__) || defined(__APPLE__)
#include "platform.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

namespace os {

const char *const venv_python = "bin/python";
const char *const shipped_python = "python/bin/python3";
const char *const path_separator = ":";

std::string folder_of(const void *code)
{
    Dl_info info;
    if (!dladdr(code, &info)) return ".";
    char *path = realpath(info.dli_fname, nullptr);
    const std::string file = path ? path : info.dli_fname;
    std::free(path);
    return file.substr(0, file.find_last_of('/'));
}

// ------------------------------------------------------------------ environment

std::string variable(const char *name)
{
    const char *value = std::getenv(name);
    return value ? value : "";
}

std::vector<std::pair<std::string, std::string>> forget_variables(const std::string &prefix)
{
    std::vector<std::pair<std::string, std::string>> found;
    for (char **entry = environ; entry && *entry; entry++) {
        const std::string line = *entry;
        const size_t equals = line.find('=');
        if (equals != std::string::npos && line.compare(0, prefix.size(), prefix) == 0)
            found.emplace_back(line.substr(0, equals), line.substr(equals + 1));
    }
    for (const auto &one : found) unsetenv(one.first.c_str());
    return found;
}

// ------------------------------------------------------------------ libraries

void *open_library(const std::string &path, bool to_all, std::string *why)
{
    void *library = dlopen(path.c_str(), RTLD_NOW | (to_all ? RTLD_GLOBAL : RTLD_LOCAL));
    if (!library) {
        const char *said = dlerror();
        *why = said ? said : "unknown reason";
    }
    return library;
}

void *find_symbol(void *library, const char *name) { return dlsym(library ? library : RTLD_DEFAULT, name); }

// ------------------------------------------------------------------ programs

void ordinary_priority(posix_spawnattr_t *attributes); // in the system's own file

// Reads until the end, or until the time is over: then false.
static bool read_until(int file, int64_t end_ns, std::string *text)
{
    for (char piece[4096];;) {
        const int64_t left = end_ns - now_ns();
        pollfd wanted{file, POLLIN, 0};
        if (left <= 0 || poll(&wanted, 1, static_cast<int>(left / 1000000) + 1) == 0) return false;
        const ssize_t n = read(file, piece, sizeof piece);
        if (n == 0) return true;
        if (n < 0 && errno != EINTR) return false;
        if (n > 0) text->append(piece, static_cast<size_t>(n));
    }
}

// How it ended, waiting for it until the time is over; then it is killed.
static bool ended_well(pid_t child, int64_t end_ns)
{
    int status = 0;
    pid_t done = 0;
    while ((done = waitpid(child, &status, WNOHANG)) == 0 && now_ns() < end_ns) usleep(1000);
    if (done == 0) {
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
    }
    return done == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool run_program(const std::string &program, const std::vector<std::string> &arguments, int ms, std::string *printed)
{
    const int64_t end = now_ns() + ms * int64_t{1000000};
    int pipes[2];
    if (pipe(pipes) != 0) return false;
    for (const int file : pipes) fcntl(file, F_SETFD, FD_CLOEXEC);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, pipes[1], 1);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    ordinary_priority(&attributes);
    std::vector<char *> words{const_cast<char *>(program.c_str())};
    for (const std::string &word : arguments) words.push_back(const_cast<char *>(word.c_str()));
    words.push_back(nullptr);
    pid_t child;
    const bool started = posix_spawn(&child, program.c_str(), &actions, &attributes, words.data(), environ) == 0;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    close(pipes[1]);
    bool well = started && read_until(pipes[0], end, printed);
    close(pipes[0]);
    if (started) well = ended_well(child, well ? end : 0) && well;
    return well;
}

// ------------------------------------------------------------------ time and threads

int64_t now_ns() noexcept
{
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<int64_t>(t.tv_sec) * 1000000000 + t.tv_nsec;
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

// ------------------------------------------------------------------ the end of the process

int64_t process() noexcept { return getpid(); }

void on_fork(void (*child)()) { pthread_atfork(nullptr, nullptr, child); }

void at_first(void (*first)()) { std::atexit(first); }

namespace {

constexpr unsigned termination_patience_s = 1;
int64_t own_process;
std::atomic<bool> *stop_asked;
int termination[2]; // a pipe: a handler of signals may write to it

} // namespace

[[noreturn]] void die_of_sigterm();
void die_of_sigterm()
{
    std::signal(SIGTERM, SIG_DFL);
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_UNBLOCK, &term, nullptr);
    kill(getpid(), SIGTERM);
    for (;;) pause();
}

static void on_sigterm(int)
{
    if (process() != own_process) die_of_sigterm();
    const int number = errno;
    *stop_asked = true;
    (void)!write(termination[1], "", 1);
    errno = number;
}

static void *wait_for_termination(void *)
{
    for (char any; read(termination[0], &any, 1) != 1;) {}
    sleep(termination_patience_s);
    die_of_sigterm();
}

// SIGTERM would end Pd without exit(), and with it recordings that are not closed. Its end is left to Pd's thread, which
// looks at `stopped`; if that is stuck, it comes all the same.
void watch_termination(std::atomic<bool> *stopped)
{
    own_process = process();
    stop_asked = stopped;
    struct sigaction before, ours = {};
    if (sigaction(SIGTERM, nullptr, &before) != 0 || before.sa_handler != SIG_DFL || pipe(termination) != 0) return;
    for (const int file : termination) fcntl(file, F_SETFD, FD_CLOEXEC);
    if (!start_thread(wait_for_termination, nullptr)) return;
    ours.sa_handler = on_sigterm;
    ours.sa_flags = SA_RESTART;
    sigaction(SIGTERM, &ours, nullptr);
}

} // namespace os

#endif

// platform.hpp: what the library needs of an operating system. This folder holds the only files that name one, and each is
// empty on the others. Knows neither Pd nor Python. Texts and paths are UTF-8.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#if defined(_WIN32)
#define PYEXT_EXPORT __declspec(dllexport)
#define PYEXT_QUICK_TLS
#elif defined(__APPLE__)
#define PYEXT_EXPORT __attribute__((visibility("default")))
#define PYEXT_QUICK_TLS
#else
#define PYEXT_EXPORT __attribute__((visibility("default")))
#define PYEXT_QUICK_TLS __attribute__((tls_model("initial-exec"))) // memory that nobody has to make in the callback
#endif

namespace os {

// ------------------------------------------------------------------ places

std::string folder_of(const void *code); // the real one of the library or program that holds this address
std::string data_folder(), cache_folder(); // of this person and this project; may not be there yet
extern const char *const venv_python; // where a venv's folder has its python
extern const char *const shipped_python; // where the external's folder has the one it was shipped with
extern const char *const path_separator; // between folders in a variable
// Where this system has Pythons, the likeliest first: nothing that depends on the current folder.
std::vector<std::string> known_pythons();
// The command to type for a Python that Pd can run; `version`: "3.11" of one that lacks its shared library, or empty.
std::string how_to_install(const std::string &version);

// ------------------------------------------------------------------ environment

std::string variable(const char *name); // empty: not set
// Unsets all that begin with `prefix`, for this process and what it starts; -> their names and values.
std::vector<std::pair<std::string, std::string>> forget_variables(const std::string &prefix);

// ------------------------------------------------------------------ libraries

// `to_all`: later ones find its symbols. Null, and `why`, if it can't be opened.
void *open_library(const std::string &path, bool to_all, std::string *why);
// Null if there is none. Without a library: in whatever is open, Pd too.
void *find_symbol(void *library, const char *name);

// ------------------------------------------------------------------ programs

// Runs it with ordinary priority and returns what it printed; false if it can't be started, does not end in time, or ends
// with a failure.
bool run_program(const std::string &program, const std::vector<std::string> &arguments, int ms, std::string *printed);

// ------------------------------------------------------------------ time and threads

int64_t now_ns() noexcept; // monotonic; the callback may call it

// Pd's thread: threads that are started from it (by classes, by libraries) will not inherit real-time priority.
void keep_real_time_to_pd();
// A detached thread of ordinary priority, which gets none of Pd's signals. False if there can't be one.
bool start_thread(void *(*run)(void *), void *argument);
// The calling thread's, higher by `delta` in the system's own measure; false if the system refuses.
bool raise_priority(int delta);

class Semaphore {
public:
    Semaphore();
    Semaphore(const Semaphore &) = delete;
    Semaphore &operator=(const Semaphore &) = delete;
    ~Semaphore();
    void post() noexcept; // the callback may call it
    void wait() noexcept;
    bool wait_for(int ms) noexcept; // false: nothing came

private:
    void *held_;
};

// ------------------------------------------------------------------ the end of the process

int64_t process() noexcept;
// Called in each child that fork() makes.
void on_fork(void (*child)());
// `last` is called when exit() has done everything else that was registered after this; then the process is ended with
// its status, whatever its threads do. `stopped`: whether a request to terminate made it so.
void at_last(void (*last)(), const std::atomic<bool> *stopped);
// When exit() begins, before what was registered earlier. Not where the system has stopped all other threads by then.
void at_first(void (*first)());
// A request to terminate sets `stopped`; if the process is still there a second later it is ended all the same.
void watch_termination(std::atomic<bool> *stopped);

} // namespace os

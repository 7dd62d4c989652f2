// pd_thread.hpp: which thread is Pd's, and how other threads reach it.
#pragma once

#include <functional>
#include <string>

#include "handle.hpp"

// While one lives, this thread is Pd's: put one at each entry that Pd calls.
struct PdScope {
    explicit PdScope(bool dsp = false);
    PdScope(const PdScope &) = delete;
    PdScope &operator=(const PdScope &) = delete;
    ~PdScope();
    bool dsp_before;
};
bool on_pd_thread();
bool in_dsp(); // inside a perform routine: nothing may be sent to other objects now

// Any thread: run on Pd's thread, in order. False, and counted, if the queue is full.
bool post_to_pd(const HandlePtr &handle, std::function<void()> run);
// Any thread: run on Pd's thread and wait for it, without the GIL. False if Pd is quitting, if this is a fork of it, or
// if Pd's thread does not come within 3 s. `run` may outlive the call in that case: it must own what it touches.
bool call_on_pd(std::function<void()> run);
// Any thread: at once if this is Pd's thread outside audio; otherwise post_to_pd.
void send_soon(const HandlePtr &handle, std::function<void()> send);
// Pd's thread: destroy what `held` owns on another thread.
void discard(std::function<void()> held);
// Pd's thread: run what has been posted, `most` at most.
void drain(int most);
// Pd's thread: sleep until something was posted, wake_pd() was called or a few ms went by.
void wait_for_post();
void wake_pd();
// Any thread but Pd's: free what Pd's thread is done with.
void collect_discarded();
void start_poll();
void note_dropped(); // a dropped_in or dropped_out has grown: print it soon

// A line to Pd's console, from any thread; with a handle "find last error" finds the object.
void print_error(const HandlePtr &handle, std::string line);
void print_line(std::string line);

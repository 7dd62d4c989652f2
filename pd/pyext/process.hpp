// process.hpp: the end of Pd's process, and forks of it.
#pragma once

#include <atomic>

extern std::atomic<bool> quitting;
// Whether this process is a fork of Pd's: it has none of the external's threads, and nothing of it reaches Pd.
bool is_fork();
void quit_if_terminated(); // polled: SIGTERM ends Pd by exit()
void prepare_quit();       // first of all at load: registers the last step of exit()
void prepare_freeze();     // after anything was imported: registers the first step of exit()

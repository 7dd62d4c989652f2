// thread.hpp: threads that do not get Pd's real-time priority.
#pragma once

// Pd's thread: threads that are started from it (by classes, by libraries) will not inherit real-time priority.
void keep_real_time_to_pd();

// A detached thread of ordinary priority, which gets none of Pd's signals. False if there can't be one.
bool start_thread(void *(*run)(void *), void *argument);

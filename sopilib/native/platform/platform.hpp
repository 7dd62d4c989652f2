// What the engine and the stream need of an operating system. This folder holds the only files that name one, and each is
// empty on the others: linux.cpp, macos.cpp, posix.cpp for what these two share, windows.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace sopi::platform {

// ---------------------------------------------------------------- time

// A clock that only ever goes forward, in nanoseconds from an arbitrary beginning. It may be called in the callback.
int64_t now_ns() noexcept;

// Gives the core away for about so long; it may last longer. Nothing happens if `ns` is not above 0.
void sleep_ns(int64_t ns) noexcept;

// ---------------------------------------------------------------- threads

// The calling thread's name, as debuggers and `top -H` show it: at most 15 characters, more are cut off.
void name_thread(const char *name) noexcept;

// How urgent a thread is. Everything but `real_time` is the system's own measure, and means something to it alone.
struct Priority {
    bool real_time = false;
    int policy = 0, level = 0;

    bool operator==(const Priority &other) const noexcept
    {
        return real_time == other.real_time && policy == other.policy && level == other.level;
    }
    bool operator!=(const Priority &other) const noexcept { return !(*this == other); }
};

// That of a thread which nothing was done for.
Priority ordinary() noexcept;
// That of the calling thread, which may have it from the thread or the process that started it.
Priority priority() noexcept;
// The real-time priority next below a real-time one; an ordinary one for any other.
Priority below(const Priority &given) noexcept;
// These do nothing where the system doesn't allow it: sound goes on, and is only more easily disturbed.
void set_priority(const Priority &wanted) noexcept;
void set_priority(std::thread &thread, const Priority &wanted) noexcept;

// From here on whoever holds the mutex is as urgent as the most urgent thread that waits for it. Before its first use.
void inherit_priority(std::mutex &mutex) noexcept;

// Number of this process. A child made by fork() has another one, and none of its parent's threads.
int64_t process() noexcept;

// ---------------------------------------------------------------- memory

constexpr size_t kPage = static_cast<size_t>(2) << 20; // bytes

// `bytes` of memory, a multiple of kPage, in pages of that size where the system has them. std::bad_alloc if there is not
// so much.
void *take_pages(size_t bytes);
void give_pages(void *pages) noexcept;

// ---------------------------------------------------------------- files

// Paths are UTF-8. Where these fail they leave in errno why.

// A file that was not there before, open for writing, or -1. Children of this process don't get it.
int make_file(const std::string &path) noexcept;
// Writes all of it where the last write or move ended.
bool write_file(int file, const void *data, size_t bytes) noexcept;
bool move_in_file(int file, uint32_t to) noexcept;
// Closes it in any case; true once all of it lies on the disk, or as safe as that kind of file ever does.
bool close_file(int file) noexcept;
void delete_file(const std::string &path) noexcept;

// ---------------------------------------------------------------- processor

// What this processor can do of what the kernels are written for, and the system lets programs use.
struct Processor {
    bool avx2 = false;
    bool avx_vnni = false;
    bool avx512 = false; // with F, BW, VL, DQ and VNNI
    bool neon_dot = false;
    bool neon_i8mm = false; // with that
};
Processor processor() noexcept;

} // namespace sopi::platform

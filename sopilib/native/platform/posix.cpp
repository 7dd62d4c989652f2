// What Linux and macOS share.
#if defined(__linux__) || defined(__APPLE__)
#include "platform/platform.hpp"

#include <cerrno>

#include <fcntl.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

namespace sopi::platform {

// ---------------------------------------------------------------- time

constexpr int64_t kSecond = 1000000000; // ns

int64_t now_ns() noexcept
{
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<int64_t>(t.tv_sec) * kSecond + t.tv_nsec;
}

void sleep_ns(int64_t ns) noexcept
{
    if (ns <= 0) return;
    const timespec t{static_cast<time_t>(ns / kSecond), static_cast<long>(ns % kSecond)};
    nanosleep(&t, nullptr);
}

// ---------------------------------------------------------------- threads

void inherit_priority(std::mutex &mutex) noexcept
{
    pthread_mutexattr_t how;
    if (pthread_mutexattr_init(&how) != 0) return;
    if (pthread_mutexattr_setprotocol(&how, PTHREAD_PRIO_INHERIT) == 0) pthread_mutex_init(mutex.native_handle(), &how);
    pthread_mutexattr_destroy(&how);
}

int64_t process() noexcept { return getpid(); }

// ---------------------------------------------------------------- files

int make_file(const std::string &path) noexcept
{
    return ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
}

bool write_file(int file, const void *data, size_t bytes) noexcept
{
    for (const char *at = static_cast<const char *>(data); bytes > 0;) {
        const ssize_t done = ::write(file, at, bytes);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return false;
        at += done;
        bytes -= static_cast<size_t>(done);
    }
    return true;
}

bool move_in_file(int file, uint32_t to) noexcept { return ::lseek(file, static_cast<off_t>(to), SEEK_SET) >= 0; }

bool close_file(int file) noexcept
{
    // A full disk may say so only now.
    const bool there = ::fsync(file) == 0 || errno == EINVAL || errno == EROFS || errno == ENOTSUP;
    const int number = errno;
    const bool closed = ::close(file) == 0;
    if (!there) errno = number;
    return there && closed;
}

void delete_file(const std::string &path) noexcept { ::unlink(path.c_str()); }

} // namespace sopi::platform

#endif

// Ends the process with a message if the audio callback allocates, locks, sleeps, or touches a file or the network.
//
// Linked into a program or loaded before one (LD_PRELOAD), it stands in front of the C library's functions of that kind.
// Between sopi_callback_begin() and sopi_callback_end() a thread is in the callback: there each of them says its name and
// aborts; anywhere else it does what it always does. RealtimeSanitizer works alike, which GCC and older clang don't have.
#include <cerrno>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include <dlfcn.h>
#include <execinfo.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SEEN extern "C" __attribute__((visibility("default")))

namespace {

// of the kind that is there from the thread's beginning, so that reading it never allocates
__attribute__((tls_model("initial-exec"))) thread_local int inside = 0;

void tell(const char *text) { syscall(SYS_write, 2, text, std::strlen(text)); }

void check(const char *function)
{
    if (!inside) return;
    inside = 0;
    tell("real-time promise broken: ");
    tell(function);
    tell(" in the callback\n");
    void *frames[32];
    backtrace_symbols_fd(frames, backtrace(frames, 32), 2);
    std::abort();
}

// The C library's own. Conditions have an older version beside it, which is not meant.
template <typename F> F *next(const char *name)
{
    void *found = nullptr;
    if (std::strncmp(name, "pthread_cond_", 13) == 0)
        for (const char *version : {"GLIBC_2.3.2", "GLIBC_2.17"})
            if (!found) found = dlvsym(RTLD_NEXT, name, version);
    if (!found) found = dlsym(RTLD_NEXT, name);
    return reinterpret_cast<F *>(found);
}

} // namespace

SEEN void sopi_callback_begin() { inside++; }
SEEN void sopi_callback_end() { inside--; }

// ---------------------------------------------------------------- memory

// dlsym itself allocates, so these go by the names that glibc gives them
extern "C" void *__libc_malloc(size_t);
extern "C" void *__libc_calloc(size_t, size_t);
extern "C" void *__libc_realloc(void *, size_t);
extern "C" void *__libc_memalign(size_t, size_t);
extern "C" void __libc_free(void *);

SEEN void *malloc(size_t n)
{
    check("malloc");
    return __libc_malloc(n);
}
SEEN void *calloc(size_t n, size_t size)
{
    check("calloc");
    return __libc_calloc(n, size);
}
SEEN void *realloc(void *p, size_t n)
{
    check("realloc");
    return __libc_realloc(p, n);
}
SEEN void free(void *p)
{
    if (p) check("free");
    __libc_free(p);
}
SEEN void *memalign(size_t alignment, size_t n)
{
    check("memalign");
    return __libc_memalign(alignment, n);
}
SEEN void *aligned_alloc(size_t alignment, size_t n)
{
    check("aligned_alloc");
    return __libc_memalign(alignment, n);
}
SEEN int posix_memalign(void **p, size_t alignment, size_t n)
{
    check("posix_memalign");
    *p = __libc_memalign(alignment, n);
    return *p ? 0 : ENOMEM;
}

// ---------------------------------------------------------------- all others

// RESULT NAME(PARAMETERS), which hands ARGUMENTS on
#define STAND_BEFORE(RESULT, NAME, PARAMETERS, ARGUMENTS)                                                              \
    SEEN RESULT NAME PARAMETERS                                                                                        \
    {                                                                                                                  \
        check(#NAME);                                                                                                  \
        static auto *const own = next<RESULT PARAMETERS>(#NAME);                                                       \
        return own ARGUMENTS;                                                                                          \
    }

STAND_BEFORE(int, pthread_mutex_lock, (pthread_mutex_t * m), (m))
STAND_BEFORE(int, pthread_rwlock_rdlock, (pthread_rwlock_t * l), (l))
STAND_BEFORE(int, pthread_rwlock_wrlock, (pthread_rwlock_t * l), (l))
STAND_BEFORE(int, pthread_cond_wait, (pthread_cond_t * c, pthread_mutex_t *m), (c, m))
STAND_BEFORE(int, pthread_cond_timedwait, (pthread_cond_t * c, pthread_mutex_t *m, const timespec *t), (c, m, t))
STAND_BEFORE(int, pthread_cond_signal, (pthread_cond_t * c), (c))
STAND_BEFORE(int, pthread_cond_broadcast, (pthread_cond_t * c), (c))
STAND_BEFORE(int, pthread_join, (pthread_t t, void **result), (t, result))
STAND_BEFORE(int, sem_wait, (sem_t * s), (s))

STAND_BEFORE(int, nanosleep, (const timespec *t, timespec *left), (t, left))
STAND_BEFORE(int, clock_nanosleep, (clockid_t c, int flags, const timespec *t, timespec *left), (c, flags, t, left))
STAND_BEFORE(int, usleep, (useconds_t us), (us))
STAND_BEFORE(unsigned, sleep, (unsigned s), (s))
STAND_BEFORE(int, poll, (pollfd * files, nfds_t n, int timeout), (files, n, timeout))
STAND_BEFORE(int, select, (int n, fd_set *r, fd_set *w, fd_set *e, timeval *t), (n, r, w, e, t))

STAND_BEFORE(FILE *, fopen, (const char *path, const char *mode), (path, mode))
STAND_BEFORE(int, fclose, (FILE * f), (f))
STAND_BEFORE(size_t, fwrite, (const void *p, size_t size, size_t n, FILE *f), (p, size, n, f))
STAND_BEFORE(size_t, fread, (void *p, size_t size, size_t n, FILE *f), (p, size, n, f))
STAND_BEFORE(int, fputs, (const char *text, FILE *f), (text, f))
STAND_BEFORE(int, puts, (const char *text), (text))
STAND_BEFORE(int, vfprintf, (FILE * f, const char *format, va_list args), (f, format, args))
STAND_BEFORE(int, close, (int file), (file))
STAND_BEFORE(ssize_t, read, (int file, void *p, size_t n), (file, p, n))
STAND_BEFORE(ssize_t, write, (int file, const void *p, size_t n), (file, p, n))
STAND_BEFORE(ssize_t, pread, (int file, void *p, size_t n, off_t at), (file, p, n, at))
STAND_BEFORE(ssize_t, pwrite, (int file, const void *p, size_t n, off_t at), (file, p, n, at))
STAND_BEFORE(int, fsync, (int file), (file))
STAND_BEFORE(void *, mmap, (void *at, size_t n, int how, int flags, int file, off_t offset),
             (at, n, how, flags, file, offset))
STAND_BEFORE(int, munmap, (void *at, size_t n), (at, n))
STAND_BEFORE(ssize_t, send, (int s, const void *p, size_t n, int flags), (s, p, n, flags))
STAND_BEFORE(ssize_t, sendto, (int s, const void *p, size_t n, int flags, const sockaddr *to, socklen_t size),
             (s, p, n, flags, to, size))
STAND_BEFORE(ssize_t, recv, (int s, void *p, size_t n, int flags), (s, p, n, flags))
STAND_BEFORE(ssize_t, recvfrom, (int s, void *p, size_t n, int flags, sockaddr *from, socklen_t *size),
             (s, p, n, flags, from, size))

// with arguments of any number
SEEN int open(const char *path, int flags, ...)
{
    check("open");
    va_list args;
    va_start(args, flags);
    const int mode = va_arg(args, int);
    va_end(args);
    return static_cast<int>(syscall(SYS_openat, -100, path, flags, mode));
}
SEEN int open64(const char *path, int flags, ...)
{
    check("open64");
    va_list args;
    va_start(args, flags);
    const int mode = va_arg(args, int);
    va_end(args);
    return static_cast<int>(syscall(SYS_openat, -100, path, flags, mode));
}
SEEN int printf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n = vfprintf(stdout, format, args);
    va_end(args);
    return n;
}
SEEN int fprintf(FILE *f, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n = vfprintf(f, format, args);
    va_end(args);
    return n;
}

// Looked up while nobody is in the callback, because looking up allocates.
__attribute__((constructor)) static void look_up()
{
    void *frame;
    backtrace(&frame, 1);
}

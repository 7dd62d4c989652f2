// Windows, with a C++ library whose threads are the system's own (libc++).
#if defined(_WIN32)
#include "platform/platform.hpp"

#include <algorithm>
#include <cerrno>
#include <new>

#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h> // before the others

#include <avrt.h>
#include <fcntl.h>
#include <io.h>
#include <sys/stat.h>

namespace sopi::platform {

// ---------------------------------------------------------------- time

constexpr int64_t kSecond = 1000000000; // ns

int64_t now_ns() noexcept
{
    LARGE_INTEGER frequency, count;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&count);
    const int64_t whole = count.QuadPart / frequency.QuadPart, rest = count.QuadPart % frequency.QuadPart;
    return whole * kSecond + rest * kSecond / frequency.QuadPart;
}

namespace {

// A timer of this thread: Sleep() knows only steps of up to 16 ms. Before Windows 10 1803 there is no exact one.
class Timer {
public:
    Timer() noexcept
    {
        constexpr DWORD exact = 0x2; // CREATE_WAITABLE_TIMER_HIGH_RESOLUTION, which older headers don't have
        timer_ = CreateWaitableTimerExW(nullptr, nullptr, exact, TIMER_ALL_ACCESS);
        if (!timer_) timer_ = CreateWaitableTimerExW(nullptr, nullptr, 0, TIMER_ALL_ACCESS);
    }
    Timer(const Timer &) = delete;
    Timer &operator=(const Timer &) = delete;
    ~Timer()
    {
        if (timer_) CloseHandle(timer_);
    }
    void wait(int64_t ns) noexcept
    {
        LARGE_INTEGER due;
        due.QuadPart = -std::max<int64_t>(1, ns / 100); // below 0: from now on
        if (timer_ && SetWaitableTimer(timer_, &due, 0, nullptr, nullptr, FALSE)) WaitForSingleObject(timer_, INFINITE);
        else Sleep(static_cast<DWORD>(std::max<int64_t>(1, ns / 1000000)));
    }

private:
    HANDLE timer_;
};

std::wstring wide(const char *text)
{
    const int n = MultiByteToWideChar(CP_UTF8, 0, text, -1, nullptr, 0);
    std::wstring found(static_cast<size_t>(std::max(n, 1)), L'\0');
    MultiByteToWideChar(CP_UTF8, 0, text, -1, found.data(), n);
    found.pop_back(); // the zero at the end
    return found;
}

} // namespace

void sleep_ns(int64_t ns) noexcept
{
    static thread_local Timer timer;
    if (ns > 0) timer.wait(ns);
}

// ---------------------------------------------------------------- threads

void name_thread(const char *name) noexcept
{
    // Windows 10 1607 and later have it.
    using Describe = HRESULT(WINAPI *)(HANDLE, PCWSTR);
    const HMODULE kernel = GetModuleHandleW(L"kernel32.dll");
    const auto describe = reinterpret_cast<Describe>(
        reinterpret_cast<void *>(kernel ? GetProcAddress(kernel, "SetThreadDescription") : nullptr));
    try {
        if (describe) describe(GetCurrentThread(), wide(name).c_str());
    } catch (const std::bad_alloc &) {
        return; // without a name, then
    }
}

// Real time is the multimedia scheduler's task "Pro Audio" for a thread that asks for itself, and the highest ordinary
// priority for one that others ask for. `level` is that of GetThreadPriority.
static thread_local HANDLE task = nullptr;

Priority ordinary() noexcept { return {false, 0, THREAD_PRIORITY_NORMAL}; }

Priority priority() noexcept
{
    const int level = GetThreadPriority(GetCurrentThread());
    return {task != nullptr || level >= THREAD_PRIORITY_TIME_CRITICAL, 0, level};
}

Priority below(const Priority &given) noexcept
{
    if (!given.real_time) return ordinary();
    return {true, 0, THREAD_PRIORITY_HIGHEST};
}

void set_priority(const Priority &wanted) noexcept
{
    if (wanted.real_time && !task) {
        DWORD index = 0;
        task = AvSetMmThreadCharacteristicsW(L"Pro Audio", &index);
    } else if (!wanted.real_time && task) {
        AvRevertMmThreadCharacteristics(task);
        task = nullptr;
    }
    if (!task) SetThreadPriority(GetCurrentThread(), wanted.level);
}

void set_priority(std::thread &thread, const Priority &wanted) noexcept
{
    SetThreadPriority(thread.native_handle(), wanted.level);
}

void inherit_priority(std::mutex &) noexcept {} // the system raises whoever waits too long by itself

int64_t process() noexcept { return static_cast<int64_t>(GetCurrentProcessId()); }

// ---------------------------------------------------------------- memory

void *take_pages(size_t bytes) { return ::operator new(bytes, std::align_val_t(kPage)); }

void give_pages(void *pages) noexcept { ::operator delete(pages, std::align_val_t(kPage)); }

// ---------------------------------------------------------------- files

int make_file(const std::string &path) noexcept
try {
    return _wopen(wide(path.c_str()).c_str(), _O_WRONLY | _O_CREAT | _O_EXCL | _O_BINARY | _O_NOINHERIT,
                  _S_IREAD | _S_IWRITE);
} catch (const std::bad_alloc &) {
    errno = ENOMEM;
    return -1;
}

bool write_file(int file, const void *data, size_t bytes) noexcept
{
    for (const char *at = static_cast<const char *>(data); bytes > 0;) {
        const int done = _write(file, at, static_cast<unsigned>(std::min(bytes, static_cast<size_t>(1) << 20)));
        if (done <= 0) return false;
        at += done;
        bytes -= static_cast<size_t>(done);
    }
    return true;
}

bool move_in_file(int file, uint32_t to) noexcept { return _lseeki64(file, to, SEEK_SET) >= 0; }

bool close_file(int file) noexcept
{
    const bool there = _commit(file) == 0 || errno == EBADF; // that of what is no file on a disk
    const int number = errno;
    const bool closed = _close(file) == 0;
    if (!there) errno = number;
    return there && closed;
}

void delete_file(const std::string &path) noexcept
try {
    _wunlink(wide(path.c_str()).c_str());
} catch (const std::bad_alloc &) {
    return;
}

} // namespace sopi::platform

#endif

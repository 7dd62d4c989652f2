// Linux; posix.cpp has what it shares with macOS.
#if defined(__linux__)
#include "platform/platform.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace sopi::platform {

// ---------------------------------------------------------------- threads

void name_thread(const char *name) noexcept
{
    char kept[16] = {}; // the most that the kernel takes
    std::strncpy(kept, name, sizeof kept - 1);
    pthread_setname_np(pthread_self(), kept);
}

Priority ordinary() noexcept { return {false, SCHED_OTHER, 0}; }

Priority priority() noexcept
{
    int policy = SCHED_OTHER;
    sched_param p{};
    pthread_getschedparam(pthread_self(), &policy, &p);
    policy &= ~SCHED_RESET_ON_FORK;
    return {policy == SCHED_FIFO || policy == SCHED_RR, policy, p.sched_priority};
}

Priority below(const Priority &given) noexcept
{
    if (!given.real_time) return ordinary();
    return {true, SCHED_FIFO, std::max(sched_get_priority_min(SCHED_FIFO), given.level - 1)};
}

static void set_priority(pthread_t thread, const Priority &wanted) noexcept
{
    const sched_param p{wanted.level};
    pthread_setschedparam(thread, wanted.policy, &p);
}

void set_priority(const Priority &wanted) noexcept { set_priority(pthread_self(), wanted); }

void set_priority(std::thread &thread, const Priority &wanted) noexcept
{
    set_priority(thread.native_handle(), wanted);
}

// ---------------------------------------------------------------- memory

void *take_pages(size_t bytes)
{
    void *pages = ::operator new(bytes, std::align_val_t(kPage));
    madvise(pages, bytes, MADV_HUGEPAGE);
    return pages;
}

void give_pages(void *pages) noexcept { ::operator delete(pages, std::align_val_t(kPage)); }

// ---------------------------------------------------------------- processor

#if defined(__aarch64__)
Processor processor() noexcept
{
    Processor here;
    constexpr unsigned long i8mm = 1ul << 13; // HWCAP2_I8MM, which older headers lack
    here.neon_dot = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
    here.neon_i8mm = here.neon_dot && (getauxval(AT_HWCAP2) & i8mm) != 0;
    return here;
}
#endif

} // namespace sopi::platform

#endif

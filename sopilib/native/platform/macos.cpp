// macOS; posix.cpp has what it shares with Linux.
#if defined(__APPLE__)
#include "platform/platform.hpp"

#include <mach/mach_init.h>
#include <mach/mach_time.h>
#include <mach/thread_act.h>
#include <mach/thread_policy.h>
#include <new>
#include <pthread.h>
#include <pthread/qos.h>
#include <sys/sysctl.h>

namespace sopi::platform {

// ---------------------------------------------------------------- threads

void name_thread(const char *name) noexcept { pthread_setname_np(name); }

// Real time is a time-constraint policy, of which there are no levels; everything else is the QoS class `level`.
Priority ordinary() noexcept { return {false, 0, QOS_CLASS_USER_INITIATED}; }

Priority priority() noexcept
{
    thread_time_constraint_policy_data_t policy;
    mach_msg_type_number_t count = THREAD_TIME_CONSTRAINT_POLICY_COUNT;
    boolean_t usual = false; // becomes true if the thread has no such policy
    const thread_port_t thread = pthread_mach_thread_np(pthread_self());
    if (thread_policy_get(thread, THREAD_TIME_CONSTRAINT_POLICY, reinterpret_cast<thread_policy_t>(&policy), &count,
                          &usual) == KERN_SUCCESS &&
        !usual)
        return {true, 1, 0};
    qos_class_t level = QOS_CLASS_USER_INITIATED;
    int below_it = 0;
    pthread_get_qos_class_np(pthread_self(), &level, &below_it);
    return {false, 0, static_cast<int>(level)};
}

Priority below(const Priority &given) noexcept { return given.real_time ? given : ordinary(); }

// At most 2 ms of work in each 5 ms: what is more is done with ordinary priority.
static void set_real_time(thread_port_t thread) noexcept
{
    mach_timebase_info_data_t base;
    if (mach_timebase_info(&base) != KERN_SUCCESS || base.numer == 0) return;
    const auto ticks = [&base](uint64_t ns) { return static_cast<uint32_t>(ns * base.denom / base.numer); };
    thread_time_constraint_policy_data_t policy{ticks(5000000), ticks(2000000), ticks(5000000), true};
    thread_policy_set(thread, THREAD_TIME_CONSTRAINT_POLICY, reinterpret_cast<thread_policy_t>(&policy),
                      THREAD_TIME_CONSTRAINT_POLICY_COUNT);
}

static void set_ordinary(thread_port_t thread) noexcept
{
    thread_extended_policy_data_t policy{true}; // of a share of time, like any other
    thread_policy_set(thread, THREAD_EXTENDED_POLICY, reinterpret_cast<thread_policy_t>(&policy),
                      THREAD_EXTENDED_POLICY_COUNT);
}

void set_priority(const Priority &wanted) noexcept
{
    const thread_port_t thread = pthread_mach_thread_np(pthread_self());
    if (wanted.real_time) return set_real_time(thread);
    set_ordinary(thread);
    pthread_set_qos_class_self_np(static_cast<qos_class_t>(wanted.level), 0);
}

void set_priority(std::thread &thread, const Priority &wanted) noexcept
{
    const thread_port_t port = pthread_mach_thread_np(thread.native_handle());
    if (wanted.real_time) set_real_time(port);
    else set_ordinary(port);
}

// ---------------------------------------------------------------- memory

void *take_pages(size_t bytes) { return ::operator new(bytes, std::align_val_t(kPage)); }

void give_pages(void *pages) noexcept { ::operator delete(pages, std::align_val_t(kPage)); }

// ---------------------------------------------------------------- processor

#if defined(__aarch64__)
Processor processor() noexcept
{
    const auto has = [](const char *feature) {
        int says = 0;
        size_t bytes = sizeof says;
        return sysctlbyname(feature, &says, &bytes, nullptr, 0) == 0 && says;
    };
    Processor here;
    here.neon_dot = has("hw.optional.arm.FEAT_DotProd");
    here.neon_i8mm = here.neon_dot && has("hw.optional.arm.FEAT_I8MM");
    return here;
}
#endif

} // namespace sopi::platform

#endif

// What the processor itself tells, whatever the system; where only the system knows, its own file says it.
#include "platform/platform.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace sopi::platform {

#if defined(__x86_64__)

// GCC before 13 has no name for it.
static bool has_avx_vnni() noexcept
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4);
}

Processor processor() noexcept
{
    __builtin_cpu_init();
    Processor here;
    here.avx2 = __builtin_cpu_supports("avx2");
    here.avx_vnni = here.avx2 && has_avx_vnni();
    here.avx512 = here.avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vnni");
    return here;
}

#elif !defined(__aarch64__)

Processor processor() noexcept { return {}; }

#endif

} // namespace sopi::platform

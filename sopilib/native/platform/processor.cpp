// What the processor itself tells, whatever the system; where only the system knows, its own file says it.
#include "platform/platform.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace sopi::platform {

#if defined(__x86_64__)

// Which registers the system keeps when it goes from one program to another.
static unsigned kept_registers() noexcept
{
    unsigned low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

// Asked of the processor, for not every compiler's own library can tell, and none tells of AVX-VNNI.
Processor processor() noexcept
{
    Processor here;
    unsigned a = 0, b = 0, c = 0, d = 0;
    constexpr unsigned osxsave = 1u << 27, avx = 1u << 28, of_avx = 0x6, of_avx512 = 0xe6;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & (osxsave | avx)) != (osxsave | avx)) return here;
    const unsigned kept = kept_registers();
    if ((kept & of_avx) != of_avx || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return here;
    constexpr unsigned avx2 = 1u << 5, f = 1u << 16, dq = 1u << 17, bw = 1u << 30, vl = 1u << 31;
    constexpr unsigned vnni = 1u << 11; // in ecx
    here.avx2 = b & avx2;
    here.avx512 = here.avx2 && (kept & of_avx512) == of_avx512 && (b & (f | dq | bw | vl)) == (f | dq | bw | vl) &&
                  (c & vnni);
    here.avx_vnni = here.avx2 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4);
    return here;
}

#elif !defined(__aarch64__)

Processor processor() noexcept { return {}; }

#endif

} // namespace sopi::platform

// Tiny numbers become zero: they would cost a hundred times as much and nobody hears them. In every thread that
// computes, so that all of them round alike.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace sopi {

// Switched off while one of these lives, as it was before afterwards.
class DenormalsFlushed {
public:
#if defined(__x86_64__)
    DenormalsFlushed() noexcept : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
    ~DenormalsFlushed() { _mm_setcsr(before_); }

private:
    unsigned before_;
#elif defined(__aarch64__)
    DenormalsFlushed() noexcept
    {
        asm volatile("mrs %0, fpcr" : "=r"(before_));
        asm volatile("msr fpcr, %0" ::"r"(before_ | (1ull << 24)));
    }
    ~DenormalsFlushed() { asm volatile("msr fpcr, %0" ::"r"(before_)); }

private:
    uint64_t before_;
#else
    DenormalsFlushed() noexcept {}
    ~DenormalsFlushed() {}
#endif
    DenormalsFlushed(const DenormalsFlushed &) = delete;
    DenormalsFlushed &operator=(const DenormalsFlushed &) = delete;
};

} // namespace sopi

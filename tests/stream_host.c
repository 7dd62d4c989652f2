/* A host as an audio driver is one: takes a block from the ring whenever its time has come, needs no Python. */
#define _GNU_SOURCE
#include "ring.h"

#include <time.h>

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* One channel, `frames` of it into out, in real time, the first at *began ns. Returns the largest lateness of a block
 * in ns. */
uint64_t play(sopi_ring *ring, float *out, uint64_t frames, double rate, uint32_t block, uint64_t *began)
{
    uint64_t worst = 0;
    sopi_ring_host(ring, rate, block, 1);
    const uint64_t begin = *began = now_ns();
    for (uint64_t done = 0; done + block <= frames; done += block) {
        const uint64_t due = begin + (uint64_t)((double)done / rate * 1e9);
        const struct timespec t = {(time_t)(due / 1000000000u), (long)(due % 1000000000u)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, 0);
        const uint64_t now = now_ns();
        if (now - due > worst) worst = now - due;
        float *const channels[] = {out + done};
        sopi_ring_read(ring, channels, 1, block, now);
    }
    return worst;
}

/* Sleeps a millisecond at a time until *stop. Returns how late it was woken at worst, in ns. */
uint64_t watch(const int *stop)
{
    uint64_t worst = 0;
    while (!__atomic_load_n(stop, __ATOMIC_ACQUIRE)) {
        const uint64_t before = now_ns();
        const struct timespec t = {0, 1000000};
        nanosleep(&t, 0);
        const uint64_t late = now_ns() - before - 1000000u;
        if (late > worst) worst = late;
    }
    return worst;
}

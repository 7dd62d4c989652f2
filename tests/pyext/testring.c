/* testring.c: a producer for tests of the external's ring mode: a native thread that writes a ramp.
 * The sample for host frame p in channel c is (p % 65536 + c) / 65536 (exact in float32). */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "../../sopilib/native/ring.h"

typedef struct {
    sopi_ring ring;
    pthread_t thread;
    int stop;          /* atomic */
    uint64_t tick_every; /* host frames between ticks, 0: none */
} producer;

static int destroyed; /* atomic */

static int wait_frames(sopi_ring *r, uint64_t position)
{
    const producer *p = r->owner;
    const struct timespec nap = {0, 20000};
    while (sopi_load(&r->write) < position && sopi_load(&r->freewheel) && !sopi_load(&p->stop)) nanosleep(&nap, NULL);
    return sopi_load(&r->write) >= position;
}

static void *produce(void *arg)
{
    producer *p = arg;
    sopi_ring *r = &p->ring;
    const struct timespec nap = {0, 200000};
    uint64_t tick = 0;
    while (!sopi_load(&p->stop)) {
        const uint64_t at = r->write;
        uint64_t end = sopi_load(&r->read) + r->capacity / 2;
        if (end <= at) {
            nanosleep(&nap, NULL);
            continue;
        }
        if (end > at + 256) end = at + 256;
        for (uint32_t c = 0; c < r->channels; c++)
            for (uint64_t i = at; i < end; i++)
                r->data[(size_t)c * r->capacity + (i & (r->capacity - 1))] = (float)(i % 65536 + c) / 65536;
        for (; p->tick_every && tick < end; tick += p->tick_every) {
            const uint64_t n = r->tick_write;
            sopi_store(&r->ticks[n & (SOPI_RING_TICKS - 1)], tick);
            sopi_store(&r->tick_write, n + 1);
        }
        sopi_store(&r->write, end);
    }
    return NULL;
}

static void destroy(sopi_ring *r)
{
    producer *p = r->owner;
    sopi_store(&p->stop, 1);
    pthread_join(p->thread, NULL);
    free(r->data);
    free(p);
    __atomic_add_fetch(&destroyed, 1, __ATOMIC_ACQ_REL);
}

/* One reference is the caller's. Without `producing` it is an input ring. */
sopi_ring *testring_new(uint32_t channels, uint32_t capacity, uint32_t reserve, int freewheel, uint64_t tick_every,
                        int producing)
{
    producer *p = calloc(1, sizeof *p);
    sopi_ring *r = &p->ring;
    r->magic = SOPI_RING_MAGIC;
    r->version = SOPI_RING_VERSION;
    r->bytes = sizeof *r;
    r->refs = 1;
    r->destroy = destroy;
    r->wait = wait_frames;
    r->owner = p;
    r->channels = channels;
    r->capacity = capacity;
    r->reserve = reserve;
    r->data = calloc((size_t)channels * capacity, sizeof(float));
    r->generating = 1;
    r->freewheel = (uint32_t)freewheel;
    r->gain = 1;
    p->tick_every = tick_every;
    p->stop = !producing;
    pthread_create(&p->thread, NULL, produce, p);
    const struct timespec nap = {0, 20000};
    while (producing && sopi_load(&r->write) < capacity / 2) nanosleep(&nap, NULL);
    return r;
}

void testring_release(sopi_ring *r) { sopi_ring_release(r); }
int testring_destroyed(void) { return sopi_load(&destroyed); }
uint64_t testring_underruns(const sopi_ring *r) { return sopi_load(&r->underruns); }
uint64_t testring_read(const sopi_ring *r) { return sopi_load(&r->read); }
uint32_t testring_dsp(const sopi_ring *r) { return sopi_load(&r->dsp); }
uint32_t testring_block(const sopi_ring *r) { return sopi_load(&r->block); }
double testring_rate(const sopi_ring *r) { return r->sample_rate; }
float testring_sample(const sopi_ring *r, uint32_t channel, uint64_t position)
{
    return r->data[(size_t)channel * r->capacity + (position & (r->capacity - 1))];
}

static void say_closed(void)
{
    if (write(1, "closed\n", 7) != 7) _exit(99);
}

void testring_at_exit(void) { atexit(say_closed); }

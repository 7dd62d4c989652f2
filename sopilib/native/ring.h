/* ring.h: audio between a producer thread and an audio callback, without locks.
 *
 * The only thing that sopilib's extension and the Pd external share. It is allocated and
 * destroyed on the extension's side, counted by everyone who holds it, and travels through
 * Python as a capsule named SOPI_RING_CAPSULE.
 *
 * Time. Positions are host frames counted from 0 when the ring was made; they never wrap (64 bit).
 * `read` is the host's clock: the audio callback alone moves it, by one block per call, whether
 * there was sound or not. `write` is moved by the producer alone: frames [read, write) are ready.
 * A sample for position p lies at data[channel * capacity + (p & (capacity - 1))].
 *
 * Two directions, one struct. Output ring: the producer is the engine's thread, the consumer the
 * callback (sopi_ring_read). Input ring: the producer is the callback (sopi_ring_write), the
 * consumer the engine's thread.
 *
 * Dry ring. The callback keeps `reserve` frames in hand. When fewer than block + reserve are ready
 * it ramps its gain down over `reserve` frames, so that the gain is zero before the last one is
 * played, and counts an underrun if sound was meant to be there (`generating`). When enough is ready
 * again it ramps up. Nothing else in the callback touches the samples.
 *
 * Freewheel. When `freewheel` is set the callback calls wait() before it reads: the only place where
 * it may block. It is set only where nobody listens in real time (pd -batch, tests).
 *
 * Blocks. Any number of frames may be asked for at once: more than a quarter of the ring is read in pieces, each of which finds
 * what is ready then (in freewheel: waits for it), and of more than the ring holds only the last are kept when written.
 *
 * Every function marked RT takes no lock, allocates nothing, makes no system call, and in C++ throws nothing: it may be called
 * in the audio callback.
 */
#ifndef SOPI_RING_H
#define SOPI_RING_H

#include <stdint.h>
#include <string.h>

#define SOPI_RING_MAGIC 0x534f5052u /* "SOPR" */
#define SOPI_RING_VERSION 1u
#define SOPI_RING_CAPSULE "sopilib.ring.1"
#define SOPI_RING_TICKS 1024u /* power of two */

typedef struct sopi_ring {
    uint32_t magic, version, bytes; /* SOPI_RING_MAGIC, SOPI_RING_VERSION, sizeof(sopi_ring) */
    int32_t refs;                   /* atomic */
    void (*destroy)(struct sopi_ring *);
    /* Freewheel only, called by the callback: blocks until `write` >= position, the producer has
     * died or is stopping, or `ring` stops being in freewheel. Returns 1 if the frames are there. */
    int (*wait)(struct sopi_ring *, uint64_t position);
    void *owner; /* the producer's own */

    uint32_t channels, capacity; /* capacity in frames, a power of two */
    uint32_t reserve;            /* frames; also the length of the fades */
    uint32_t pad0;
    float *data; /* [channels][capacity] */

    /* written by the producer's side, atomic */
    uint64_t write;
    uint32_t generating; /* 1: the frames up to `write` are meant to sound */
    uint32_t freewheel;
    uint64_t tick_write;             /* ticks put in so far; input ring: set by the consumer when it has read */
    uint64_t ticks[SOPI_RING_TICKS]; /* host positions at which a bottom frame begins, ascending */

    /* written by the host's side (the callback), atomic */
    uint64_t read;
    uint64_t tick_read;
    uint64_t underruns;   /* times the ring ran dry while generating */
    uint64_t missing;     /* frames that were not there while generating */
    uint64_t burst;       /* most frames taken at once since the producer last set it to 0 */
    uint64_t burst_start; /* private to the callback: position at which the present burst began */
    uint64_t burst_ns;    /* monotonic time of the last call */
    double sample_rate;   /* the host's, Hz; set (by sopi_ring_host) before the first read */
    uint32_t block;       /* the host's block in frames */
    float gain;           /* private to the callback: present gain of the dry-ring fade, 0..1 */
    float peak;           /* largest |sample| handed out since someone last set it to 0 */
    uint32_t dsp;         /* 1 while the host runs the callback */
} sopi_ring;

#ifdef __cplusplus
#define SOPI_NOEXCEPT noexcept
#else
#define SOPI_NOEXCEPT
#endif

#define sopi_load(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define sopi_store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

/* RT. 1 if `r` is a ring that this header describes. */
static inline int sopi_ring_valid(const sopi_ring *r) SOPI_NOEXCEPT
{
    return r && r->magic == SOPI_RING_MAGIC && r->version == SOPI_RING_VERSION && r->bytes == sizeof(sopi_ring);
}

/* RT. */
static inline void sopi_ring_retain(sopi_ring *r) SOPI_NOEXCEPT { __atomic_add_fetch(&r->refs, 1, __ATOMIC_RELAXED); }

/* Not RT: the last one out frees it. */
static inline void sopi_ring_release(sopi_ring *r)
{
    if (__atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL) == 0) r->destroy(r);
}

/* RT. The host says how it runs; call it when DSP starts, before the first read. */
static inline void sopi_ring_host(sopi_ring *r, double sample_rate, uint32_t block, int running) SOPI_NOEXCEPT
{
    __atomic_store(&r->sample_rate, &sample_rate, __ATOMIC_RELEASE);
    sopi_store(&r->block, block);
    sopi_store(&r->dsp, running ? 1u : 0u);
}

/* RT. Host position of the next frame that the callback will hand out. */
static inline uint64_t sopi_ring_now(const sopi_ring *r) SOPI_NOEXCEPT { return sopi_load(&r->read); }

/* RT. Measures bursts: calls closer together than half a block's duration belong to one burst.
 * `now_ns`: a monotonic clock (0 switches the measurement off). */
static inline void sopi_ring_burst(sopi_ring *r, uint32_t n, uint64_t now_ns) SOPI_NOEXCEPT
{
    if (!now_ns || r->sample_rate <= 0) return;
    const uint64_t read = r->read;
    if (r->burst_ns == 0 || (double)(now_ns - r->burst_ns) > 0.5e9 * n / r->sample_rate) r->burst_start = read;
    sopi_store(&r->burst_ns, now_ns);
    const uint64_t burst = read + n - r->burst_start;
    if (burst > sopi_load(&r->burst) && burst < r->capacity) sopi_store(&r->burst, burst);
}

/* RT. The next n frames into out[channel][from .. from + n), n at most the capacity. */
static inline void sopi_ring_read_piece(sopi_ring *r, float *const *out, uint32_t channels, uint32_t from,
                                        uint32_t n) SOPI_NOEXCEPT
{
    const uint64_t read = r->read;
    const uint32_t reserve = r->reserve, mask = r->capacity - 1;
    if (sopi_load(&r->freewheel)) r->wait(r, read + n + reserve);
    const uint64_t write = sopi_load(&r->write);
    const uint64_t ready = write > read ? write - read : 0;
    const int enough = ready >= (uint64_t)n + reserve;
    const uint32_t have = ready < n ? (uint32_t)ready : n;
    const float step = 1.0f / (float)(reserve ? reserve : 1);
    const float gain0 = r->gain;
    float gain = gain0, peak;
    __atomic_load(&r->peak, &peak, __ATOMIC_RELAXED);
    if (sopi_load(&r->generating)) {
        if (!enough && gain0 >= 1.0f) sopi_store(&r->underruns, r->underruns + 1);
        if (have < n) sopi_store(&r->missing, r->missing + (n - have));
    }
    for (uint32_t c = 0; c < channels; c++) {
        float *o = out[c] + from;
        if (c >= r->channels) {
            memset(o, 0, n * sizeof(float));
            continue;
        }
        const float *d = r->data + (size_t)c * r->capacity;
        const uint32_t at = (uint32_t)(read & mask), first = r->capacity - at < have ? r->capacity - at : have;
        memcpy(o, d + at, first * sizeof(float));
        memcpy(o + first, d, (have - first) * sizeof(float));
        memset(o + have, 0, (n - have) * sizeof(float));
        gain = gain0;
        if (gain < 1.0f || !enough)
            for (uint32_t i = 0; i < n; i++) {
                gain += enough ? step : -step;
                gain = gain > 1.0f ? 1.0f : gain < 0.0f ? 0.0f : gain;
                o[i] *= gain;
            }
        for (uint32_t i = 0; i < n; i++) {
            const float a = o[i] < 0 ? -o[i] : o[i];
            if (a > peak) peak = a;
        }
    }
    r->gain = gain;
    __atomic_store(&r->peak, &peak, __ATOMIC_RELAXED);
    sopi_store(&r->read, read + n);
}

/* RT (but see Freewheel). Fills out[channel][0..n) for `channels` channels and moves the clock by n.
 * Channels that the ring does not have are filled with zeros. `now_ns` as for sopi_ring_burst. */
static inline void sopi_ring_read(sopi_ring *r, float *const *out, uint32_t channels, uint32_t n,
                                  uint64_t now_ns) SOPI_NOEXCEPT
{
    const uint32_t most = r->capacity / 4 ? r->capacity / 4 : 1;
    uint32_t done = 0;
    if (!sopi_load(&r->freewheel)) sopi_ring_burst(r, n, now_ns);
    while (done < n) {
        const uint32_t piece = n - done < most ? n - done : most;
        sopi_ring_read_piece(r, out, channels, done, piece);
        done += piece;
    }
}

/* RT. Input ring: takes in[channel][0..n) and moves the clock and `write` by n. Old frames are overwritten. */
static inline void sopi_ring_write(sopi_ring *r, const float *const *in, uint32_t channels, uint32_t n) SOPI_NOEXCEPT
{
    const uint32_t mask = r->capacity - 1, skip = n > r->capacity ? n - r->capacity : 0, kept = n - skip;
    const uint64_t end = r->write + n;
    (void)sopi_load(&r->tick_write); /* the consumer has read what is written over now */
    const uint32_t at = (uint32_t)((end - kept) & mask), first = r->capacity - at < kept ? r->capacity - at : kept;
    for (uint32_t c = 0; c < r->channels; c++) {
        float *d = r->data + (size_t)c * r->capacity;
        if (c < channels) {
            memcpy(d + at, in[c] + skip, first * sizeof(float));
            memcpy(d, in[c] + skip + first, (kept - first) * sizeof(float));
        } else {
            memset(d + at, 0, first * sizeof(float));
            memset(d, 0, (kept - first) * sizeof(float));
        }
    }
    sopi_store(&r->write, end);
    sopi_store(&r->read, end);
}

/* RT, host side. Takes the next tick before position `end`: 1 and its position, or 0 if there is none yet.
 * Ticks before `begin` are skipped (nobody listened). */
static inline int sopi_ring_tick(sopi_ring *r, uint64_t begin, uint64_t end, uint64_t *position) SOPI_NOEXCEPT
{
    const uint64_t written = sopi_load(&r->tick_write);
    uint64_t at = r->tick_read;
    if (written - at > SOPI_RING_TICKS / 2) at = written - SOPI_RING_TICKS / 2;
    int found = 0;
    while (at < written && !found) {
        const uint64_t p = sopi_load(&r->ticks[at & (SOPI_RING_TICKS - 1)]);
        if (p >= end) break;
        at++;
        if (p >= begin) {
            *position = p;
            found = 1;
        }
    }
    sopi_store(&r->tick_read, at);
    return found;
}

#endif

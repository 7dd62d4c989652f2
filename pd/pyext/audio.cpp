// audio.cpp: the audio of [pyext~]. With a ring it is a copy; without, `_signal` with the GIL.
#include <m_pd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "gil.hpp"
#include "object.hpp"
#include "pd_thread.hpp"
#include "platform/platform.hpp"

bool Object::freewheel() const
{
    const sopi_ring *ring = clock_ring();
    return ring && sopi_load(&ring->freewheel);
}

int64_t Object::frame_now() const
{
    const int64_t now = static_cast<int64_t>(sopi_ring_now(clock_ring()));
    if (!performed || !pd_getdspstate()) return now;
    // Logical time now lies between two performs; the next one plays the frames from `now`.
    const double frames = clock_gettimesince(last_end) * 0.001 * rate;
    return now + static_cast<int64_t>(std::llround(frames < 0 ? 0 : frames > block ? block : frames));
}

// ------------------------------------------------------------------ channels

// From Pd 0.54 on; the external is built with the header of an older one, whose t_signal has the same first fields. Later
// ones, such as s_nchans, are never read.
static void (*multiout())(t_signal **, int)
{
    static const auto function = reinterpret_cast<void (*)(t_signal **, int)>(
        os::find_symbol(nullptr, "signal_setmultiout"));
    return function;
}

bool pd_has_multichannel() { return multiout() != nullptr; }

static void set_channels(Object &o, int channels)
{
    channels = std::clamp(channels, 1, std::max(1, o.signal_outlets));
    if (!o.multichannel || channels == o.channels) return;
    o.channels = channels;
    canvas_update_dsp();
}

// ------------------------------------------------------------------ rings

static void tell_host(Object &o, sopi_ring *ring, bool running)
{
    const double rate = o.rate > 0 ? o.rate : static_cast<double>(sys_getsr());
    const int block = o.block > 0 ? o.block : sys_getblksize();
    sopi_ring_host(ring, rate, static_cast<uint32_t>(block), running);
}

void set_rings(Object &o, RingRef &out, RingRef &in, int tick_outlet, int channels)
{
    for (const RingRef *old : {&o.out_ring, &o.in_ring})
        if (*old) tell_host(o, old->get(), false);
    std::swap(o.out_ring, out);
    std::swap(o.in_ring, in);
    o.tick_outlet = tick_outlet;
    o.had_ring = o.had_ring || o.has_ring();
    for (const RingRef *ring : {&o.out_ring, &o.in_ring})
        if (*ring) tell_host(o, ring->get(), o.performed && pd_getdspstate());
    if (channels) set_channels(o, channels);
}

void watch_dsp()
{
    const bool running = pd_getdspstate() != 0;
    for (Object *o : objects) {
        if (o->was_running && !running) {
            o->performed = false;
            for (const RingRef *ring : {&o->out_ring, &o->in_ring})
                if (*ring) tell_host(*o, ring->get(), false);
        }
        o->was_running = running;
    }
}

// ------------------------------------------------------------------ ticks

static void arm_tick(Object &o)
{
    if (o.tick_read != o.tick_write) clock_set(o.tick_clock, o.ticks[o.tick_read % o.ticks.size()]);
}

void tick_due(Object *o)
{
    const PdScope scope;
    const HandlePtr handle = o->handle;
    o->tick_read++;
    arm_tick(*o); // before sending: what receives the tick may delete the object
    if (o->tick_outlet > 0 && o->tick_outlet <= static_cast<int>(o->outlets.size()))
        outlet_anything(o->outlets[static_cast<size_t>(o->tick_outlet - 1)], gensym("tick"), 0, nullptr);
}

// The block that starts at `position` has just been handed out. The next one, already in the ring,
// sounds from this logical time on: a tick in it gets its exact moment.
static void look_for_ticks(Object &o, uint64_t position)
{
    const uint64_t end = position + static_cast<uint64_t>(o.block);
    const bool idle = o.tick_read == o.tick_write;
    uint64_t tick;
    while (o.tick_write - o.tick_read < o.ticks.size() &&
           sopi_ring_tick(o.out_ring.get(), position, end + static_cast<uint64_t>(o.block), &tick)) {
        const double ms = tick > end ? static_cast<double>(tick - end) * 1000 / o.rate : 0;
        o.ticks[o.tick_write++ % o.ticks.size()] = clock_getsystimeafter(ms);
    }
    if (idle) arm_tick(o);
}

// ------------------------------------------------------------------ DSP

static void silence(Object &o)
{
    for (t_sample *out : o.out) std::memset(out, 0, static_cast<size_t>(o.block) * sizeof(t_sample));
}

// Rings hold floats. Where Pd's samples have 64 bits, they go by way of `floats`.
template <class Sample> static void write_ring(Object &o, const std::vector<Sample *> &in, uint32_t n)
{
    const auto channels = static_cast<uint32_t>(in.size());
    if constexpr (std::is_same_v<Sample, float>) sopi_ring_write(o.in_ring.get(), in.data(), channels, n);
    else {
        for (uint32_t c = 0; c < channels; c++)
            std::transform(in[c], in[c] + n, o.floats[c], [](Sample x) { return static_cast<float>(x); });
        sopi_ring_write(o.in_ring.get(), o.floats.data(), channels, n);
    }
}

template <class Sample> static void read_ring(Object &o, const std::vector<Sample *> &out, uint32_t n, uint64_t ns)
{
    const auto channels = static_cast<uint32_t>(out.size());
    if constexpr (std::is_same_v<Sample, float>) sopi_ring_read(o.out_ring.get(), out.data(), channels, n, ns);
    else {
        sopi_ring_read(o.out_ring.get(), o.floats.data(), channels, n, ns);
        for (uint32_t c = 0; c < channels; c++) std::copy_n(o.floats[c], n, out[c]);
    }
}

static void perform_rings(Object &o)
{
    const uint32_t n = static_cast<uint32_t>(o.block);
    // Pd's in and out vectors may be the same memory: all input is taken before any output is put.
    if (o.in_ring) write_ring(o, o.in, n);
    if (!o.out_ring) {
        silence(o);
        return;
    }
    const uint64_t ns = static_cast<uint64_t>(os::now_ns());
    const uint64_t position = sopi_ring_now(o.out_ring.get());
    read_ring(o, o.out, n, ns);
    if (o.tick_outlet > 0) look_for_ticks(o, position);
}

static void perform_python(Object &o)
{
    const Gil gil;
    const Ref signal(Py_NewRef(o.signal));
    const Ref done(PyObject_CallNoArgs(signal));
    if (done) return;
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    if (error && trace) PyException_SetTraceback(error, trace);
    const Ref owned_type(type), owned_error(error), owned_trace(trace);
    Py_CLEAR(o.signal); // reported once, then silent until DSP is rebuilt
    const Ref reported(PyObject_CallMethod(o.handle->box, "signal_failed", "O", error ? error : Py_None));
    report_fault();
    silence(o);
}

// Where tests/native/realtime_checker.cpp is loaded, it watches what happens in between.
extern "C" PYEXT_EXPORT __attribute__((weak)) void sopi_callback_begin() {}
extern "C" PYEXT_EXPORT __attribute__((weak)) void sopi_callback_end() {}

static void perform_watched(Object &o)
{
    sopi_callback_begin();
    perform_rings(o);
    sopi_callback_end();
}

static t_int *perform(t_int *w)
{
    Object &o = *reinterpret_cast<Object *>(w[1]); // NOLINT(performance-no-int-to-ptr): so Pd has it
    const PdScope scope(true);
    o.last_end = clock_getlogicaltime();
    o.performed = true;
    if (o.has_ring()) perform_watched(o);
    else if (o.signal) perform_python(o);
    else silence(o);
    return w + 2;
}

void build_dsp(Object &o, t_signal **sp)
{
    const size_t inlets = o.in.size(), outlets = o.multichannel ? 1 : o.out.size();
    if (inlets + outlets == 0) return;
    o.block = sp[0]->s_n;
    for (size_t i = 0; i < inlets; i++) o.in[i] = sp[i]->s_vec; // of many channels the first
    if (o.multichannel) {
        multiout()(&sp[inlets], o.channels);
        o.out.resize(static_cast<size_t>(o.channels));
        for (int k = 0; k < o.channels; k++) o.out[static_cast<size_t>(k)] = sp[inlets]->s_vec + k * o.block;
    } else
        for (size_t i = 0; i < outlets; i++) o.out[i] = sp[inlets + i]->s_vec;
    if (sizeof(t_sample) != sizeof(float)) {
        const size_t most = std::max(o.in.size(), o.out.size()), n = static_cast<size_t>(o.block);
        o.float_memory.resize(most * n);
        o.floats.resize(most);
        for (size_t k = 0; k < most; k++) o.floats[k] = &o.float_memory[k * n];
    }
    o.rate = static_cast<double>(sp[0]->s_sr);
    if (o.has_ring()) {
        for (const RingRef *ring : {&o.out_ring, &o.in_ring})
            if (*ring) tell_host(o, ring->get(), true);
    } else {
        const Gil gil;
        Py_CLEAR(o.signal);
        const Ref signal(PyObject_CallMethod(o.handle->box, "dsp", nullptr));
        report_fault();
        if (signal && signal != Py_None) o.signal = Py_NewRef(signal);
    }
    dsp_add(perform, 1, reinterpret_cast<t_int>(&o));
}

void free_audio(Object &o)
{
    if (o.tick_clock) clock_free(o.tick_clock);
    for (const RingRef *ring : {&o.out_ring, &o.in_ring})
        if (*ring) tell_host(o, ring->get(), false);
}

// object.hpp: the boxes [sopi] or [pyext], [sopi~] or [pyext~], [py] and [pym].
#pragma once

#include <m_pd.h>

#include <array>
#include <cstdint>
#include <vector>

#include "handle.hpp"
#include "worker.hpp"

struct t_pyext {
    t_object obj;
    t_float scalar; // of the first signal inlet
    Object *object;
};

struct Inlet { // message inlet
    t_pd pd;
    Object *object;
    int number;
};

struct Binding { // to a receive name
    t_pd pd;
    Object *object;
    t_symbol *name;
    int id;
};

// Everything here belongs to Pd's thread.
struct Object {
    t_pyext *pd = nullptr;
    t_canvas *canvas = nullptr;
    HandlePtr handle;
    std::vector<Inlet *> inlets;
    std::vector<Binding *> bindings;
    std::vector<t_outlet *> outlets;
    t_outlet *dump = nullptr;
    bool tilde = false;
    bool calls = false; // [py] or [pym]: a bang into the left inlet is for the function

    int signal_inlets = 0, signal_outlets = 0;
    bool multichannel = false; // the signal outlets are the channels of one
    int channels = 0;          // of it that go out
    std::vector<t_sample *> in, out; // Pd's vectors, valid until the next DSP rebuild
    std::vector<float *> floats;     // as many, where Pd's samples have 64 bits, of
    std::vector<float> float_memory;
    int block = 0;
    double rate = 0;     // Hz; 0 until DSP was built
    double last_end = 0; // logical time at the end of the last perform
    bool performed = false;
    PyObject *signal = nullptr; // self._signal, or null; with the GIL only
    bool was_running = false;

    RingRef out_ring, in_ring;
    bool had_ring = false; // then its Python half is let go by the worker
    int tick_outlet = 0;
    t_clock *tick_clock = nullptr;
    std::array<double, 256> ticks{}; // logical times to come
    uint32_t tick_read = 0, tick_write = 0;

    bool has_ring() const { return out_ring || in_ring; }
    sopi_ring *clock_ring() const { return out_ring ? out_ring.get() : in_ring.get(); }
    bool freewheel() const;
    int64_t frame_now() const; // host frame of this logical time
};

extern std::vector<Object *> objects;

// object.cpp
void setup_classes();
void receive(const HandlePtr &handle, Kind kind, int number, t_symbol *selector, int argc, const t_atom *argv);
void bind_receiver(Object &object, int id, t_symbol *name);
void unbind_receiver(Object &object, int id);

// audio.cpp
bool pd_has_multichannel();
void set_rings(Object &object, RingRef &out, RingRef &in, int tick_outlet, int channels); // swaps the old ones out
void free_audio(Object &object);
void build_dsp(Object &object, t_signal **sp);
void watch_dsp(); // polled: tells rings that DSP was switched off
void tick_due(Object *object);

// object.cpp: [sopi] or [pyext], [sopi~] or [pyext~], [py] and [pym]: boxes, inlets, outlets, and the way of a message to Python.
#include "object.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "arguments.hpp"
#include "interpreter.hpp"
#include "message.hpp"
#include "natives.hpp"
#include "pd_thread.hpp"
#include "platform/platform.hpp"
#include "process.hpp"

std::vector<Object *> objects;

namespace {

t_class *pyext_class; // [sopi]
// [sopi~]: [with @multichannel 1, in a Pd that has such cords][with signal inlets: the first is the control inlet too]
t_class *tilde_classes[2][2];
t_class *inlet_class, *binding_class;

// ------------------------------------------------------------------ messages to Python

void inlet_anything(Inlet *inlet, t_symbol *s, int argc, t_atom *argv)
{
    const PdScope scope;
    const HandlePtr handle = inlet->object->handle; // the object may go while Python handles this
    receive(handle, Kind::message, inlet->number, s, argc, argv);
}

void binding_anything(Binding *binding, t_symbol *s, int argc, t_atom *argv)
{
    const PdScope scope;
    const HandlePtr handle = binding->object->handle;
    receive(handle, Kind::bound, binding->id, s, argc, argv);
}

void reload(Object &o, PyObject *owned_args)
{
    const Ref args(owned_args);
    const HandlePtr handle = o.handle;
    if (!handle->box) return;
    Py_CLEAR(o.signal);
    const Ref box(Py_NewRef(handle->box));
    const Ref done(args ? PyObject_CallMethod(box, "reload", "(O)", args.o) : nullptr);
    report_fault();
    canvas_update_dsp(); // `_signal` is looked up again
}

constexpr double stop_ms = 100; // the time of a `stop` that says none

// The leftmost inlet.
void control(t_pyext *x, t_symbol *s, int argc, t_atom *argv)
{
    const PdScope scope;
    Object &o = *x->object;
    const HandlePtr handle = o.handle;
    const bool number = argc > 0 && argv[0].a_type == A_FLOAT;
    const t_float value = number ? argv[0].a_w.w_float : 0;
    const std::string name = s->s_name;
    if (name == "stop") handle->stop.ask(number ? std::max(0.0, static_cast<double>(value)) : stop_ms);
    else if (name == "detach" && number) handle->detach = std::clamp(static_cast<int>(value), 0, 2);
    else if (name == "respond" && number) handle->respond = value != 0;
    else if (name == "bang" && o.calls) receive(handle, Kind::message, 0, s, argc, argv);
    else if (name == "reload" || name == "reload.") {
        const Gil gil;
        reload(o, name == "reload" ? python_atoms(argc, argv) : Py_NewRef(Py_None));
    } else receive(handle, Kind::control, 0, s, argc, argv);
}

} // namespace

void receive(const HandlePtr &handle, Kind kind, int number, t_symbol *selector, int argc, const t_atom *argv)
{
    Object &o = *handle->object;
    Incoming message{kind, number, -1, selector, argc};
    if (o.has_ring()) {
        message.time = o.frame_now();
        const bool freewheel = o.freewheel();
        if (ring_worker.push(handle, message, argv) && freewheel) ring_worker.finish();
        return;
    }
    const int detach = kind == Kind::message ? handle->detach.load() : 0;
    if (detach == 1) detach_worker.push(handle, message, argv);
    else if (detach == 2) spawner.push(handle, message, argv);
    else {
        const Gil gil;
        deliver(handle, "message", message, argv);
    }
}

// ------------------------------------------------------------------ receive names

void bind_receiver(Object &object, int id, t_symbol *name)
{
    Binding *binding = reinterpret_cast<Binding *>(pd_new(binding_class));
    binding->object = &object;
    binding->name = name;
    binding->id = id;
    object.bindings.push_back(binding);
    pd_bind(&binding->pd, name);
}

static void free_binding(Binding *binding)
{
    pd_unbind(&binding->pd, binding->name);
    pd_free(&binding->pd);
}

void unbind_receiver(Object &object, int id)
{
    const auto found = std::find_if(object.bindings.begin(), object.bindings.end(),
                                    [id](const Binding *b) { return b->id == id; });
    if (found == object.bindings.end()) return;
    free_binding(*found);
    object.bindings.erase(found);
}

// ------------------------------------------------------------------ making and freeing boxes

namespace {

// With the GIL: makes the Python half; false after it has said why not.
bool make_box(Object &o, const std::string &kind, const Arguments &a)
{
    const Ref handle(new_handle(o.handle)), args(python_atoms(a.argc, a.argv));
    const Ref module(python_text(a.module.c_str())), name(python_text(a.name.c_str()));
    const Ref folder(python_text(canvas_getcurrentdir()->s_name));
    if (!handle || !args || !module || !name || !folder) return false;
    Ref box(PyObject_CallMethod(host, "_open", "OsOOOOiii", handle.o, kind.c_str(), module.o, name.o, args.o, folder.o,
                                a.inlets, a.outlets, static_cast<int>(a.pass_objects)));
    if (!box) PyErr_Print();
    if (!box || box == Py_None) return false;
    o.handle->box = box.take();
    return true;
}

int box_count(const Object &o, const char *name)
{
    const Ref value(PyObject_GetAttrString(o.handle->box, name));
    return static_cast<int>(PyLong_AsLong(value));
}

void pyext_free(t_pyext *x)
{
    Object *o = x->object;
    if (!o) return;
    const PdScope scope;
    objects.erase(std::remove(objects.begin(), objects.end(), o), objects.end());
    for (Binding *b : o->bindings) free_binding(b);
    for (Inlet *i : o->inlets) pd_free(&i->pd);
    free_audio(*o);
    const HandlePtr handle = o->handle;
    handle->object = nullptr;
    if (o->had_ring) {
        handle->gone = true;
        ring_worker.bury(handle, std::move(o->out_ring), std::move(o->in_ring));
    } else {
        const Gil gil;
        handle->gone = true; // not before: a detached call that ends now would leave `_del` to Pd's thread
        Py_CLEAR(o->signal);
        if (PyObject *box = std::exchange(handle->box, nullptr)) {
            const Ref done(PyObject_CallMethod(box, "delete", nullptr));
            report_fault();
            Py_DECREF(box);
        }
    }
    delete o;
}

// Message inlet numbers that Python sees. With several signal inlets the original counts some of
// them twice (box index + S - 1), and patches rely on it.
int inlet_number(const Object &o, int k) { return o.signal_inlets ? k + 2 * (o.signal_inlets - 1) : k; }

Object *new_object(const std::string &kind, const Arguments &a)
{
    const bool tilde = kind.find('~') != std::string::npos;
    const bool many = a.multichannel && a.signal_outlets > 0 && pd_has_multichannel();
    t_class *c = tilde ? tilde_classes[many][a.signal_inlets > 0] : pyext_class;
    t_pyext *x = reinterpret_cast<t_pyext *>(pd_new(c));
    Object *o = x->object = new Object;
    o->pd = x;
    o->canvas = canvas_getcurrent();
    o->tilde = tilde;
    o->calls = kind == "py" || kind == "pym";
    o->signal_inlets = a.signal_inlets;
    o->signal_outlets = a.signal_outlets;
    o->in.resize(static_cast<size_t>(a.signal_inlets));
    o->out.resize(static_cast<size_t>(a.signal_outlets));
    o->multichannel = many;
    o->channels = a.signal_outlets;
    o->tick_clock = clock_new(o, reinterpret_cast<t_method>(tick_due));
    o->handle = std::make_shared<Handle>();
    o->handle->object = o;
    o->handle->name = (a.module.empty() ? kind : a.module) + "." + a.name;
    o->handle->detach = a.detach;
    o->handle->respond = a.respond;
    objects.push_back(o);
    return o;
}

void make_inlets_and_outlets(Object &o, int inlets, int outlets)
{
    t_object *box = &o.pd->obj;
    for (int k = 1; k < o.signal_inlets; k++) inlet_new(box, &box->ob_pd, &s_signal, &s_signal);
    for (int k = 1; k <= inlets; k++) {
        Inlet *inlet = reinterpret_cast<Inlet *>(pd_new(inlet_class));
        inlet->object = &o;
        inlet->number = inlet_number(o, k);
        o.inlets.push_back(inlet);
        inlet_new(box, &inlet->pd, nullptr, nullptr);
    }
    for (int k = 0; k < (o.multichannel ? 1 : o.signal_outlets); k++) outlet_new(box, &s_signal);
    for (int k = 0; k < outlets; k++) o.outlets.push_back(outlet_new(box, &s_anything));
    o.dump = outlet_new(box, &s_anything);
    o.handle->outlets = outlets;
}

// With the GIL: the whole of a box; false after it has said why not.
bool fill(Object &o, const std::string &kind, const Arguments &a)
{
    const bool made = make_box(o, kind, a);
    prepare_freeze();
    if (!made) return false;
    make_inlets_and_outlets(o, box_count(o, "inlets"), box_count(o, "outlets"));
    const Ref ready(PyObject_CallMethod(o.handle->box, "ready", nullptr));
    report_fault();
    return ready.o == Py_True;
}

void tell_too_old(t_pyext *x, const std::string &name)
{
    int major, minor, bugfix;
    sys_getversion(&major, &minor, &bugfix);
    pd_error(x, "%s: cords of many channels come with Pd 0.54, this is %d.%d.%d: it has one channel", name.c_str(),
             major, minor, bugfix);
}

void *pyext_new(t_symbol *s, int argc, t_atom *argv)
{
    const PdScope scope;
    const std::string kind = s->s_name;
    Arguments a;
    const std::string wrong = a.parse(kind, argc, argv);
    if (!wrong.empty()) {
        pd_error(nullptr, "%s: %s", kind.c_str(), wrong.c_str());
        return nullptr;
    }
    const bool too_old = a.multichannel && !pd_has_multichannel();
    if (too_old) a.signal_outlets = std::min(a.signal_outlets, 1);
    Object *o = new_object(kind, a);
    t_pyext *x = o->pd;
    if (too_old) tell_too_old(x, o->handle->name);
    if (!a.unknown.empty())
        pd_error(x,
                 "%s: there is no attribute %s: expected @detach 0|1|2, @respond 0|1, @py 0|1, "
                 "@multichannel 0|1 or @args ...",
                 o->handle->name.c_str(), a.unknown.c_str());
    os::keep_real_time_to_pd(); // again: real time may have been switched on meanwhile
    bool made;
    {
        const Gil gil;
        made = fill(*o, kind, a);
    }
    if (made) return x;
    pd_free(&x->obj.ob_pd);
    return nullptr;
}

void dsp(t_pyext *x, t_signal **sp)
{
    const PdScope scope;
    build_dsp(*x->object, sp);
}

t_class *new_box_class(const char *name, bool creatable, int flags)
{
    t_class *c = class_new(gensym(name), creatable ? reinterpret_cast<t_newmethod>(pyext_new) : nullptr,
                           reinterpret_cast<t_method>(pyext_free), sizeof(t_pyext), flags, creatable ? A_GIMME : A_NULL,
                           A_NULL);
    class_addanything(c, reinterpret_cast<t_method>(control));
    class_sethelpsymbol(c, gensym("pyext"));
    return c;
}

} // namespace

void setup_classes()
{
    pyext_class = new_box_class("sopi", true, CLASS_DEFAULT);
    constexpr int multichannel = 0x10; // CLASS_MULTICHANNEL of newer headers
    for (const bool many : {false, true})
        for (const bool hears : {false, true}) {
            t_class *c = new_box_class("sopi~", hears && !many, many ? CLASS_DEFAULT | multichannel : CLASS_DEFAULT);
            if (hears) CLASS_MAINSIGNALIN(c, t_pyext, scalar);
            class_addmethod(c, reinterpret_cast<t_method>(dsp), gensym("dsp"), A_CANT, A_NULL);
            tilde_classes[many][hears] = c;
        }
    std::string taken;
    for (const char *name : {"pyext", "pyext~", "py", "pym", "pyext.", "pyext.~", "pyx", "pyx~", "pyx.", "pyx.~"})
        if (zgetfn(&pd_objectmaker, gensym(name))) taken.append(taken.empty() ? "[" : ", [").append(name).append("]");
        else class_addcreator(reinterpret_cast<t_newmethod>(pyext_new), gensym(name), A_GIMME, A_NULL);
    if (!taken.empty()) post("sopi: another library has %s, and keeps it; ours are [sopi] and [sopi~]", taken.c_str());

    inlet_class = class_new(gensym("pyext inlet"), nullptr, nullptr, sizeof(Inlet), CLASS_PD, A_NULL);
    class_addanything(inlet_class, reinterpret_cast<t_method>(inlet_anything));
    binding_class = class_new(gensym("pyext binding"), nullptr, nullptr, sizeof(Binding), CLASS_PD, A_NULL);
    class_addanything(binding_class, reinterpret_cast<t_method>(binding_anything));
}

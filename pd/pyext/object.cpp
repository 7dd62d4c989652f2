/* object.cpp: [pyext] and [pyext~]: boxes, inlets, outlets, and the way of a message to Python. */
#include "py.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

std::vector<Object *> objects;

namespace {

t_class *pyext_class;        /* [pyext] */
t_class *tilde_class;        /* [pyext~] with signal inlets: the first one is the control inlet too */
t_class *tilde_silent_class; /* [pyext~] without */
t_class *inlet_class, *binding_class;

/* ------------------------------------------------------------------ messages to Python */

/* Pd calls a list of one item `list`; Python gets the item. */
t_symbol *plain_selector(t_symbol *s, int argc, const t_atom *argv)
{
    if (s != &s_list) return s;
    if (argc == 0) return &s_bang;
    if (argc == 1 && argv[0].a_type == A_FLOAT) return &s_float;
    if (argc == 1 && argv[0].a_type == A_SYMBOL) return &s_symbol;
    return s;
}

void inlet_anything(Inlet *inlet, t_symbol *s, int argc, t_atom *argv)
{
    PdScope scope;
    const HandlePtr handle = inlet->object->handle; /* the object may go while Python handles this */
    receive(handle, Kind::message, inlet->number, s, argc, argv);
}

void binding_anything(Binding *binding, t_symbol *s, int argc, t_atom *argv)
{
    PdScope scope;
    const HandlePtr handle = binding->object->handle;
    receive(handle, Kind::bound, binding->id, s, argc, argv);
}

/* The leftmost inlet. */
void control(t_pyext *x, t_symbol *s, int argc, t_atom *argv)
{
    PdScope scope;
    Object &o = *x->object;
    const HandlePtr handle = o.handle;
    const bool number = argc > 0 && argv[0].a_type == A_FLOAT;
    const std::string name = s->s_name;
    if (name == "stop") handle->should_exit = true;
    else if (name == "detach" && number) handle->detach = std::clamp(static_cast<int>(argv[0].a_w.w_float), 0, 2);
    else if (name == "respond" && number) handle->respond = argv[0].a_w.w_float != 0;
    else if (name == "reload" || name == "reload.") {
        const Gil gil;
        if (!handle->box) return;
        Py_CLEAR(o.signal);
        const Ref box(Py_NewRef(handle->box));
        const Ref args(name == "reload" ? python_atoms(argc, argv) : Py_NewRef(Py_None));
        const Ref done(args ? PyObject_CallMethod(box, "reload", "(O)", args.o) : nullptr);
        report_fault();
        canvas_update_dsp(); /* `_signal` is looked up again */
    } else receive(handle, Kind::control, 0, s, argc, argv);
}

} // namespace

void receive(const HandlePtr &handle, Kind kind, int number, t_symbol *selector, int argc, const t_atom *argv)
{
    Object &o = *handle->object;
    if (kind != Kind::control) selector = plain_selector(selector, argc, argv);
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

/* ------------------------------------------------------------------ receive names */

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

/* ------------------------------------------------------------------ making and freeing boxes */

namespace {

struct Arguments { /* of a box */
    std::string module, class_name;
    int inlets = -1, outlets = -1; /* -1: the class says */
    int signal_inlets = 0, signal_outlets = 0;
    int detach = 0;
    bool respond = false;
    int argc = 0;
    const t_atom *argv = nullptr;

    /* Returns what is wrong, or an empty text. */
    std::string parse(const std::string &box, int n, const t_atom *atoms);
};

std::string Arguments::parse(const std::string &box, int n, const t_atom *atoms)
{
    const bool tilde = box.find('~') != std::string::npos, dotted = box.find('.') != std::string::npos;
    const auto is_attribute = [](const t_atom &a) {
        return a.a_type == A_SYMBOL && a.a_w.w_symbol->s_name[0] == '@' && a.a_w.w_symbol->s_name[1];
    };
    int i = 0, end = 0;
    while (end < n && !is_attribute(atoms[end])) end++;

    int counts = 0;
    while (counts < end && counts < (tilde ? 4 : 2) && atoms[counts].a_type == A_FLOAT) counts++;
    for (int k = 0; k < counts; k++) {
        const t_float f = atoms[k].a_w.w_float;
        if (f < 0 || f > 1024 || f != std::floor(f))
            return "found " + std::to_string(f) + " where a number of inlets or outlets (0 to 1024) was expected";
    }
    const auto count = [atoms](int k) { return static_cast<int>(atoms[k].a_w.w_float); };
    if (counts >= 2) inlets = count(0), outlets = count(1);
    if (counts == 4) signal_inlets = count(2), signal_outlets = count(3);
    if (counts % 2)
        return tilde ? "expected 2 or 4 numbers (inlets outlets [signal inlets signal outlets]) before the module"
                     : "expected 2 numbers (inlets outlets) before the module";
    i = counts;

    if (i == end || atoms[i].a_type != A_SYMBOL) return "expected a Python module: [" + box + " module class]";
    module = atoms[i++].a_w.w_symbol->s_name;
    const size_t last = module.find_last_of("./");
    if (!dotted && last != std::string::npos && module[last] == '.' && last > 0) {
        class_name = module.substr(last + 1);
        module.resize(last);
    } else if (i < end && atoms[i].a_type == A_SYMBOL) class_name = atoms[i++].a_w.w_symbol->s_name;
    else class_name = last == std::string::npos ? module : module.substr(last + 1);
    argc = end - i;
    argv = atoms + i;

    while (end < n) {
        const std::string name = atoms[end++].a_w.w_symbol->s_name;
        const t_atom *value = atoms + end;
        while (end < n && !is_attribute(atoms[end])) end++;
        const int values = static_cast<int>(atoms + end - value);
        const bool number = values == 1 && value->a_type == A_FLOAT;
        if (name == "@detach" && number) detach = std::clamp(static_cast<int>(value->a_w.w_float), 0, 2);
        else if (name == "@respond" && number) respond = value->a_w.w_float != 0;
        else if (name == "@args") argc = values, argv = value;
        else if (!(name == "@py" && number)) return "cannot use the attribute " + name + ": expected @detach 0|1|2, "
            "@respond 0|1, @py 0|1 or @args ...";
    }
    return "";
}

/* With the GIL: makes the Python half; false after it has said why not. */
bool make_box(Object &o, const Arguments &a)
{
    const Ref handle(new_handle(o.handle)), args(python_atoms(a.argc, a.argv));
    if (!handle || !args) return false;
    PyObject *box = PyObject_CallMethod(host, "_open", "OssOsii", handle.o, a.module.c_str(), a.class_name.c_str(),
        args.o, canvas_getcurrentdir()->s_name, a.inlets, a.outlets);
    if (!box || box == Py_None) {
        if (!box) PyErr_Print();
        Py_XDECREF(box);
        return false;
    }
    o.handle->box = box;
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
    PdScope scope;
    objects.erase(std::remove(objects.begin(), objects.end(), o), objects.end());
    for (Binding *b : o->bindings) free_binding(b);
    for (Inlet *i : o->inlets) pd_free(&i->pd);
    free_audio(*o);
    const HandlePtr handle = o->handle;
    handle->object = nullptr;
    handle->gone = true;
    handle->should_exit = true;
    if (o->had_ring) ring_worker.bury(handle, std::move(o->out_ring), std::move(o->in_ring));
    else {
        const Gil gil;
        Py_CLEAR(o->signal);
        if (PyObject *box = std::exchange(handle->box, nullptr)) {
            const Ref done(PyObject_CallMethod(box, "delete", nullptr));
            report_fault();
            Py_DECREF(box);
        }
    }
    delete o;
}

/* Message inlet numbers that Python sees. With several signal inlets the original counts some of
 * them twice (box index + S - 1), and patches rely on it. */
int inlet_number(const Object &o, int k) { return o.signal_inlets ? k + 2 * (o.signal_inlets - 1) : k; }

void *pyext_new(t_symbol *s, int argc, t_atom *argv)
{
    PdScope scope;
    Arguments a;
    const std::string wrong = a.parse(s->s_name, argc, argv);
    if (!wrong.empty()) {
        pd_error(nullptr, "%s: %s", s->s_name, wrong.c_str());
        return nullptr;
    }
    const bool tilde = std::strchr(s->s_name, '~') != nullptr;
    t_pyext *x = reinterpret_cast<t_pyext *>(
        pd_new(!tilde ? pyext_class : a.signal_inlets ? tilde_class : tilde_silent_class));
    Object *o = x->object = new Object;
    o->pd = x;
    o->canvas = canvas_getcurrent();
    o->tilde = tilde;
    o->signal_inlets = a.signal_inlets;
    o->signal_outlets = a.signal_outlets;
    o->in.resize(static_cast<size_t>(a.signal_inlets));
    o->out.resize(static_cast<size_t>(a.signal_outlets));
    o->tick_clock = clock_new(o, reinterpret_cast<t_method>(tick_due));
    o->handle = std::make_shared<Handle>();
    o->handle->object = o;
    o->handle->name = a.module + "." + a.class_name;
    o->handle->detach = a.detach;
    o->handle->respond = a.respond;
    objects.push_back(o);

    keep_real_time_to_pd(); /* again: real time may have been switched on meanwhile */
    bool made;
    {
        const Gil gil;
        made = make_box(*o, a);
        prepare_freeze();
        if (made) a.inlets = box_count(*o, "inlets"), a.outlets = box_count(*o, "outlets");
    }
    if (made) {
        for (int k = 1; k < o->signal_inlets; k++) inlet_new(&x->obj, &x->obj.ob_pd, &s_signal, &s_signal);
        for (int k = 1; k <= a.inlets; k++) {
            Inlet *inlet = reinterpret_cast<Inlet *>(pd_new(inlet_class));
            inlet->object = o;
            inlet->number = inlet_number(*o, k);
            o->inlets.push_back(inlet);
            inlet_new(&x->obj, &inlet->pd, nullptr, nullptr);
        }
        for (int k = 0; k < o->signal_outlets; k++) outlet_new(&x->obj, &s_signal);
        for (int k = 0; k < a.outlets; k++) o->outlets.push_back(outlet_new(&x->obj, &s_anything));
        o->dump = outlet_new(&x->obj, &s_anything);
        o->handle->outlets = a.outlets;
        const Gil gil;
        const Ref ready(PyObject_CallMethod(o->handle->box, "ready", nullptr));
        report_fault();
        made = ready.o == Py_True;
    }
    if (!made) {
        pd_free(&x->obj.ob_pd);
        return nullptr;
    }
    return x;
}

void *unsupported(t_symbol *s, int, t_atom *)
{
    pd_error(nullptr, "%s: [py] and [pym] are not supported here: write a class and use [pyext module class]", s->s_name);
    return nullptr;
}

void dsp(t_pyext *x, t_signal **sp)
{
    PdScope scope;
    build_dsp(*x->object, sp);
}

t_class *new_box_class(const char *name, bool creatable, int flags)
{
    t_class *c = class_new(gensym(name), creatable ? reinterpret_cast<t_newmethod>(pyext_new) : nullptr,
        reinterpret_cast<t_method>(pyext_free), sizeof(t_pyext), flags, creatable ? A_GIMME : A_NULL, A_NULL);
    class_addanything(c, reinterpret_cast<t_method>(control));
    class_sethelpsymbol(c, gensym("pyext"));
    return c;
}

} // namespace

void setup_classes()
{
    pyext_class = new_box_class("pyext", true, CLASS_DEFAULT);
    tilde_class = new_box_class("pyext~", true, CLASS_DEFAULT);
    tilde_silent_class = new_box_class("pyext~", false, CLASS_DEFAULT);
    CLASS_MAINSIGNALIN(tilde_class, t_pyext, scalar);
    for (t_class *c : {tilde_class, tilde_silent_class})
        class_addmethod(c, reinterpret_cast<t_method>(dsp), gensym("dsp"), A_CANT, A_NULL);
    for (const char *alias : {"pyext.", "pyx", "pyx.", "pyext.~", "pyx~", "pyx.~"})
        class_addcreator(reinterpret_cast<t_newmethod>(pyext_new), gensym(alias), A_GIMME, A_NULL);
    for (const char *name : {"py", "pym"})
        class_addcreator(reinterpret_cast<t_newmethod>(unsupported), gensym(name), A_GIMME, A_NULL);

    inlet_class = class_new(gensym("pyext inlet"), nullptr, nullptr, sizeof(Inlet), CLASS_PD, A_NULL);
    class_addanything(inlet_class, reinterpret_cast<t_method>(inlet_anything));
    binding_class = class_new(gensym("pyext binding"), nullptr, nullptr, sizeof(Binding), CLASS_PD, A_NULL);
    class_addanything(binding_class, reinterpret_cast<t_method>(binding_anything));
}

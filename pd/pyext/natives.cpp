/* natives.cpp: the module `_pyext`: what pyext_module.py needs of Pd. Errors of use are raised there. */
#include "py.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace {

/* ------------------------------------------------------------------ arguments */

constexpr const char *handle_name = "pyext.handle";

void free_handle(PyObject *capsule) { delete static_cast<HandlePtr *>(PyCapsule_GetPointer(capsule, handle_name)); }

/* O& converters. */
int to_handle(PyObject *capsule, void *handle)
{
    const auto *found = static_cast<HandlePtr *>(PyCapsule_GetPointer(capsule, handle_name));
    if (!found) return 0;
    *static_cast<HandlePtr *>(handle) = *found;
    return 1;
}

int to_handle_or_none(PyObject *capsule, void *handle)
{
    return capsule == Py_None ? 1 : to_handle(capsule, handle);
}

int to_name(PyObject *text, void *name)
{
    const Ref bytes(PyUnicode_AsEncodedString(text, "utf-8", "surrogateescape"));
    if (!bytes) return 0;
    *static_cast<std::string *>(name) = PyBytes_AS_STRING(bytes.o);
    return 1;
}

int to_ring(PyObject *capsule, void *ring)
{
    if (capsule == Py_None) return 1;
    auto *found = PyCapsule_IsValid(capsule, SOPI_RING_CAPSULE)
        ? static_cast<sopi_ring *>(PyCapsule_GetPointer(capsule, SOPI_RING_CAPSULE)) : nullptr;
    if (!sopi_ring_valid(found)) {
        PyErr_Format(PyExc_ValueError, "_rings: expected None or a capsule \"" SOPI_RING_CAPSULE
            "\" of version %u, found %s; build sopilib and pd/pyext from the same source",
            SOPI_RING_VERSION, found ? "a ring of another version" : Py_TYPE(capsule)->tp_name);
        return 0;
    }
    *static_cast<RingRef *>(ring) = RingRef(found);
    return 1;
}

PyObject *quitting_error()
{
    PyErr_SetString(PyExc_RuntimeError, "Pd is quitting");
    return nullptr;
}

/* Pd's thread runs it: at once if this is Pd's thread, outside audio; otherwise soon. */
void send_soon(const HandlePtr &handle, std::function<void()> send)
{
    if (on_pd_thread() && !in_dsp()) send();
    else post_to_pd(handle, std::move(send));
}

/* ------------------------------------------------------------------ sending */

std::function<void()> delivery(const HandlePtr &handle, int outlet, PyObject *args)
{
    auto message = std::make_shared<Outgoing>(args, handle);
    return [handle, outlet, message] {
        Object *o = handle->object;
        if (!o) return;
        t_outlet *to = outlet ? o->outlets[static_cast<size_t>(outlet - 1)] : o->dump;
        if (to) message->to_outlet(to);
    };
}

std::function<void()> delivery(const std::string &receiver, PyObject *args)
{
    auto message = std::make_shared<Outgoing>(args, nullptr);
    return [receiver, message] {
        t_symbol *s = gensym(receiver.c_str());
        if (s->s_thing) message->to_receiver(s->s_thing);
    };
}

bool check_outlet(const HandlePtr &handle, int outlet)
{
    if (handle->gone) PyErr_SetString(PyExc_RuntimeError, "_outlet: the Pd object is gone");
    else if (outlet < 0 || outlet > handle->outlets)
        PyErr_Format(PyExc_ValueError, "_outlet: there is no outlet %d, expected 1 to %d", outlet, handle->outlets.load());
    else return true;
    return false;
}

PyObject *outlet(PyObject *, PyObject *args)
{
    HandlePtr handle;
    int number;
    PyObject *message;
    if (!PyArg_ParseTuple(args, "O&iO!", to_handle, &handle, &number, &PyTuple_Type, &message)) return nullptr;
    if (!check_outlet(handle, number)) return nullptr;
    send_soon(handle, delivery(handle, number, message));
    Py_RETURN_NONE;
}

PyObject *send(PyObject *, PyObject *args)
{
    std::string receiver;
    PyObject *message;
    if (!PyArg_ParseTuple(args, "O&O!", to_name, &receiver, &PyTuple_Type, &message)) return nullptr;
    send_soon(nullptr, delivery(receiver, message));
    Py_RETURN_NONE;
}

PyObject *tocanvas(PyObject *, PyObject *args)
{
    HandlePtr handle;
    PyObject *items;
    if (!PyArg_ParseTuple(args, "O&O!", to_handle, &handle, &PyTuple_Type, &items)) return nullptr;
    auto message = std::make_shared<Outgoing>(items, handle);
    send_soon(handle, [handle, message] {
        if (handle->object) message->to_receiver(reinterpret_cast<t_pd *>(handle->object->canvas));
    });
    Py_RETURN_NONE;
}

/* Items: (receiver, message) or (handle, outlet, message). */
PyObject *bundle(PyObject *, PyObject *args)
{
    PyObject *items;
    if (!PyArg_ParseTuple(args, "O!", &PyList_Type, &items)) return nullptr;
    std::vector<std::function<void()>> all;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items); i++) {
        PyObject *item = PyList_GET_ITEM(items, i), *message;
        if (PyTuple_GET_SIZE(item) == 3) {
            HandlePtr handle;
            int number;
            if (!PyArg_ParseTuple(item, "O&iO!", to_handle, &handle, &number, &PyTuple_Type, &message)) return nullptr;
            if (!check_outlet(handle, number)) return nullptr;
            all.push_back(delivery(handle, number, message));
        } else {
            std::string receiver;
            if (!PyArg_ParseTuple(item, "O&O!", to_name, &receiver, &PyTuple_Type, &message)) return nullptr;
            all.push_back(delivery(receiver, message));
        }
    }
    send_soon(nullptr, [all = std::move(all)] {
        for (const auto &one : all) one();
    });
    Py_RETURN_NONE;
}

PyObject *error(PyObject *, PyObject *args)
{
    HandlePtr handle;
    std::string line;
    if (!PyArg_ParseTuple(args, "O&O&", to_handle_or_none, &handle, to_name, &line)) return nullptr;
    print_error(handle, line);
    Py_RETURN_NONE;
}

PyObject *console(PyObject *, PyObject *text)
{
    std::string line;
    if (!to_name(text, &line)) return nullptr;
    print_line(line);
    Py_RETURN_NONE;
}

/* ------------------------------------------------------------------ the object */

PyObject *bind(PyObject *, PyObject *args)
{
    HandlePtr handle;
    int id;
    std::string name;
    if (!PyArg_ParseTuple(args, "O&iO&", to_handle, &handle, &id, to_name, &name)) return nullptr;
    send_soon(handle, [handle, id, name] {
        if (handle->object) bind_receiver(*handle->object, id, gensym(name.c_str()));
    });
    Py_RETURN_NONE;
}

/* Always later: Pd may just be walking through those bound to this name. */
PyObject *unbind(PyObject *, PyObject *args)
{
    HandlePtr handle;
    int id;
    if (!PyArg_ParseTuple(args, "O&i", to_handle, &handle, &id)) return nullptr;
    post_to_pd(handle, [handle, id] {
        if (handle->object) unbind_receiver(*handle->object, id);
    });
    Py_RETURN_NONE;
}

PyObject *rings(PyObject *, PyObject *args)
{
    struct Rings {
        RingRef out, in;
    };
    HandlePtr handle;
    auto rings = std::make_shared<Rings>();
    int tick_outlet;
    if (!PyArg_ParseTuple(args, "O&O&O&i", to_handle, &handle, to_ring, &rings->out, to_ring, &rings->in, &tick_outlet))
        return nullptr;
    handle->clock = rings->out ? rings->out : rings->in;
    auto apply = [handle, rings, tick_outlet] {
        if (handle->object) set_rings(*handle->object, rings->out, rings->in, tick_outlet);
    };
    if (on_pd_thread() && !in_dsp()) {
        apply();
        discard([rings = std::move(rings)] {}); /* the old ones: not to be freed here */
    } else if (!post_to_pd(handle, apply)) {
        PyErr_SetString(PyExc_RuntimeError, "_rings: too many messages to Pd are under way, the rings were not changed");
        return nullptr;
    }
    Py_RETURN_NONE;
}

PyObject *ring_now(PyObject *, PyObject *capsule)
{
    HandlePtr handle;
    if (!to_handle(capsule, &handle)) return nullptr;
    if (!handle->clock) Py_RETURN_NONE;
    return PyLong_FromUnsignedLongLong(sopi_ring_now(handle->clock.get()));
}

PyObject *should_exit(PyObject *, PyObject *capsule)
{
    HandlePtr handle;
    if (!to_handle(capsule, &handle)) return nullptr;
    return PyBool_FromLong(handle->should_exit);
}

PyObject *set_should_exit(PyObject *, PyObject *args)
{
    HandlePtr handle;
    int on;
    if (!PyArg_ParseTuple(args, "O&p", to_handle, &handle, &on)) return nullptr;
    handle->should_exit = on || handle->gone;
    Py_RETURN_NONE;
}

PyObject *detach(PyObject *, PyObject *capsule)
{
    HandlePtr handle;
    if (!to_handle(capsule, &handle)) return nullptr;
    return PyLong_FromLong(handle->detach);
}

PyObject *set_detach(PyObject *, PyObject *args)
{
    HandlePtr handle;
    int value;
    if (!PyArg_ParseTuple(args, "O&i", to_handle, &handle, &value)) return nullptr;
    handle->detach = std::clamp(value, 0, 2);
    Py_RETURN_NONE;
}

PyObject *respond(PyObject *, PyObject *capsule)
{
    HandlePtr handle;
    if (!to_handle(capsule, &handle)) return nullptr;
    return PyBool_FromLong(handle->respond);
}

PyObject *name(PyObject *, PyObject *capsule)
{
    HandlePtr handle;
    if (!to_handle(capsule, &handle)) return nullptr;
    return PyUnicode_FromString(handle->name.c_str());
}

PyObject *address(PyObject *, PyObject *capsule)
{
    HandlePtr handle;
    if (!to_handle(capsule, &handle)) return nullptr;
    return PyLong_FromVoidPtr(handle.get());
}

/* Pd's thread: (signal inlets, signal outlets). */
PyObject *signals(PyObject *, PyObject *capsule)
{
    HandlePtr handle;
    if (!to_handle(capsule, &handle)) return nullptr;
    if (!handle->object) return Py_BuildValue("ii", 0, 0);
    return Py_BuildValue("ii", handle->object->signal_inlets, handle->object->signal_outlets);
}

/* Pd's thread: where Pd's search path has name + ext: (directory, file) or None. */
PyObject *find(PyObject *, PyObject *args)
{
    HandlePtr handle;
    std::string name, ext;
    if (!PyArg_ParseTuple(args, "O&O&O&", to_handle, &handle, to_name, &name, to_name, &ext)) return nullptr;
    char directory[MAXPDSTRING], *file;
    if (!on_pd_thread() || !handle->object) Py_RETURN_NONE;
    const int fd = canvas_open(handle->object->canvas, name.c_str(), ext.c_str(), directory, &file, MAXPDSTRING, 1);
    if (fd < 0) Py_RETURN_NONE;
    sys_close(fd);
    return Py_BuildValue("ss", directory, file);
}

/* Signal vectors as writable memory; None where there is no audio. */
PyObject *vector_of(PyObject *args, const char *function, std::vector<t_sample *> Object::*vectors)
{
    HandlePtr handle;
    int i;
    if (!PyArg_ParseTuple(args, "O&i", to_handle, &handle, &i)) return nullptr;
    if (!on_pd_thread()) {
        PyErr_Format(PyExc_RuntimeError, "%s: signal vectors can only be used in _dsp and _signal", function);
        return nullptr;
    }
    if (!handle->object || !handle->object->tilde) Py_RETURN_NONE;
    const auto &all = handle->object->*vectors;
    if (i < 0 || static_cast<size_t>(i) >= all.size()) {
        PyErr_Format(PyExc_IndexError, "%s(%d): the box has %zu of them, counted from 0", function, i, all.size());
        return nullptr;
    }
    t_sample *vector = all[static_cast<size_t>(i)];
    if (!vector) Py_RETURN_NONE;
    return PyMemoryView_FromMemory(reinterpret_cast<char *>(vector),
        handle->object->block * static_cast<Py_ssize_t>(sizeof(t_sample)), PyBUF_WRITE);
}

PyObject *invec(PyObject *, PyObject *args) { return vector_of(args, "_invec", &Object::in); }
PyObject *outvec(PyObject *, PyObject *args) { return vector_of(args, "_outvec", &Object::out); }

/* ------------------------------------------------------------------ arrays */

constexpr int frames_at_once = 1 << 16; /* copied on Pd's thread in one go */

t_garray *find_array(const std::string &name, int *frames, t_word **words)
{
    auto *array = reinterpret_cast<t_garray *>(pd_findbyclass(gensym(name.c_str()), garray_class));
    if (array && garray_getfloatwords(array, frames, words)) return array;
    *frames = -1;
    return nullptr;
}

/* Frames, or -1 for no such array. */
PyObject *array_size(PyObject *, PyObject *text)
{
    std::string name;
    if (!to_name(text, &name)) return nullptr;
    auto frames = std::make_shared<int>();
    if (!call_on_pd([name, frames] {
            t_word *words;
            find_array(name, frames.get(), &words);
        }))
        return quitting_error();
    return PyLong_FromLong(*frames);
}

/* Pd's thread: the words themselves, float32 at every word_bytes; None for no such array. */
PyObject *array_memory(PyObject *, PyObject *text)
{
    std::string name;
    if (!to_name(text, &name)) return nullptr;
    int frames;
    t_word *words;
    if (!on_pd_thread() || !find_array(name, &frames, &words)) Py_RETURN_NONE;
    return PyMemoryView_FromMemory(reinterpret_cast<char *>(words),
        frames * static_cast<Py_ssize_t>(sizeof(t_word)), PyBUF_WRITE);
}

/* A copy, as bytes of float32; None for no such array. */
PyObject *array_read(PyObject *, PyObject *text)
{
    std::string name;
    if (!to_name(text, &name)) return nullptr;
    auto frames = std::make_shared<int>();
    const auto measure = [name, frames] {
        t_word *words;
        find_array(name, frames.get(), &words);
    };
    if (!call_on_pd(measure)) return quitting_error();
    if (*frames < 0) Py_RETURN_NONE;
    auto data = std::make_shared<std::vector<float>>(static_cast<size_t>(*frames)); /* not made on Pd's thread */
    for (int start = 0; start < *frames; start += frames_at_once) {
        const bool done = call_on_pd([name, data, start] {
            int n;
            t_word *words;
            find_array(name, &n, &words);
            const int end = std::min({n, start + frames_at_once, static_cast<int>(data->size())});
            for (int i = start; i < end; i++) (*data)[static_cast<size_t>(i)] = words[i].w_float;
        });
        if (!done) return quitting_error();
    }
    return PyBytes_FromStringAndSize(reinterpret_cast<const char *>(data->data()),
        static_cast<Py_ssize_t>(data->size() * sizeof(float)));
}

/* Writes float32 `values` at start, start + step, ...; what does not fit is left out. */
PyObject *array_write(PyObject *, PyObject *args)
{
    std::string name;
    int start, step;
    Py_buffer values;
    if (!PyArg_ParseTuple(args, "O&iiy*", to_name, &name, &start, &step, &values)) return nullptr;
    const auto *floats = static_cast<const float *>(values.buf);
    auto data = std::make_shared<std::vector<float>>(floats, floats + values.len / static_cast<Py_ssize_t>(sizeof(float)));
    PyBuffer_Release(&values);
    const int n = static_cast<int>(data->size());
    for (int from = 0; from < n; from += frames_at_once) {
        const bool done = call_on_pd([name, data, start, step, from, n] {
            int frames;
            t_word *words;
            find_array(name, &frames, &words);
            for (int i = from; i < std::min(n, from + frames_at_once); i++)
                if (const int at = start + i * step; at >= 0 && at < frames)
                    words[at].w_float = (*data)[static_cast<size_t>(i)];
        });
        if (!done) return quitting_error();
    }
    Py_RETURN_NONE;
}

/* False for no such array. */
PyObject *array_resize(PyObject *, PyObject *args)
{
    std::string name;
    int frames, keep;
    if (!PyArg_ParseTuple(args, "O&ip", to_name, &name, &frames, &keep)) return nullptr;
    auto found = std::make_shared<bool>(false);
    if (!call_on_pd([name, frames, keep, found] {
            int n;
            t_word *words;
            t_garray *array = find_array(name, &n, &words);
            if (!array) return;
            *found = true;
            garray_resize_long(array, frames);
            if (!keep && garray_getfloatwords(array, &n, &words))
                for (int i = 0; i < n; i++) words[i].w_float = 0;
        }))
        return quitting_error();
    return PyBool_FromLong(*found);
}

PyObject *array_redraw(PyObject *, PyObject *text)
{
    std::string name;
    if (!to_name(text, &name)) return nullptr;
    send_soon(nullptr, [name] {
        int frames;
        t_word *words;
        if (t_garray *array = find_array(name, &frames, &words)) garray_redraw(array);
    });
    Py_RETURN_NONE;
}

/* ------------------------------------------------------------------ Pd at large */

PyObject *get_value(PyObject *, PyObject *text)
{
    std::string name;
    if (!to_name(text, &name)) return nullptr;
    struct Value {
        t_float f = 0;
        bool found = false;
    };
    auto value = std::make_shared<Value>();
    if (!call_on_pd([name, value] { value->found = value_getfloat(gensym(name.c_str()), &value->f) == 0; }))
        return quitting_error();
    if (!value->found) Py_RETURN_NONE;
    return PyFloat_FromDouble(static_cast<double>(value->f));
}

PyObject *set_value(PyObject *, PyObject *args)
{
    std::string name;
    float f;
    if (!PyArg_ParseTuple(args, "O&f", to_name, &name, &f)) return nullptr;
    send_soon(nullptr, [name, f] { value_setfloat(gensym(name.c_str()), f); });
    Py_RETURN_NONE;
}

PyObject *samplerate(PyObject *, PyObject *) { return PyFloat_FromDouble(static_cast<double>(sys_getsr())); }
PyObject *blocksize(PyObject *, PyObject *) { return PyLong_FromLong(sys_getblksize()); }
PyObject *pd_thread(PyObject *, PyObject *) { return PyBool_FromLong(on_pd_thread()); }

/* Higher by `delta` for the calling thread; real-time threads stay so, others change their niceness. */
PyObject *priority(PyObject *, PyObject *number)
{
    const int delta = static_cast<int>(PyLong_AsLong(number));
    if (PyErr_Occurred()) return nullptr;
    int policy;
    sched_param parameters;
    pthread_getschedparam(pthread_self(), &policy, &parameters);
    bool done;
    if (policy == SCHED_OTHER) {
        const id_t thread = static_cast<id_t>(syscall(SYS_gettid));
        done = setpriority(PRIO_PROCESS, thread, getpriority(PRIO_PROCESS, thread) - delta) == 0;
    } else {
        parameters.sched_priority = std::clamp(parameters.sched_priority + delta, sched_get_priority_min(policy),
            sched_get_priority_max(policy));
        done = pthread_setschedparam(pthread_self(), policy, &parameters) == 0;
    }
    return PyBool_FromLong(done);
}

PyMethodDef methods[] = {
    {"outlet", outlet, METH_VARARGS, nullptr},
    {"send", send, METH_VARARGS, nullptr},
    {"tocanvas", tocanvas, METH_VARARGS, nullptr},
    {"bundle", bundle, METH_VARARGS, nullptr},
    {"error", error, METH_VARARGS, nullptr},
    {"console", console, METH_O, nullptr},
    {"bind", bind, METH_VARARGS, nullptr},
    {"unbind", unbind, METH_VARARGS, nullptr},
    {"rings", rings, METH_VARARGS, nullptr},
    {"ring_now", ring_now, METH_O, nullptr},
    {"should_exit", should_exit, METH_O, nullptr},
    {"set_should_exit", set_should_exit, METH_VARARGS, nullptr},
    {"detach", detach, METH_O, nullptr},
    {"set_detach", set_detach, METH_VARARGS, nullptr},
    {"respond", respond, METH_O, nullptr},
    {"name", name, METH_O, nullptr},
    {"address", address, METH_O, nullptr},
    {"signals", signals, METH_O, nullptr},
    {"find", find, METH_VARARGS, nullptr},
    {"invec", invec, METH_VARARGS, nullptr},
    {"outvec", outvec, METH_VARARGS, nullptr},
    {"array_size", array_size, METH_O, nullptr},
    {"array_memory", array_memory, METH_O, nullptr},
    {"array_read", array_read, METH_O, nullptr},
    {"array_write", array_write, METH_VARARGS, nullptr},
    {"array_resize", array_resize, METH_VARARGS, nullptr},
    {"array_redraw", array_redraw, METH_O, nullptr},
    {"get_value", get_value, METH_O, nullptr},
    {"set_value", set_value, METH_VARARGS, nullptr},
    {"samplerate", samplerate, METH_NOARGS, nullptr},
    {"blocksize", blocksize, METH_NOARGS, nullptr},
    {"pd_thread", pd_thread, METH_NOARGS, nullptr},
    {"priority", priority, METH_O, nullptr},
    {},
};

PyModuleDef module = {PyModuleDef_HEAD_INIT, "_pyext", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

} // namespace

PyObject *new_handle(const HandlePtr &handle)
{
    return PyCapsule_New(new HandlePtr(handle), handle_name, free_handle);
}

PyObject *make_natives()
{
    PyObject *m = PyModule_Create(&module);
    if (m) PyModule_AddIntConstant(m, "word_bytes", sizeof(t_word));
    return m;
}

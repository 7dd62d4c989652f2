// natives_object.cpp: what a class asks of its own box.
#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <m_pd.h>

#include <g_canvas.h>

#include "message.hpp"
#include "natives.hpp"
#include "object.hpp"
#include "pd_thread.hpp"

namespace {

// "O&" converter: RingRef, left as it is by None.
int to_ring(PyObject *capsule, void *ring)
{
    if (capsule == Py_None) return 1;
    auto *found = PyCapsule_IsValid(capsule, SOPI_RING_CAPSULE)
                      ? static_cast<sopi_ring *>(PyCapsule_GetPointer(capsule, SOPI_RING_CAPSULE))
                      : nullptr;
    if (!sopi_ring_valid(found)) {
        PyErr_Format(PyExc_ValueError,
                     "_rings: expected None or a capsule \"" SOPI_RING_CAPSULE
                     "\" of version %u, found %s; build sopilib and pd/pyext from the same source",
                     SOPI_RING_VERSION, found ? "a ring of another version" : name_of_type(capsule).c_str());
        return 0;
    }
    *static_cast<RingRef *>(ring) = RingRef(found);
    return 1;
}

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

// Always later: Pd may just be walking through those bound to this name.
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
    int tick_outlet, channels;
    if (!PyArg_ParseTuple(args, "O&O&O&ii", to_handle, &handle, to_ring, &rings->out, to_ring, &rings->in, &tick_outlet,
                          &channels))
        return nullptr;
    handle->clock = rings->out ? rings->out : rings->in;
    auto apply = [handle, rings, tick_outlet, channels] {
        if (handle->object) set_rings(*handle->object, rings->out, rings->in, tick_outlet, channels);
    };
    if (on_pd_thread() && !in_dsp()) {
        apply();
        discard([rings = std::move(rings)] {}); // the old ones: not to be freed here
    } else if (!post_to_pd(handle, apply)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "_rings: too many messages to Pd are under way, the rings were not changed");
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
    return PyBool_FromLong(handle->gone || handle->stop.pending());
}

// For so many ms no detached call begins.
PyObject *stop(PyObject *, PyObject *args)
{
    HandlePtr handle;
    double ms;
    if (!PyArg_ParseTuple(args, "O&d", to_handle, &handle, &ms)) return nullptr;
    handle->stop.ask(ms);
    Py_RETURN_NONE;
}

// Whether a detached call may begin, and whether it does so `alone`.
PyObject *may_begin(PyObject *, PyObject *args)
{
    HandlePtr handle;
    int alone;
    if (!PyArg_ParseTuple(args, "O&p", to_handle, &handle, &alone)) return nullptr;
    return PyBool_FromLong(!handle->gone && handle->stop.may_begin(alone));
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
    return python_text(handle->name.c_str());
}

PyObject *address(PyObject *, PyObject *capsule)
{
    HandlePtr handle;
    if (!to_handle(capsule, &handle)) return nullptr;
    return PyLong_FromVoidPtr(handle.get());
}

// Pd's thread: (signal inlets, signal outlets).
PyObject *signals(PyObject *, PyObject *capsule)
{
    HandlePtr handle;
    if (!to_handle(capsule, &handle)) return nullptr;
    if (!handle->object) return Py_BuildValue("ii", 0, 0);
    return Py_BuildValue("ii", handle->object->signal_inlets, handle->object->signal_outlets);
}

// Pd's thread: whether the signal outlets are the channels of one.
PyObject *multichannel(PyObject *, PyObject *capsule)
{
    HandlePtr handle;
    if (!to_handle(capsule, &handle)) return nullptr;
    return PyBool_FromLong(handle->object && handle->object->multichannel);
}

// Pd's thread: where Pd's search path has name + ext: (directory, file) or None.
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
    return Py_BuildValue("NN", python_text(directory), python_text(file));
}

int add_path(const char *path, void *list)
{
    const Ref text(python_text(path));
    return text && PyList_Append(static_cast<PyObject *>(list), text.o) == 0; // 0 ends the search
}

// Pd's thread: the folders in which Pd looks for files that this patch names, beside its own.
PyObject *paths(PyObject *, PyObject *capsule)
{
    HandlePtr handle;
    if (!to_handle(capsule, &handle)) return nullptr;
    PyObject *list = PyList_New(0);
    if (list && on_pd_thread() && handle->object) canvas_path_iterate(handle->object->canvas, add_path, list);
    if (PyErr_Occurred()) Py_CLEAR(list);
    return list;
}

// Signal vectors as writable memory; None where there is no audio.
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

} // namespace

PyMethodDef object_methods[] = {
    {"bind", bind, METH_VARARGS, nullptr},
    {"unbind", unbind, METH_VARARGS, nullptr},
    {"rings", rings, METH_VARARGS, nullptr},
    {"ring_now", ring_now, METH_O, nullptr},
    {"should_exit", should_exit, METH_O, nullptr},
    {"stop", stop, METH_VARARGS, nullptr},
    {"may_begin", may_begin, METH_VARARGS, nullptr},
    {"detach", detach, METH_O, nullptr},
    {"set_detach", set_detach, METH_VARARGS, nullptr},
    {"respond", respond, METH_O, nullptr},
    {"name", name, METH_O, nullptr},
    {"address", address, METH_O, nullptr},
    {"signals", signals, METH_O, nullptr},
    {"multichannel", multichannel, METH_O, nullptr},
    {"find", find, METH_VARARGS, nullptr},
    {"paths", paths, METH_O, nullptr},
    {"invec", invec, METH_VARARGS, nullptr},
    {"outvec", outvec, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

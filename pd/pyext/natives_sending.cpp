// natives_sending.cpp: messages and lines from Python to Pd.
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <m_pd.h>

#include <g_canvas.h>
extern "C" {
#include <m_imp.h>
}

#include "message.hpp"
#include "natives.hpp"
#include "object.hpp"
#include "pd_thread.hpp"

namespace {

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
        PyErr_Format(PyExc_ValueError, "_outlet: there is no outlet %d, expected 1 to %d", outlet,
                     handle->outlets.load());
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
    auto message = std::make_shared<Outgoing>(items, handle, Outgoing::First::selector);
    const auto deliver = [handle, message] {
        if (handle->object) message->to_receiver(reinterpret_cast<t_pd *>(handle->object->canvas));
    };
    // `clear` deletes the very box whose method sends it: it waits until no message is on its way through the patch.
    if (message->selector() == "clear") post_to_pd(handle, deliver);
    else send_soon(handle, deliver);
    Py_RETURN_NONE;
}

// Items: (receiver, message) or (handle, outlet, message).
PyObject *bundle(PyObject *, PyObject *args)
{
    PyObject *items;
    if (!PyArg_ParseTuple(args, "O!", &PyList_Type, &items)) return nullptr;
    std::vector<std::function<void()>> all;
    for (Py_ssize_t i = 0; i < PyList_Size(items); i++) {
        PyObject *item = PyList_GetItem(items, i), *message;
        if (PyTuple_Size(item) == 3) {
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

// Whether a cord leads from this outlet (from 0) straight to a [print].
bool is_printed(const t_object *from, int outlet)
{
    if (outlet < 0 || outlet >= obj_noutlets(from)) return false;
    t_outlet *out;
    t_outconnect *cord = obj_starttraverseoutlet(from, &out, outlet);
    while (cord) {
        t_object *to;
        t_inlet *inlet;
        int which;
        cord = obj_nexttraverseoutlet(cord, &to, &inlet, &which);
        if (!std::strcmp(class_getname(pd_class(&to->ob_pd)), "print")) return true;
    }
    return false;
}

// Pd's thread: a line that leaves the message outlet too, unless a [print] shows it there. outer: the outlet, from 0, of the
// abstraction that the box may be in.
void say_once(const HandlePtr &handle, const std::string &line, bool is_error, int outlet, int outer)
{
    Object *o = handle->object;
    if (o && is_printed(&o->pd->obj, o->signal_outlets + outlet - 1)) return;
    if (o && canvas_isabstraction(o->canvas) && is_printed(reinterpret_cast<t_object *>(o->canvas), outer)) return;
    if (is_error) print_error(handle, line);
    else print_line(line);
}

PyObject *say(PyObject *, PyObject *args)
{
    HandlePtr handle;
    std::string line;
    int is_error, outlet, outer;
    if (!PyArg_ParseTuple(args, "O&O&pii", to_handle, &handle, to_name, &line, &is_error, &outlet, &outer))
        return nullptr;
    const auto run = [handle, line, is_error, outlet, outer] { say_once(handle, line, is_error, outlet, outer); };
    if (on_pd_thread()) run();
    else post_to_pd(handle, run);
    Py_RETURN_NONE;
}

PyObject *console(PyObject *, PyObject *text)
{
    std::string line;
    if (!to_name(text, &line)) return nullptr;
    print_line(line);
    Py_RETURN_NONE;
}

} // namespace

PyMethodDef sending_methods[] = {
    {"outlet", outlet, METH_VARARGS, nullptr},     {"send", send, METH_VARARGS, nullptr},
    {"tocanvas", tocanvas, METH_VARARGS, nullptr}, {"bundle", bundle, METH_VARARGS, nullptr},
    {"error", error, METH_VARARGS, nullptr},       {"say", say, METH_VARARGS, nullptr},
    {"console", console, METH_O, nullptr},         {nullptr, nullptr, 0, nullptr},
};

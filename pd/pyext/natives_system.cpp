// natives_system.cpp: Pd at large: values, rates, threads.
#include <m_pd.h>

#include <memory>
#include <string>

#include "natives.hpp"
#include "pd_thread.hpp"
#include "platform/platform.hpp"

namespace {

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
        return unreachable();
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

PyObject *priority(PyObject *, PyObject *number)
{
    const int delta = static_cast<int>(PyLong_AsLong(number));
    if (PyErr_Occurred()) return nullptr;
    return PyBool_FromLong(os::raise_priority(delta));
}

} // namespace

PyMethodDef system_methods[] = {
    {"get_value", get_value, METH_O, nullptr},
    {"set_value", set_value, METH_VARARGS, nullptr},
    {"samplerate", samplerate, METH_NOARGS, nullptr},
    {"blocksize", blocksize, METH_NOARGS, nullptr},
    {"pd_thread", pd_thread, METH_NOARGS, nullptr},
    {"priority", priority, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

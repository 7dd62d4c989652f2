// natives.cpp: the module `_pyext`, by which the Python half reaches Pd.
#include "natives.hpp"

#include <m_pd.h>

#include <string>

#include "process.hpp"

namespace {

constexpr const char *handle_name = "pyext.handle";

void free_handle(PyObject *capsule) { delete static_cast<HandlePtr *>(PyCapsule_GetPointer(capsule, handle_name)); }

} // namespace

int to_handle(PyObject *capsule, void *handle)
{
    const auto *found = static_cast<HandlePtr *>(PyCapsule_GetPointer(capsule, handle_name));
    if (!found) return 0;
    *static_cast<HandlePtr *>(handle) = *found;
    return 1;
}

int to_handle_or_none(PyObject *capsule, void *handle) { return capsule == Py_None ? 1 : to_handle(capsule, handle); }

int to_name(PyObject *text, void *name)
{
    const Ref bytes(PyUnicode_AsEncodedString(text, "utf-8", "surrogateescape"));
    if (!bytes) return 0;
    *static_cast<std::string *>(name) = PyBytes_AsString(bytes.o);
    return 1;
}

PyObject *unreachable()
{
    const char *why = is_fork()  ? "this process is a fork of Pd's: Pd cannot be reached from here"
                      : quitting ? "Pd is quitting"
                                 : "Pd does not answer: its thread is busy, or waits for this one";
    PyErr_SetString(PyExc_RuntimeError, why);
    return nullptr;
}

PyObject *new_handle(const HandlePtr &handle) { return PyCapsule_New(new HandlePtr(handle), handle_name, free_handle); }

PyObject *make_natives()
{
    static PyModuleDef module = {
        PyModuleDef_HEAD_INIT, "_pyext", nullptr, -1, sending_methods, nullptr, nullptr, nullptr, nullptr};
    Ref made(PyModule_Create(&module));
    if (!made || PyModule_AddIntConstant(made, "word_bytes", sizeof(t_word)) != 0 ||
        PyModule_AddIntConstant(made, "sample_bytes", sizeof(t_sample)) != 0)
        return nullptr;
    for (PyMethodDef *methods : {object_methods, array_methods, system_methods})
        if (PyModule_AddFunctions(made, methods) != 0) return nullptr;
    return made.take();
}

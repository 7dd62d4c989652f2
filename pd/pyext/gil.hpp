// gil.hpp: Python's lock and owned references.
#pragma once

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000 // what is compiled once runs with 3.11 and every later one
#include <Python.h>

#include <utility>

static_assert(PY_VERSION_HEX >= 0x030B0000, "pyext is built with the headers of Python 3.11 or a later one");

extern int (*holds_gil)(); // whether this thread has it: no part of the limited API; null until Python is there

struct Gil { // holds the GIL while it lives
    PyGILState_STATE state = PyGILState_Ensure();
    Gil() = default;
    Gil(const Gil &) = delete;
    Gil &operator=(const Gil &) = delete;
    ~Gil() { PyGILState_Release(state); }
};

struct GilReleased { // lets the GIL go while it lives, if this thread has it
    PyThreadState *state = holds_gil() ? PyEval_SaveThread() : nullptr;
    GilReleased() = default;
    GilReleased(const GilReleased &) = delete;
    GilReleased &operator=(const GilReleased &) = delete;
    ~GilReleased()
    {
        if (state) PyEval_RestoreThread(state);
    }
};

struct Ref { // one owned reference; with the GIL only
    PyObject *o;
    Ref(PyObject *owned = nullptr) : o(owned) {}
    Ref(const Ref &) = delete;
    Ref &operator=(const Ref &) = delete;
    ~Ref() { Py_XDECREF(o); }
    operator PyObject *() const { return o; }
    PyObject *take() { return std::exchange(o, nullptr); }
};

// The Python half reports what classes raise. An exception that comes through to here is a fault of ours.
inline void report_fault()
{
    if (PyErr_Occurred()) PyErr_WriteUnraisable(nullptr);
}

// body.hpp: the one function of the library's body, which the loader calls when it has opened a Python.
#pragma once

struct BodyStart {
    const char *program; // the Python's
    const char *folder;  // of the external
    void *python;        // the open library of that Python
    int started;         // 1: another library has started it already
};
using BodyFunction = void (*)(const BodyStart *);
#define PYEXT_BODY_FUNCTION "sopi_pyext_start"

// natives.hpp: the module `_pyext`, by which the Python half reaches Pd. Errors of use are raised in the Python half.
#pragma once

#include "handle.hpp"

PyObject *make_natives(); // new module
PyObject *new_handle(const HandlePtr &handle); // new capsule

// "O&" converters of PyArg_ParseTuple.
int to_handle(PyObject *capsule, void *handle); // HandlePtr
int to_handle_or_none(PyObject *capsule, void *handle); // HandlePtr, left as it is by None
int to_name(PyObject *text, void *name); // std::string

// Raises RuntimeError: call_on_pd was in vain.
PyObject *unreachable();

// Functions of the module, each table ended by zeros.
extern PyMethodDef sending_methods[], object_methods[], array_methods[], system_methods[];

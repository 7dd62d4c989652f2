// interpreter.hpp: Python, and the modules that it finds here.
#pragma once

#include "gil.hpp"

extern PyObject *host; // the module `pyext`
bool start_python();   // false after one clear line

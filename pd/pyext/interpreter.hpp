// interpreter.hpp: Python, and the modules that it finds here.
#pragma once

#include "body.hpp"
#include "gil.hpp"

extern PyObject *host; // the module `sopi`
bool start_python(const BodyStart &start); // false after one clear line

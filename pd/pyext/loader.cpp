// loader.cpp: the file that Pd opens. It finds a Python, opens that, and then the body of the library, which is the same for
// every Python. It needs no symbol of Pd or Python to be opened itself.
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "body.hpp"
#include "platform/platform.hpp"
#include "search.hpp"

#if defined(__ELF__)
// deken reads off this name of what precision the Pd is that a file is for. It is wanted by nobody.
#if PD_FLOATSIZE == 64
#define class_new class_new64
#endif
extern "C" __attribute__((weak)) void class_new();
extern "C" void (*const volatile sopi_pyext_precision)() = class_new;
#endif

namespace {

void say_error(const std::string &line)
{
    using Function = void (*)(const void *, const char *, ...);
    const auto pd_error = reinterpret_cast<Function>(os::find_symbol(nullptr, "pd_error"));
    if (pd_error) pd_error(nullptr, "%s", line.c_str());
}

void say(const std::string &line)
{
    using Function = void (*)(const char *, ...);
    const auto post = reinterpret_cast<Function>(os::find_symbol(nullptr, "post"));
    if (post) post("%s", line.c_str());
}

std::string own_folder() { return os::folder_of(reinterpret_cast<const void *>(&own_folder)); }

// Variables of Python are meant for another one: this one knows where it is.
void tell_passed_over(const std::vector<std::pair<std::string, std::string>> &variables, const std::string &program)
{
    for (const auto &[name, value] : variables) {
        if (name != "PYTHONHOME" && name != "PYTHONPATH") continue;
        std::string line = "sopi: ";
        line.append(name).append(" (").append(value).append(") is passed over: here runs ").append(program);
        if (name == "PYTHONPATH") line += "; SOPI_PYTHONPATH is for folders that it shall look into";
        say(line);
    }
}

bool start_body(const BodyStart &start)
{
    std::string why;
    const std::string path = std::string(start.folder) + "/" + PYEXT_BODY;
    void *body = os::open_library(path, false, &why);
    const auto function = body ? reinterpret_cast<BodyFunction>(os::find_symbol(body, PYEXT_BODY_FUNCTION)) : nullptr;
    if (!function) {
        say_error("sopi: the external is not whole: " + (body ? path + " is of another version" : why) +
                  ": install it again, or make -C pd/pyext");
        return false;
    }
    function(&start);
    return true;
}

// Whether another library has started a Python, which can't be started twice; one that is too old for the body is told.
bool started_elsewhere(bool *usable)
{
    const auto is_started = reinterpret_cast<int (*)()>(os::find_symbol(nullptr, "Py_IsInitialized"));
    if (!is_started || !is_started()) return false;
    const auto version_of = reinterpret_cast<const char *(*)()>(os::find_symbol(nullptr, "Py_GetVersion"));
    const std::string version = version_of ? version_of() : "";
    *usable = version.rfind("3.", 0) == 0 && std::atoi(version.c_str() + 2) >= 11;
    if (!*usable)
        say_error("sopi: another library has started Python " + version.substr(0, version.find(' ')) +
                  " already, and this one needs 3.11 or later: load only one of them");
    return true;
}

void load()
{
    os::keep_real_time_to_pd();
    const std::string folder = own_folder();
    bool usable = false;
    if (started_elsewhere(&usable)) {
        if (usable) start_body({"", folder.c_str(), nullptr, 1});
        return;
    }
    // First of all: a Python that is asked what it is should not be led astray either.
    const auto variables = os::forget_variables("PYTHON");
    const Search search = find_python(folder);
    if (search.found < 0) {
        say_error("sopi: " + search.trouble + "; sopi doctor tells where it was looked for");
        return;
    }
    const Python &python = search.seen[static_cast<size_t>(search.found)];
    tell_passed_over(variables, python.program);
    std::string why;
    void *library = os::open_library(python.library, true, &why);
    if (!library) {
        say_error("sopi: the library of " + python.program + " can't be opened: " + why);
        return;
    }
    start_body({python.program.c_str(), folder.c_str(), library, 0});
}

} // namespace

extern "C" {

PYEXT_EXPORT void sopi_setup() { load(); }
PYEXT_EXPORT void py_setup() { load(); } // the file's other name

// For `sopi doctor`: the search in words, as much as there is room for.
PYEXT_EXPORT int sopi_pyext_search(char *text, int bytes)
{
    const Search search = find_python(own_folder());
    const std::string all = told(search) + (search.found < 0 ? search.trouble + "\n" : "");
    if (bytes > 0) {
        std::strncpy(text, all.c_str(), static_cast<size_t>(bytes) - 1);
        text[bytes - 1] = 0;
    }
    return search.found >= 0;
}
}

// interpreter.cpp: starts the Python that the loader has opened, whatever its version.
//
// How a start is arranged is no part of Python's limited API, so those functions are looked up by name.
#include "interpreter.hpp"

#include <m_pd.h>

#include <cstdint>
#include <string>

#include "message.hpp"
#include "natives.hpp"
#include "platform/platform.hpp"

PyObject *host = nullptr;
int (*holds_gil)() = nullptr;

namespace {

struct Source {
    const char *name; // of the module
    const char *text;
};

// `sources`: the modules of the package `sopi`, each after those that it imports; the package itself comes last.
#include "pyext_sources.inc"

template <class Function> bool look_up(void *python, const char *name, Function *function)
{
    *function = reinterpret_cast<Function>(os::find_symbol(python, name));
    return *function != nullptr;
}

// ------------------------------------------------------------------ from Python 3.14 on

// Files are UTF-8 whatever locale Pd was started in, and the locale is Pd's.
struct Setting {
    const char *name;
    int64_t value;
};
constexpr Setting settings[] = {
    {"isolated", 0},   {"use_environment", 0},   {"user_site_directory", 1},
    {"utf8_mode", 1},  {"configure_locale", 0},  {"coerce_c_locale", 0},
    {"parse_argv", 0}, {"configure_c_stdio", 0}, {"install_signal_handlers", 0},
};

// Empty, or why not.
std::string initialize_by_config(const BodyStart &start)
{
    struct Config;
    Config *(*create)();
    void (*destroy)(Config *);
    int (*set_int)(Config *, const char *, int64_t);
    int (*set_text)(Config *, const char *, const char *);
    int (*initialize)(Config *);
    int (*get_error)(Config *, const char **);
    if (!look_up(start.python, "PyInitConfig_Create", &create) ||
        !look_up(start.python, "PyInitConfig_Free", &destroy) ||
        !look_up(start.python, "PyInitConfig_SetInt", &set_int) ||
        !look_up(start.python, "PyInitConfig_SetStr", &set_text) ||
        !look_up(start.python, "Py_InitializeFromInitConfig", &initialize) ||
        !look_up(start.python, "PyInitConfig_GetError", &get_error))
        return "it lacks what a start needs";
    Config *config = create();
    if (!config) return "there is no memory left";
    bool well = true;
    for (const Setting &s : settings) well = well && set_int(config, s.name, s.value) == 0;
    for (const char *name : {"program_name", "executable"}) well = well && set_text(config, name, start.program) == 0;
    well = well && initialize(config) == 0;
    const char *why = nullptr;
    if (!well) get_error(config, &why);
    const std::string trouble = well ? "" : why ? why : "unknown reason";
    destroy(config);
    return trouble;
}

// ------------------------------------------------------------------ up to Python 3.13

// PyPreConfig and PyStatus of 3.8 to 3.13, which don't change any more.
struct PreConfig {
    int kind, parse_argv, isolated, use_environment, configure_locale, coerce_c_locale, coerce_c_locale_warn;
#if defined(_WIN32)
    int legacy_windows_fs_encoding;
#endif
    int utf8_mode, dev_mode, allocator;
};
struct Status {
    int kind;
    const char *function, *message;
    int exit_code;
};

std::string initialize_by_names(const BodyStart &start)
{
    void (*init_config)(PreConfig *);
    Status (*pre_initialize)(const PreConfig *);
    void (*set_program)(const wchar_t *);
    if (!look_up(start.python, "PyPreConfig_InitPythonConfig", &init_config) ||
        !look_up(start.python, "Py_PreInitialize", &pre_initialize) ||
        !look_up(start.python, "Py_SetProgramName", &set_program))
        return "it lacks what a start needs";
    PreConfig before;
    init_config(&before);
    before.parse_argv = 0;
    before.use_environment = 0;
    before.configure_locale = 0; // the locale is Pd's
    before.coerce_c_locale = 0;
    before.utf8_mode = 1; // files are UTF-8 whatever locale Pd was started in
    const Status status = pre_initialize(&before);
    if (status.kind != 0) return status.message ? status.message : "unknown reason";
    static const wchar_t *program = Py_DecodeLocale(start.program, nullptr); // Python keeps the pointer
    if (!program) return "its path can't be read";
    set_program(program);
    Py_InitializeEx(0); // without handlers of signals, and the standard streams are left alone
    return "";
}

// False after one clear line.
bool initialize(const BodyStart &start)
{
    if (start.started) {
        post("sopi: another library has started Python already; its interpreter is used");
        return true;
    }
    void *newer = os::find_symbol(start.python, "PyInitConfig_Create");
    const std::string trouble = newer ? initialize_by_config(start) : initialize_by_names(start);
    if (trouble.empty()) return true;
    pd_error(nullptr, "sopi: cannot start %s: %s", start.program, trouble.c_str());
    return false;
}

// With the GIL: the package `sopi`, from the sources compiled in.
bool make_module(const char *folder)
{
    const Ref natives(make_natives());
    PyObject *modules = PyImport_GetModuleDict();
    if (!natives || PyDict_SetItemString(modules, "_pyext", natives) != 0) return false;
    PyObject *package = PyImport_AddModule("sopi"); // borrowed
    const Ref nowhere(PyList_New(0));
    if (!package || PyObject_SetAttrString(package, "__path__", nowhere) != 0) return false;
    for (const Source &source : sources) {
        const std::string file = std::string("<") + source.name + ">";
        const Ref code(Py_CompileString(source.text, file.c_str(), Py_file_input));
        const Ref module(code ? PyImport_ExecCodeModule(source.name, code) : nullptr);
        if (!module) return false;
    }
    host = Py_NewRef(package);
    const Ref path(python_text(folder));
    const Ref done(path ? PyObject_CallMethod(host, "_start", "O", path.o) : nullptr);
    return done.o != nullptr;
}

} // namespace

bool start_python(const BodyStart &start)
{
    if (!look_up(start.python, "PyGILState_Check", &holds_gil)) {
        pd_error(nullptr, "sopi: cannot start %s: it lacks what this library needs", start.program);
        return false;
    }
    if (!initialize(start)) return false;
    const PyGILState_STATE state = PyGILState_Ensure();
    const bool made = make_module(start.folder);
    if (!made) {
        PyErr_Print();
        pd_error(nullptr, "sopi: the module `sopi` could not be made: install the external again");
    } else {
        const std::string version = Py_GetVersion();
        post("sopi: Python %s of %s", version.substr(0, version.find(' ')).c_str(),
             start.started ? "another library" : start.program);
    }
    PyGILState_Release(state);
    if (!start.started) PyEval_SaveThread();
    return made;
}

// interpreter.cpp: starts the Python that this library was built for.
#include "interpreter.hpp"

#include <dlfcn.h>
#include <m_pd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "message.hpp"
#include "natives.hpp"

PyObject *host = nullptr;

namespace {

struct Source {
    const char *name; // of the module
    const char *text;
};

// `sources`: the modules of the package `pyext`, each after those that it imports; the package itself comes last.
#include "pyext_sources.inc"

std::string parent(const std::string &path) { return path.substr(0, path.find_last_of('/')); }

// "3.11" of the Python at `program`: a venv says it in its pyvenv.cfg, an installation by its lib folder.
std::string version_at(const std::string &program)
{
    const std::string prefix = parent(parent(program));
    std::ifstream config(prefix + "/pyvenv.cfg");
    for (std::string line; std::getline(config, line);) {
        if (line.rfind("version", 0) != 0) continue;
        const size_t first = line.find_first_of("0123456789"), dot = line.find('.', first);
        if (dot != std::string::npos) return line.substr(first, line.find_first_not_of("0123456789", dot + 1) - first);
    }
    const std::string ours = std::to_string(PY_MAJOR_VERSION) + "." + std::to_string(PY_MINOR_VERSION);
    return access((prefix + "/lib/python" + ours).c_str(), R_OK) == 0 ? ours : "";
}

std::string own_directory();

// SOPI_PYTHON: the python of a venv, or the venv's folder.
std::string chosen_python()
{
    const char *chosen = std::getenv("SOPI_PYTHON");
    if (!chosen || !*chosen) return *PYEXT_PYTHON == '/' ? PYEXT_PYTHON : own_directory() + "/" PYEXT_PYTHON;
    struct stat found;
    const bool folder = stat(chosen, &found) == 0 && S_ISDIR(found.st_mode);
    return folder ? std::string(chosen) + "/bin/python" : chosen;
}

std::string own_directory()
{
    Dl_info info;
    if (!dladdr(reinterpret_cast<void *>(&start_python), &info)) return ".";
    char *path = realpath(info.dli_fname, nullptr);
    const std::string directory = parent(path ? path : info.dli_fname);
    std::free(path);
    return directory;
}

// False after one clear line: it isn't the Python that this library was built for.
bool check_version(const std::string &program)
{
    const std::string version = Py_GetVersion(), runtime = version.substr(0, version.find(' '));
    if (access(program.c_str(), X_OK) != 0) {
        pd_error(nullptr,
                 "py: there is no Python at %s: build pd/pyext again, or set SOPI_PYTHON to a venv or its python",
                 program.c_str());
        return false;
    }
    const std::string found = version_at(program);
    if (runtime.rfind(found + ".", 0) == 0) return true;
    pd_error(nullptr, "py: built for Python %s, but %s is Python %s: build pd/pyext again with PYTHON=%s",
             runtime.c_str(), program.c_str(), found.empty() ? "of an unknown version" : found.c_str(),
             program.c_str());
    return false;
}

// False after one clear line.
bool initialize(const std::string &program)
{
    if (Py_IsInitialized()) {
        post("py: another library has started Python already; its interpreter is used, not %s", program.c_str());
        return true;
    }
    if (!check_version(program)) return false;

    // Extension modules look for Python's symbols globally.
    Dl_info info;
    if (dladdr(reinterpret_cast<void *>(&Py_GetVersion), &info))
        dlopen(info.dli_fname, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);

    PyPreConfig before;
    PyPreConfig_InitPythonConfig(&before);
    before.utf8_mode = 1;        // files are UTF-8 whatever locale Pd was started in
    before.configure_locale = 0; // the locale is Pd's
    before.coerce_c_locale = 0;
    PyStatus status = Py_PreInitialize(&before);

    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    config.install_signal_handlers = 0;
    config.configure_c_stdio = 0;
    config.parse_argv = 0;
    char name[] = "py/pyext", *argv[] = {name};
    if (!PyStatus_Exception(status)) status = PyConfig_SetBytesString(&config, &config.program_name, program.c_str());
    if (!PyStatus_Exception(status)) status = PyConfig_SetBytesString(&config, &config.executable, program.c_str());
    if (!PyStatus_Exception(status)) status = PyConfig_SetBytesArgv(&config, 1, argv);
    if (!PyStatus_Exception(status)) status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (!PyStatus_Exception(status)) return true;
    pd_error(nullptr, "py: cannot start %s: %s", program.c_str(), status.err_msg ? status.err_msg : "unknown reason");
    return false;
}

// With the GIL: the package `pyext`, from the sources compiled in.
bool make_module(const std::string &library)
{
    const Ref natives(make_natives());
    PyObject *modules = PyImport_GetModuleDict();
    if (!natives || PyDict_SetItemString(modules, "_pyext", natives) != 0) return false;
    PyObject *package = PyImport_AddModule("pyext"); // borrowed
    const Ref nowhere(PyList_New(0));
    if (!package || PyObject_SetAttrString(package, "__path__", nowhere) != 0) return false;
    for (const Source &source : sources) {
        const std::string file = std::string("<") + source.name + ">";
        const Ref code(Py_CompileString(source.text, file.c_str(), Py_file_input));
        const Ref module(code ? PyImport_ExecCodeModule(source.name, code) : nullptr);
        if (!module) return false;
    }
    host = Py_NewRef(package);
    const Ref path(python_text(library.c_str()));
    const Ref done(path ? PyObject_CallMethod(host, "_start", "O", path.o) : nullptr);
    return done.o != nullptr;
}

} // namespace

bool start_python()
{
    const std::string program = chosen_python();
    if (const char *home = std::getenv("PYTHONHOME")) { // of another Python: this one knows where it is
        post("py: PYTHONHOME (%s) is passed over: here runs %s", home, program.c_str());
        unsetenv("PYTHONHOME");
    }
    const bool shared = Py_IsInitialized();
    if (!initialize(program)) return false;
    const PyGILState_STATE state = PyGILState_Ensure();
    const bool made = make_module(own_directory());
    if (!made) {
        PyErr_Print();
        pd_error(nullptr, "py: the module `pyext` could not be made: build pd/pyext again");
    } else post("py: [pyext] and [pyext~] with Python %s of %s", PY_VERSION, program.c_str());
    PyGILState_Release(state);
    if (!shared) PyEval_SaveThread();
    return made;
}

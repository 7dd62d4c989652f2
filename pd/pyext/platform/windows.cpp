// windows.cpp: Windows.
//
// When exit() runs what a library has registered, Windows has ended all other threads already: no Python code runs any more,
// so nothing has to be stopped, and nothing of Python may be touched.
#if defined(_WIN32)
#include "platform.hpp"

#include <algorithm>

#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>

namespace os {

const char *const venv_python = "Scripts/python.exe";
const char *const shipped_python = "python/python.exe";
const char *const path_separator = ";";

static std::wstring wide(const std::string &text)
{
    const int n = MultiByteToWideChar(CP_UTF8, 0, text.data(), static_cast<int>(text.size()), nullptr, 0);
    std::wstring found(static_cast<size_t>(n), L'\0');
    MultiByteToWideChar(CP_UTF8, 0, text.data(), static_cast<int>(text.size()), found.data(), n);
    return found;
}

static std::string narrow(const std::wstring &text)
{
    const int size = static_cast<int>(text.size());
    const int n = WideCharToMultiByte(CP_UTF8, 0, text.data(), size, nullptr, 0, nullptr, nullptr);
    std::string found(static_cast<size_t>(n), '\0');
    WideCharToMultiByte(CP_UTF8, 0, text.data(), size, found.data(), n, nullptr, nullptr);
    return found;
}

// ------------------------------------------------------------------ places

std::string folder_of(const void *code)
{
    HMODULE module = nullptr;
    GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                       static_cast<const wchar_t *>(code), &module);
    std::wstring path(32768, L'\0');
    path.resize(GetModuleFileNameW(module, path.data(), static_cast<DWORD>(path.size())));
    std::replace(path.begin(), path.end(), L'\\', L'/');
    return narrow(path.substr(0, path.find_last_of(L'/')));
}

std::string data_folder() { return variable("LOCALAPPDATA") + "/samplernn"; }
std::string cache_folder() { return variable("LOCALAPPDATA") + "/samplernn/cache"; }

// PEP 514: what a key says where the python.exe of one installation is.
static void add_installed(HKEY root, const wchar_t *version, std::vector<std::string> *found)
{
    const std::wstring key = std::wstring(L"Software\\Python\\PythonCore\\") + version + L"\\InstallPath";
    for (const wchar_t *name : {L"ExecutablePath", L""}) {
        wchar_t path[2048];
        DWORD bytes = sizeof path;
        if (RegGetValueW(root, key.c_str(), *name ? name : nullptr, RRF_RT_REG_SZ, nullptr, path, &bytes) !=
            ERROR_SUCCESS)
            continue;
        std::wstring program = path;
        if (!*name) program += L"\\python.exe";
        if (program.find(L"WindowsApps") == std::wstring::npos) found->push_back(narrow(program));
        return;
    }
}

// Those of the registry alone: what WindowsApps has opens the Store.
std::vector<std::string> known_pythons()
{
    std::vector<std::string> found;
    for (const HKEY root : {HKEY_CURRENT_USER, HKEY_LOCAL_MACHINE})
        for (const wchar_t *version : {L"3.13", L"3.14", L"3.12", L"3.11", L"3.15"})
            add_installed(root, version, &found);
    return found;
}

std::string how_to_install(const std::string &) { return "winget install Python.Python.3.13"; }

// ------------------------------------------------------------------ environment

std::string variable(const char *name)
{
    const std::wstring wanted = wide(name);
    std::wstring value(32768, L'\0');
    value.resize(GetEnvironmentVariableW(wanted.c_str(), value.data(), static_cast<DWORD>(value.size())));
    return narrow(value);
}

std::vector<std::pair<std::string, std::string>> forget_variables(const std::string &prefix)
{
    std::vector<std::pair<std::string, std::string>> found;
    wchar_t *all = GetEnvironmentStringsW();
    for (const wchar_t *at = all; at && *at; at += std::wstring(at).size() + 1) {
        const std::string line = narrow(at);
        const size_t equals = line.find('=');
        if (equals != std::string::npos && line.compare(0, prefix.size(), prefix) == 0)
            found.emplace_back(line.substr(0, equals), line.substr(equals + 1));
    }
    if (all) FreeEnvironmentStringsW(all);
    for (const auto &one : found) {
        SetEnvironmentVariableW(wide(one.first).c_str(), nullptr);
        _wputenv((wide(one.first) + L"=").c_str()); // what the C library has copied
    }
    return found;
}

// ------------------------------------------------------------------ libraries

// By its full path, with what lies beside it.
void *open_library(const std::string &path, bool, std::string *why)
{
    std::wstring wanted = wide(path);
    std::replace(wanted.begin(), wanted.end(), L'/', L'\\');
    const HMODULE library = LoadLibraryExW(wanted.c_str(), nullptr,
                                           LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_DEFAULT_DIRS);
    if (!library) *why = "Windows says error " + std::to_string(GetLastError()) + " of " + path;
    return library;
}

static void *address(HMODULE library, const char *name)
{
    return library ? reinterpret_cast<void *>(GetProcAddress(library, name)) : nullptr;
}

// python3.dll hands on the limited API alone: the other names are in the library of one version.
static void *find_in_python(const char *name)
{
    for (int minor = 11; minor < 30; minor++)
        if (const HMODULE one = GetModuleHandleW((L"python3" + std::to_wstring(minor) + L".dll").c_str()))
            return address(one, name);
    return nullptr;
}

void *find_symbol(void *library, const char *name)
{
    if (void *found = address(static_cast<HMODULE>(library), name)) return found;
    if (!library)
        if (void *found = address(GetModuleHandleW(L"pd.dll"), name)) return found;
    return find_in_python(name);
}

// ------------------------------------------------------------------ programs

static std::wstring quoted(const std::string &word)
{
    std::wstring text = L"\"";
    size_t backslashes = 0;
    for (const wchar_t c : wide(word)) {
        if (c == L'"') text.append(backslashes + 1, L'\\');
        backslashes = c == L'\\' ? backslashes + 1 : 0;
        text += c;
    }
    return text.append(backslashes, L'\\') + L"\"";
}

// What was printed fits into the pipe, so it is read when the program has ended.
static bool read_when_ended(HANDLE child, HANDLE file, int ms, std::string *printed)
{
    DWORD status = 1;
    if (WaitForSingleObject(child, static_cast<DWORD>(ms)) != WAIT_OBJECT_0) {
        TerminateProcess(child, 1);
        return false;
    }
    GetExitCodeProcess(child, &status);
    char piece[4096];
    for (DWORD n; ReadFile(file, piece, sizeof piece, &n, nullptr) && n > 0;) printed->append(piece, n);
    return status == 0;
}

bool run_program(const std::string &program, const std::vector<std::string> &arguments, int ms, std::string *printed)
{
    SECURITY_ATTRIBUTES inherited{sizeof inherited, nullptr, TRUE};
    HANDLE from, to;
    if (!CreatePipe(&from, &to, &inherited, 1 << 16)) return false;
    SetHandleInformation(from, HANDLE_FLAG_INHERIT, 0);
    std::wstring line = quoted(program);
    for (const std::string &word : arguments) line += L" " + quoted(word);
    STARTUPINFOW how{};
    how.cb = sizeof how;
    how.dwFlags = STARTF_USESTDHANDLES;
    how.hStdOutput = to;
    PROCESS_INFORMATION child{};
    const bool started = CreateProcessW(wide(program).c_str(), line.data(), nullptr, nullptr, TRUE,
                                        CREATE_NO_WINDOW | NORMAL_PRIORITY_CLASS, nullptr, nullptr, &how, &child);
    CloseHandle(to);
    const bool well = started && read_when_ended(child.hProcess, from, ms, printed);
    CloseHandle(from);
    if (started) CloseHandle(child.hProcess), CloseHandle(child.hThread);
    return well;
}

// ------------------------------------------------------------------ time and threads

int64_t now_ns() noexcept
{
    LARGE_INTEGER frequency, count;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&count);
    const int64_t whole = count.QuadPart / frequency.QuadPart, rest = count.QuadPart % frequency.QuadPart;
    return whole * 1000000000 + rest * 1000000000 / frequency.QuadPart;
}

void keep_real_time_to_pd() {} // threads start with ordinary priority

bool start_thread(void *(*run)(void *), void *argument)
{
    struct Work {
        void *(*run)(void *);
        void *argument;
    };
    auto *work = new Work{run, argument};
    const auto begin = [](void *given) -> DWORD {
        const Work mine = *static_cast<Work *>(given);
        delete static_cast<Work *>(given);
        mine.run(mine.argument);
        return 0;
    };
    const HANDLE thread = CreateThread(nullptr, 0, begin, work, 0, nullptr);
    if (!thread) delete work;
    else CloseHandle(thread);
    return thread != nullptr;
}

bool raise_priority(int delta)
{
    const int level = std::clamp(GetThreadPriority(GetCurrentThread()) + delta, THREAD_PRIORITY_LOWEST,
                                 THREAD_PRIORITY_HIGHEST);
    return SetThreadPriority(GetCurrentThread(), level) != 0;
}

Semaphore::Semaphore() : held_(CreateSemaphoreW(nullptr, 0, 0x7fffffff, nullptr)) {}
Semaphore::~Semaphore() { CloseHandle(held_); }
void Semaphore::post() noexcept { ReleaseSemaphore(held_, 1, nullptr); }
void Semaphore::wait() noexcept { WaitForSingleObject(held_, INFINITE); }
bool Semaphore::wait_for(int ms) noexcept
{
    return WaitForSingleObject(held_, static_cast<DWORD>(ms)) == WAIT_OBJECT_0;
}

// ------------------------------------------------------------------ the end of the process

int64_t process() noexcept { return static_cast<int64_t>(GetCurrentProcessId()); }
void on_fork(void (*)()) {}
void at_first(void (*)()) {}
void at_last(void (*)(), const std::atomic<bool> *) {}
void watch_termination(std::atomic<bool> *) {}

} // namespace os

#endif

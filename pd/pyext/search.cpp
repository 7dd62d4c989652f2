// search.cpp: where there is a Python that Pd can run.
#include "search.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <system_error>

#include "platform/platform.hpp"

namespace fs = std::filesystem;

namespace {

constexpr int least = 11; // of 3.11
constexpr int probe_ms = 2000;
using Facts = std::map<std::string, std::string>;

// What a Python says of itself, a line each: `name=value`. The current folder is no place to import from.
constexpr const char *question = R"(
import sys
sys.path[:] = [p for p in sys.path if p]
import os, sysconfig
from importlib.util import find_spec
get = sysconfig.get_config_var
lib, base = get('LIBDIR') or '', sys.base_prefix
names = [n for n in (get('INSTSONAME'), get('LDLIBRARY')) if n and not n.endswith('.a')]
folders = [os.path.join(base, 'lib'), lib, os.path.join(lib, get('MULTIARCH') or ''), get('LIBPL'), get('PYTHONFRAMEWORKPREFIX')]
if os.name == 'nt':
    names, folders = ['python3.dll'], [base]
found = [os.path.join(f, n) for f in folders if f for n in names]
facts = {
    'version': '%d.%d' % sys.version_info[:2],
    'platform': sysconfig.get_platform(),
    'free': int(bool(get('Py_GIL_DISABLED'))),
    'library': next((p for p in found if os.path.isfile(p)), ''),
    'numpy': int(find_spec('numpy') is not None),
}
for name, value in facts.items():
    sys.stdout.buffer.write(os.fsencode('%s=%s\n' % (name, value)))
)";

#if defined(__x86_64__)
constexpr const char *processors[] = {"x86_64", "amd64", "universal2"};
#elif defined(__aarch64__)
constexpr const char *processors[] = {"aarch64", "arm64", "universal2"};
#else
constexpr const char *processors[] = {""};
#endif

std::string joined(const std::string &folder, const char *name)
{
    return (fs::u8path(folder) / fs::u8path(name)).u8string();
}

bool is_file(const std::string &path)
{
    std::error_code none;
    return fs::is_regular_file(fs::u8path(path), none);
}

// Its size and time: another file, or a changed one, has others. Empty: it isn't there.
std::string stamp(const std::string &path)
{
    std::error_code wrong;
    const auto size = fs::file_size(fs::u8path(path), wrong);
    if (wrong) return "";
    const auto time = fs::last_write_time(fs::u8path(path), wrong);
    return wrong ? ""
                 : std::to_string(size) + " " + std::to_string(static_cast<long long>(time.time_since_epoch().count()));
}

Facts facts_in(std::istream &text)
{
    Facts facts;
    for (std::string line; std::getline(text, line);) {
        if (!line.empty() && line.back() == '\r') line.pop_back();
        const size_t equals = line.find('=');
        if (equals != std::string::npos) facts[line.substr(0, equals)] = line.substr(equals + 1);
    }
    return facts;
}

// ------------------------------------------------------------------ what is remembered

// A file of facts a program: which it is, and of what size and time it and its library were.
std::string memory_of(const std::string &program)
{
    return joined(os::cache_folder(), ("python-" + std::to_string(std::hash<std::string>()(program)) + ".txt").c_str());
}

bool remember(const std::string &program, Facts facts)
{
    const fs::path file = fs::u8path(memory_of(program));
    fs::path part = file;
    part += "." + std::to_string(os::process());
    std::error_code wrong;
    fs::create_directories(file.parent_path(), wrong);
    facts["program"] = program;
    facts["program stamp"] = stamp(program);
    facts["library stamp"] = stamp(facts["library"]);
    {
        std::ofstream text(part, std::ios::binary);
        for (const auto &[name, value] : facts) text << name << '=' << value << '\n';
        if (!text.flush()) return false;
    }
    fs::rename(part, file, wrong);
    return !wrong;
}

Facts remembered(const std::string &program)
{
    std::ifstream text(fs::u8path(memory_of(program)), std::ios::binary);
    Facts facts = facts_in(text);
    const bool same = facts["program"] == program && facts["program stamp"] == stamp(program) &&
                      !facts["library stamp"].empty() && facts["library stamp"] == stamp(facts["library"]);
    return same ? facts : Facts();
}

// ------------------------------------------------------------------ one Python

// "3.11" of a venv whose folder says it; empty for any other.
std::string version_in_venv(const std::string &program)
{
    std::ifstream text(fs::u8path(program).parent_path().parent_path() / "pyvenv.cfg");
    for (std::string line; std::getline(text, line);) {
        if (line.rfind("version", 0) != 0) continue;
        const size_t first = line.find_first_of("0123456789"), dot = line.find('.', first);
        if (dot != std::string::npos) return line.substr(first, line.find_first_not_of("0123456789", dot + 1) - first);
    }
    return "";
}

bool too_old(const std::string &version)
{
    const size_t dot = version.find('.');
    return dot == std::string::npos || version.substr(0, dot) != "3" || std::atoi(version.c_str() + dot + 1) < least;
}

std::string trouble_of_version(const std::string &version)
{
    return "is Python " + version + ": 3." + std::to_string(least) + " or a later one is needed";
}

// What keeps Pd from running a Python that says this of itself.
std::string trouble_of(Facts &facts)
{
    if (facts["version"].empty()) return "does not say in 2 s that it is a Python";
    if (too_old(facts["version"])) return trouble_of_version(facts["version"]);
    if (facts["free"] == "1") return "is a free-threaded Python, which Pd can't run: take an ordinary one";
    const std::string &made_for = facts["platform"];
    if (std::none_of(std::begin(processors), std::end(processors),
                     [&](const char *name) { return made_for.find(name) != std::string::npos; }))
        return "is made for another processor (" + made_for + ") than Pd (" + processors[0] + ")";
    if (facts["library"].empty())
        return "has no shared library (libpython" + facts["version"] +
               "): type: " + os::how_to_install(facts["version"]);
    return "";
}

Python look_at(const std::string &program, const std::string &why)
{
    Python python{program, why, "", version_in_venv(program), "", false};
    if (!is_file(program)) {
        python.trouble = "there is no Python at " + program + ": set SOPI_PYTHON to a venv or its python";
        return python;
    }
    if (!python.version.empty() && too_old(python.version)) {
        python.trouble = program + " " + trouble_of_version(python.version);
        return python;
    }
    Facts facts = remembered(program);
    const bool known = !facts.empty();
    if (!known) {
        std::string said;
        if (!os::run_program(program, {"-E", "-X", "utf8", "-c", question}, probe_ms, &said)) said.clear();
        std::istringstream text(said);
        facts = facts_in(text);
    }
    python.trouble = trouble_of(facts);
    if (!python.trouble.empty()) python.trouble = program + " " + python.trouble;
    python.version = facts["version"];
    python.library = facts["library"];
    python.numpy = facts["numpy"] == "1";
    if (!known && python.trouble.empty() && python.numpy) remember(program, facts);
    return python;
}

// ------------------------------------------------------------------ all of them

// That of a folder of a venv, or the program itself.
std::string program_of(const std::string &named)
{
    std::error_code none;
    return fs::is_directory(fs::u8path(named), none) ? joined(named, os::venv_python) : named;
}

// The one that sopi was installed in, as it has said itself.
std::string registered()
{
    std::ifstream text(fs::u8path(joined(os::data_folder(), "python.txt")), std::ios::binary);
    std::string line;
    std::getline(text, line);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    return line;
}

// Those that belong to this external or this person: the first that Pd can run is taken.
std::vector<std::pair<std::string, std::string>> own_places(const std::string &folder)
{
    std::vector<std::pair<std::string, std::string>> places;
    const auto add = [&places](const std::string &program, const char *why) {
        if (is_file(program)) places.emplace_back(program, why);
    };
    add(joined(folder, os::shipped_python), "shipped with the external");
    fs::path at = fs::u8path(folder);
    for (int up = 0; up < 3; up++, at = at.parent_path()) // a checkout has it two folders above the external
        for (const char *venv : {".venv", "venv"})
            if (is_file((at / venv / "pyvenv.cfg").u8string()))
                add((at / venv / os::venv_python).u8string(), "a venv beside the external");
    if (const std::string program = registered(); !program.empty())
        places.emplace_back(program, "the one that sopi is installed in");
    return places;
}

bool take(Search &search, const std::string &program, const std::string &why)
{
    search.seen.push_back(look_at(program, why));
    return search.seen.back().trouble.empty();
}

} // namespace

Search find_python(const std::string &folder)
{
    Search search;
    const auto last = [&search] { return static_cast<int>(search.seen.size()) - 1; };
    if (const std::string chosen = os::variable("SOPI_PYTHON"); !chosen.empty()) {
        if (take(search, program_of(chosen), "SOPI_PYTHON")) search.found = last();
        else search.trouble = search.seen.back().trouble;
        return search;
    }
    for (const auto &[program, why] : own_places(folder))
        if (take(search, program, why)) {
            search.found = last();
            return search;
        }
    // Of the others the first that has numpy, or else the first.
    for (const std::string &program : os::known_pythons()) {
        const auto same = [&program](const Python &seen) { return seen.program == program; };
        if (std::any_of(search.seen.begin(), search.seen.end(), same) || !take(search, program, "of this system"))
            continue;
        if (search.found < 0 || search.seen.back().numpy) search.found = last();
        if (search.seen.back().numpy) break;
    }
    if (search.found < 0)
        search.trouble = search.seen.empty() ? "there is no Python that Pd can run: type: " + os::how_to_install("")
                                             : search.seen.front().trouble;
    return search;
}

std::string told(const Search &search)
{
    std::string text;
    for (const Python &python : search.seen) {
        const bool taken = search.found >= 0 && &python == &search.seen[static_cast<size_t>(search.found)];
        const std::string what = "Python " + python.version + (python.numpy ? "" : " without numpy");
        text += taken ? "takes " : "passes ";
        text += (python.trouble.empty() ? python.program + ", " + what : python.trouble) + " (" + python.why + ")\n";
    }
    return text;
}

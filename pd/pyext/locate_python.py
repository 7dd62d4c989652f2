"""For the Makefile: where the running interpreter has its headers and its libpython.

Prints "INCLUDE LIBRARY RPATH", or one line to stderr that says what is missing, and exits with 1.
"""

import os
import sys
import sysconfig


def main() -> int:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    include = sysconfig.get_path("include")
    if not os.path.exists(os.path.join(include, "Python.h")):
        print(
            f"pyext: Python.h of {sys.executable} is not in {include}: install python{version}-dev "
            "or use a Python that has it (pyenv, uv)",
            file=sys.stderr,
        )
        return 1
    get = sysconfig.get_config_var
    lib = get("LIBDIR") or ""
    folders = [lib, os.path.join(lib, get("MULTIARCH") or ""), os.path.join(sys.base_prefix, "lib"), get("LIBPL") or ""]
    names = [n for n in (get("LDLIBRARY"), get("INSTSONAME")) if n and ".so" in n or n and ".dylib" in n]
    for folder in folders:
        for name in names:
            path = os.path.join(folder, name)
            if os.path.exists(path):
                print(include, path, folder)
                return 0
    print(
        f"pyext: {sys.executable} has no shared libpython{version} (looked in {', '.join(filter(None, folders))}): "
        f"install libpython{version}, or build Python with --enable-shared",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())

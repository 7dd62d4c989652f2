"""For the Makefile: where the running interpreter has its headers.

Prints their folder, or one line to stderr that says what is missing, and exits with 1.
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
    print(include)
    return 0


if __name__ == "__main__":
    sys.exit(main())

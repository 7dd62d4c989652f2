"""For the Makefile: the package `sopi` as an array for interpreter.cpp.

`embed.py FOLDER NAME...` prints the modules FOLDER/NAME.py in the order given, and then the package itself.
"""

import sys
from pathlib import Path


def main(folder: Path, names: list[str]) -> None:
    files = {f"sopi.{name}": folder / f"{name}.py" for name in names}
    files["sopi"] = folder / "__init__.py"
    for number, file in enumerate(files.values()):
        codes = ",".join(map(str, file.read_bytes()))
        print(f"const char source{number}[] = {{{codes},0}};")
    print("const Source sources[] = {")
    for number, module in enumerate(files):
        print(f'    {{"{module}", source{number}}},')
    print("};")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

"""For `make cross`: which symbols of others the files of the external, and the extension of Python, want.

`symbols.py check PYTHON_HEADERS PD_HEADERS FOLDER`: of the files in FOLDER the loader may want symbols of the
system alone, the body those of Pd and of Python too, and the extension, _native, those of Python. One for macOS on ARM
must be signed. Exits with 1 and a line if it is not so.

`symbols.py def LIBRARY.dll HEADERS OBJECT...` prints the .def file, for Windows, of those symbols that the object files
want and that are names in the headers of that folder.
"""

import re
import struct
import subprocess
import sys
from pathlib import Path

Found = dict[str, set[str]]
"""By library, as far as the format says of which one a symbol is; "" for the others."""
OF_PD = {"post", "pd_error", "gensym", "pd_new", "outlet_new", "clock_new"}
"""Names of Pd's that are nobody else's."""


def elf(path: Path) -> Found:
    listed = subprocess.run(["nm", "-D", "-u", path], capture_output=True, text=True, check=True).stdout
    return {"": {line.split()[-1].split("@")[0] for line in listed.splitlines()}}


def coff_symbols(data: bytes) -> list[tuple[str, int, int]]:
    """(name, section, storage class) of an object file of Windows."""
    place, count = struct.unpack_from("<II", data, 8)
    texts = data[place + 18 * count :]
    found, at = [], 0
    while at < count:
        entry = data[place + 18 * at : place + 18 * at + 18]
        short, offset = struct.unpack_from("<II", entry)
        raw = entry[:8] if short else texts[offset : texts.index(b"\0", offset)]
        section, _, storage, more = struct.unpack_from("<hHBB", entry, 12)
        found.append((raw.rstrip(b"\0").decode(), section, storage))
        at += 1 + more
    return found


def coff_wanted(data: bytes) -> set[str]:
    """The symbols that an object file of Windows wants of libraries whose headers say that they are in one."""
    wanted = {name for name, section, storage in coff_symbols(data) if section == 0 and storage == 2}
    return {name.removeprefix("__imp_") for name in wanted if name.startswith("__imp_")}


def pe(path: Path) -> Found:
    listed = subprocess.run(["objdump", "-p", path], capture_output=True, text=True, check=True).stdout
    found: Found = {}
    library = ""
    for line in listed.splitlines():
        if name := re.match(r"\s*DLL Name: (\S+)", line):
            library = name[1]
            found[library] = set()
        elif library and (symbol := re.match(r"\s+[0-9a-f]+\s+\d+\s+(\S+)$", line)):
            found[library].add(symbol[1])
        elif library and line.startswith("The "):
            break
    return found


def mach_o(path: Path) -> Found:
    """Raises SystemExit if it is for Apple's processors and isn't signed, for they run nothing else."""
    data = path.read_bytes()
    found: set[str] = set()
    signed = struct.unpack_from("<I", data, 4)[0] != 0x0100000C  # CPU_TYPE_ARM64
    at = 32
    for _ in range(struct.unpack_from("<I", data, 16)[0]):
        command, size = struct.unpack_from("<II", data, at)
        if command == 0x2:  # LC_SYMTAB
            symbols, count, texts = struct.unpack_from("<III", data, at + 8)
            for k in range(count):
                name, kind = struct.unpack_from("<IB", data, symbols + 16 * k)
                if kind & 0x0F == 1:  # of another library
                    found.add(data[texts + name : data.index(b"\0", texts + name)].decode().removeprefix("_"))
        signed |= command == 0x1D  # LC_CODE_SIGNATURE
        at += size
    if not signed:
        sys.exit(f"{path} is not signed")
    return {"": found}


def wanted_by(path: Path) -> Found:
    start = path.read_bytes()[:4]
    return elf(path) if start == b"\x7fELF" else mach_o(path) if start == b"\xcf\xfa\xed\xfe" else pe(path)


def words(folder: Path) -> set[str]:
    text = " ".join(
        path.read_text(encoding="utf-8", errors="replace") for path in folder.rglob("*.h") if path.is_file()
    )
    return set(re.findall(r"\w+", text))


def check(python: Path, pd: Path, folder: Path) -> int:
    of_pd, of_python = words(pd), words(python)
    failed = False
    for path in sorted(file for file in folder.iterdir() if file.is_file()):
        for library, names in wanted_by(path).items():
            pythons = {name for name in names if re.match("_?Py", name)}
            pds = names & of_pd if library == "pd.dll" else names & OF_PD
            wrong = pythons - of_python if path.name.startswith(("pyext-", "_native")) else pythons | pds
            print(f"  {path.name}: {len(names)} symbols of {library or 'others'}, {len(pythons)} of them Python's")
            if wrong:
                print(f"{path.name} wants {', '.join(sorted(wrong))}")
                failed = True
    return int(failed)


def def_file(library: str, headers: Path, objects: list[Path]) -> None:
    known = {name for name in words(headers) if library == "pd.dll" or re.match("_?Py", name)}
    wanted = {name for path in objects for name in coff_wanted(path.read_bytes()) if name in known}
    print("\n    ".join([f"LIBRARY {library}\nEXPORTS", *sorted(wanted)]))


if __name__ == "__main__":
    if sys.argv[1] == "def":
        def_file(sys.argv[2], Path(sys.argv[3]), [Path(path) for path in sys.argv[4:]])
    else:
        sys.exit(check(*map(Path, sys.argv[2:])))

"""Writes the table of the stream's commands as C++: python write_command_table.py live/commands.py command_table.hpp

The build runs it. It needs the standard library alone, and reads what a musician may say (sopilib/live/commands.py):
for each command that has `native` names, their range, whether they ramp, and whether they may be meant for one voice.
"""

import importlib.util
import math
import sys
from pathlib import Path
from typing import Any

NUMBERS = ("float", "int", "switch", "level", "sound", "note")

HEADER = """// Made by write_command_table.py from sopilib/live/commands.py. Change that, not this.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sopi {

struct Entry {
    const char *name;
    bool number;         // a number may be given; else only something prepared, or nothing
    bool integer, whole; // integer: without a fraction; whole: any of 0 .. 2^64 - 1, kept exactly
    double least, most;  // of the number, inclusive
    double usual;        // before anyone has set it
    double longest_ramp; // ms; 0: it does not ramp
    bool voice;          // it may be meant for one voice
    uint32_t indices;    // how many things of one kind it sets, 1 for most
};

"""


def read_commands(path: Path) -> dict[str, Any]:
    """The table COMMANDS of the file, run by its path: the package it is in isn't imported."""
    spec = importlib.util.spec_from_file_location("commands", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["commands"] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    commands: dict[str, Any] = module.COMMANDS
    return commands


def entry(name: str, command: Any) -> str:
    """One line of C++: the native command `name`, as the arguments of the message that leads to it say.

    The last argument is a ramp if it is called ms and another stands before it. What stands before the ramp is the
    value, or else the first argument; what stands before the value counts things of one kind.
    """
    arguments = list(command.arguments)
    ramp = arguments.pop().most if len(arguments) > 1 and arguments[-1].name == "ms" else None
    place = len(arguments) - 1 if ramp is not None else 0
    value: Any = arguments[place] if arguments else None
    number = value is not None and value.kind in NUMBERS
    whole = number and value.kind == "sound"
    least, most = (
        (0.0, 1.0) if number and value.kind == "switch" else (value.least, value.most) if number else (0.0, 0.0)
    )
    if number and not whole and not (math.isfinite(least) and math.isfinite(most)):
        raise SystemExit(f"{command.name}: {value.name} has no range, which the stream must know")
    usual = getattr(value, "usual", None) if number and value.kind != "note" else None
    counted = [a for a in arguments[:place] if a.kind == "int"]
    fields = (
        f'"{name}"',
        number,
        number and value.kind in ("int", "switch"),
        whole,
        0.0 if whole else float(least),
        0.0 if whole else float(most),
        0.0 if usual is None else float(usual),
        0.0 if ramp is None else float(ramp),
        command.voice,
        counted[0].most if counted else 1,
    )
    return ", ".join(str(f).lower() if isinstance(f, bool) else str(f) for f in fields)


def main(table: str, header: str) -> None:
    """Writes the C++ header for the table of messages; both are paths of files."""
    entries: dict[str, str] = {}
    for command in read_commands(Path(table)).values():
        for name in command.native:
            entries.setdefault(name, entry(name, command))
    ids = ", ".join(name.replace("-", "_") for name in entries)
    rows = "".join(f"    {{{fields}}},\n" for fields in entries.values())
    lines = [
        HEADER,
        f"enum class Id : uint16_t {{ {ids} }};\n",
        f"constexpr size_t kIds = {len(entries)};\n",
        f"constexpr Entry kCommands[kIds] = {{\n{rows}}};\n",
        "\n} // namespace sopi\n",
    ]
    Path(header).write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""`sopi messages`: every message of the instrument, from the command table. docs/reference/messages.md is that page."""

from __future__ import annotations

import argparse

from sopilib.live.commands import COMMANDS, STATUS


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("messages", help="every message that the instrument understands")
    parser.set_defaults(run=lambda args: print(table(), end=""))


def table() -> str:
    """The reference page, as Markdown."""
    lines = [
        "# Messages",
        "",
        "To the first inlet of `[samplernn~]`, or to the message inlet of `[pyext~ 1 1 1 1 samplernn_pd samplernn]`.",
        "A name with `?` after it, or without its arguments, is answered at the status outlet where *asks* says so.",
        "",
        "| message | what it does | arguments | asks |",
        "|---|---|---|---|",
    ]
    for command in COMMANDS.values():
        arguments = "; ".join(
            f"*{a.name}*: {a.expected}"
            + (f", else {_plain(a.default)}" if a.default is not None else ", or none" * a.optional)
            for a in command.arguments
        )
        usage = command.usage.replace("|", "\\|")
        lines.append(f"| `{usage}` | {command.help} | {arguments} | {'yes' if command.query else ''} |")
    lines += ["", "# What comes out of the status outlet", "", "| message | values |", "|---|---|"]
    lines += [f"| `{kind}` | {values} |" for kind, values in STATUS.items()]
    return "\n".join(lines) + "\n"


def _plain(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"

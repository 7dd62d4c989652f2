"""Writes what of the reference is made from code, beside this file:

    python docs/reference/write_reference.py

messages.md  the command table (also: sopi messages)
commands.md  every option of every sopi command
config.md    every field of a model's configuration, and what else a model's file says
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import re
from pathlib import Path

from sopilib import Config, cli
from sopilib.cli.messages import table

HERE = Path(__file__).resolve().parent


def cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;").strip()


# ---------------------------------------------------------------- commands


def parsers() -> dict[str, tuple[str, argparse.ArgumentParser]]:
    """Each command of sopi: its line of help, and its parser."""
    (commands,) = (a for a in cli.parser()._actions if isinstance(a, argparse._SubParsersAction))
    helps = {action.dest: action.help or "" for action in commands._choices_actions}
    return {name: (helps.get(name, ""), parser) for name, parser in commands.choices.items()}


def usage(action: argparse.Action) -> str:
    """An option with its value, or the name of an argument."""
    value = action.metavar
    if value is None:
        value = "{" + ", ".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()
    shown = value if isinstance(value, str) else " ".join(value)
    if not action.option_strings:
        return shown + ("..." if action.nargs in ("*", "+") else "")
    several = "..." if action.nargs in ("*", "+") and isinstance(value, str) else ""
    return ", ".join(action.option_strings) + ("" if action.nargs == 0 else f" {shown}{several}")


def commands_page() -> str:
    lines = ["# The sopi command", "", "Every command and every option. `sopi COMMAND --help` prints the same.", ""]
    for name, (help_, parser) in parsers().items():
        lines += [f"## sopi {name}", "", cell(parser.description or help_).rstrip(".") + ".", ""]
        actions = [a for a in parser._actions if a.help is not argparse.SUPPRESS and a.dest != "help"]
        if actions:
            lines += ["| option | what it does |", "|---|---|"]
        for action in actions:
            text = (action.help or "") % {"default": action.default, "prog": f"sopi {name}"}
            lines.append(f"| `{usage(action).replace('|', chr(92) + '|')}` | {cell(text)} |")
        lines.append("")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


# ---------------------------------------------------------------- config


def helps() -> dict[str, str]:
    """What the source says below each field; what stands below the last of several is for all of them."""
    (made,) = ast.parse(inspect.getsource(Config)).body
    assert isinstance(made, ast.ClassDef)
    found: dict[str, str] = {}
    waiting: list[str] = []
    for part in made.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            waiting.append(part.target.id)
        elif isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) and waiting:
            found[waiting[-1]] = str(part.value.value)
            waiting.clear()
    return found


def config_page() -> str:
    lines = [
        "# The configuration of a model",
        "",
        "What `sopilib.Config` has, a model's file has under `config`, and `sopi train` has options for.",
        "`sopi info MODEL` shows it of any model. [The model](../model.md) has the equations.",
        "",
        "| field | default | what it is |",
        "|---|---|---|",
    ]
    said = helps()
    for field in dataclasses.fields(Config):
        default = field.default if field.default is not dataclasses.MISSING else field.default_factory()  # type: ignore[misc]
        lines.append(f"| `{field.name}` | `{default}` | {cell(said.get(field.name) or MORE[field.name])} |")
    return "\n".join(lines) + "\n"


MORE = {
    "frame_sizes": "Samples in a frame of each tier, the smallest first, each a multiple of the one before.",
    "rnn_type": "gru or lstm.",
    "q_type": "How the levels lie: mu-law, mu-law-centred, a-law or linear; models of older systems have others.",
    "q_levels": "How many levels there are.",
    "q_scale": "See q_offset.",
    "skip_conn": "Every RNN layer reaches its tier's output.",
    "frame_scale": "See frame_offset.",
}
"""Of fields that have no text of their own in the source."""

PAGES = {"messages.md": table, "commands.md": commands_page, "config.md": config_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page())

"""Writes what of the reference is made from code, beside this file:

    python docs/reference/write_reference.py

messages.md  the command table (also: sopi messages)
commands.md  every option of every sopi command
config.md    every field of a model's configuration
file.md      a model's file: its metadata, and every tensor
python.md    what a Python program uses, from the docstrings
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import sopilib
from sopilib import Config, checkpoint, cli, hosts, live, osc, score
from sopilib.checkpoint import native
from sopilib.cli.messages import table
from sopilib.model import weights

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

# ---------------------------------------------------------------- file

METADATA = {
    "format": f"`{native.FORMAT}`. Another file of this suffix is no model, and one sentence says so.",
    "version": f"`{native.VERSION}`. A file of another version is not read.",
    "config": "JSON, an object: the [configuration](config.md). A missing field has its default; an unknown one "
    "is refused.",
    "about": "JSON, an object: what is known of the model, below. All of it may be missing.",
}
ABOUT = {
    "training": "How it was trained: `steps`, `batch`, `samples_seen`, `seconds` that it took, `held_out_seconds`, "
    "`train_bits`, `train_accuracy` and `held_out_accuracy` from 0 to 1, `held_out_bits` (a number, or one for each "
    "precision), `held_out_density_bits`, the `settings` of `sopi train`, and `files`, each with name and SHA-256.",
    "data": "What it was trained on: a sentence, or how the recordings were prepared and the `gain` they were given.",
    "licence": "Under which licence it may be used: a sentence.",
    "from": "The `name` and the `about` of the model that training went on from.",
    "features": "Of a model with features: the name, mean and deviation of each.",
    "play": "How it is best played: "
    + ", ".join(f"`{name}` from {low:g} to {high:g}" for name, (low, high) in weights.PLAY.items())
    + ", or some of these.",
    "stillness": "How still its recordings ever are: two seconds that move less than `below`, in dB, are still, and "
    "`longest` is for how many seconds they stay so.",
    "import": "Of a model from an older system: what was read, what was found, and what had to be assumed.",
}
SAID = {
    "tier{i}.input.bias": "if the tier has an input layer",
    "tier{i}.rnn{l}.recurrent": "from the layer's own state",
    "tier{i}.rnn{l}.bias": "of all gates",
    "tier{i}.up.bias": "of the same",
    "sample.layer{k}.weight": "after the tables' rows and the tier's vector are summed; `sample_relu` has the ReLUs",
}
"""Of tensors of which the source says only the shape."""
TENSOR = re.compile(r"^    ([a-z]\S+) +(\[[^\]]+\])(?: +(.+))?$", re.MULTILINE)
FILE = """# A model's file

A model is one file, `NAME.safetensors`, in the [safetensors](https://huggingface.co/docs/safetensors) format: eight
bytes that say how long the header is (little-endian), a header in JSON, and the numbers of all tensors. Nothing in it
is ever executed. Any safetensors library reads it; `sopi info FILE` prints what it says, and `sopilib.checkpoint.save`
writes it.

## What it says

The header's `__metadata__` has four strings:

| name | what it holds |
|---|---|
{metadata}

And `about` has, of these, what is known. A value of another kind than stands here is passed over.

| name | what it holds |
|---|---|
{about}

## Its tensors

{letters}

In the names, `{{i}}` counts tiers from 0, `{{l}}` the RNN layers of a tier from 0, and `{{k}}` the layers of the sample
level from 0. Matrices are [rows out, columns in]. All that the configuration asks for must be there, and nothing else.

| tensor | shape | what it is |
|---|---|---|
{tensors}

Each is float32, float16, or int8. Beside one in int8 lies `NAME.scale`, float32, of the same shape but for the last
axis, which is 1: a factor for each row. Values have to be finite.
"""


def file_page() -> str:
    said = weights.__doc__ or ""
    letters = "Tier 0" + said.partition("Tier 0")[2].partition("\n\n")[0]
    tensors = [
        f"| `{name}` | `{re.sub(' *[|] *', ' or ', shape)}` | {cell(text or SAID[name])} |"
        for name, shape, text in TENSOR.findall(said)
    ]
    return FILE.format(
        metadata="\n".join(f"| `{name}` | {cell(text)} |" for name, text in METADATA.items()),
        about="\n".join(f"| `{name}` | {cell(text)} |" for name, text in ABOUT.items()),
        letters=letters,
        tensors="\n".join(tensors),
    )


# ---------------------------------------------------------------- python

MODULES: dict[ModuleType, tuple[str, ...]] = {
    sopilib: ("load", "Model", "Config", "Engine", "SopiError", "SopiWarning"),
    checkpoint: ("save", "say_about"),
    live: ("Performer",),
    hosts: tuple(hosts.__all__),
    osc: tuple(osc.__all__),
    score: tuple(score.__all__),
}
"""Where a program finds what it uses, and what."""


def prose(text: str) -> str:
    """A line of a docstring, in Markdown; what stands in backticks as it is."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(x if x.startswith("`") else re.sub(r"([<*\[])", r"\\\1", x) for x in parts)


def described(docstring: str) -> Iterator[str]:
    """A docstring in Markdown: paragraphs, and lists of arguments where it has names in a column."""
    for block in docstring.split("\n\n"):
        listed = False
        for line in block.splitlines():
            if made := re.match(r"([a-z]\w*(?:, [a-z]\w*)*)  +(?=\S)(.*)", line):
                if not listed:
                    yield ""
                yield f"- `{made[1]}`: {prose(made[2])}"
                listed = True
            elif listed and line.startswith("  "):
                yield f"  {prose(line.strip())}"
            elif line.startswith("    "):
                yield line
            else:
                if listed:
                    yield ""
                yield prose(line.strip())
                listed = False
        yield ""


def parameter(p: inspect.Parameter) -> str:
    """An argument with its type and its default; "..." where that is made anew each time."""
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(p.kind, "")
    typed = "" if p.annotation is inspect.Parameter.empty else f": {p.annotation}"
    shown = repr(p.default)
    default = "" if p.default is inspect.Parameter.empty else f" = {'...' if shown.startswith('<') else shown}"
    return f"{stars}{p.name}{typed}{default}".replace("'", '"')


def signature(name: str, thing: Any) -> str:
    """How it is called, in a line or, if that is long, a line for each argument."""
    made = inspect.signature(thing)
    parameters = [parameter(p) for p in made.parameters.values() if p.name not in ("self", "cls")]
    given = made.return_annotation
    gives = "" if given in (inspect.Signature.empty, None, "None") else f" -> {given}"
    line = f"{name}({', '.join(parameters)}){gives}"
    return line if len(line) <= 76 else f"{name}(\n    " + ",\n    ".join(parameters) + f",\n){gives}"


def members(made: type) -> Iterator[tuple[str, Any, bool]]:
    """Name, what has the docstring, whether it is called: of everything public in a class."""
    for name, member in vars(made).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            yield name, member, False
        elif inspect.isfunction(member):
            yield name, member, True
        elif isinstance(member, (classmethod, staticmethod)):
            yield name, member.__func__, True


def entry(where: str, name: str, thing: Any) -> Iterator[str]:
    """What stands of a function or class, and of all that is public in it."""
    yield from (f"### {name}", "")
    if not inspect.isclass(thing) or not issubclass(thing, Exception):
        yield from ("```text", signature(f"{where}.{name}", thing), "```", "")
    yield from described(inspect.getdoc(thing) or "")
    for member, has, called in members(thing) if inspect.isclass(thing) else ():
        yield from (f"#### {name}.{member}", "")
        if called:
            yield from ("```text", signature(member, has), "```", "")
        yield from described(inspect.getdoc(has) or "")


PYTHON = """# Python

Everything that a program of yours uses, made of the docstrings. [Python for people](../python.md) has pieces that run,
for a beginning. Shapes are as numpy writes them, sounds are float32 from -1 to 1, codes are whole numbers from 0. What
is wrong with an argument raises `sopilib.SopiError`, one sentence, where nothing else is said.
"""


def python_page() -> str:
    lines = [PYTHON]
    for module, names in MODULES.items():
        lines += [f"## {module.__name__}", ""]
        for name in names:
            lines += entry(module.__name__, name, getattr(module, name))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


PAGES = {
    "messages.md": table,
    "commands.md": commands_page,
    "config.md": config_page,
    "file.md": file_page,
    "python.md": python_page,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page())

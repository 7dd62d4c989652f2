"""The reference has a place for every message, status event, option and field, and is what the code says."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import itertools
import json
import re
import struct
from pathlib import Path
from types import ModuleType

import pytest
from osc_stage import Stage

import sopilib
from sopilib import Config, Model, checkpoint, cli, hosts, live, osc, score
from sopilib.live import COMMANDS, STATUS
from sopilib.model.weights import shapes
from sopilib.osc import query

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference"


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_reference", REFERENCE / "write_reference.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["messages.md", "commands.md", "config.md", "file.md", "python.md"])
def test_a_page_of_the_reference_is_what_the_code_says(writer: ModuleType, name: str) -> None:
    assert (REFERENCE / name).read_text() == writer.PAGES[name](), "run python docs/reference/write_reference.py"


def test_every_message_and_every_status_event_has_its_place() -> None:
    messages, told = (REFERENCE / "messages.md").read_text().split("# What comes out of the status outlet")
    assert [name for name in COMMANDS if f"\n| `{name}" not in messages] == []
    assert [kind for kind in STATUS if f"\n| `{kind}` | " not in told] == []


def test_every_osc_address_has_its_place(pd_models: Path) -> None:
    page = (REFERENCE / "messages.md").read_text()
    of_osc = page.partition("# In OSC")[2].partition("\n# ")[0]
    verbs = re.findall(r"^\| `/samplernn/(\w+)", of_osc, re.MULTILINE)
    stage = Stage()
    try:
        served = query.tree(stage.instances)["CONTENTS"]["samplernn"]["CONTENTS"]["left"]["CONTENTS"]
        assert [name for name in served if f"\n| `{name}" not in page] == []
        stage.controller.send("/samplernn/left/temperature", "hot")
        stage.controller.send("/samplernn/nonsense")
        wrong, refusal = stage.controller.heard(until="/samplernn/error")
        assert f"`{wrong[0].replace('left', '<name or number>')}`" in of_osc and f"`{refusal[0]}`" in of_osc
        assert [verb for verb in re.findall(r"subscribe|\bun\w+|refresh", refusal[1][0]) if verb not in verbs] == []
        for verb in [*verbs, "subscribe"]:
            if verb != "error":
                stage.controller.send(f"/samplernn/{verb}", *([1234] if verb == "confirm" else []))
        stage.left.handle("gain", 0.25)
        said = stage.controller.heard(until=lambda said: ("/samplernn/left/gain", (0.25,)) in said)
        assert [address for address, _ in said if address.endswith("/error")] == []
        assert [address for address, _ in said if f"\n| `{address.split('/')[-1]}" not in page] == []
    finally:
        stage.close()


def test_every_option_of_every_command_has_its_place() -> None:
    sections = (REFERENCE / "commands.md").read_text().split("\n## sopi ")
    pages = {section.partition("\n")[0]: section for section in sections[1:]}
    (commands,) = (a for a in cli.parser()._actions if isinstance(a, argparse._SubParsersAction))
    assert set(pages) == set(commands.choices)
    for name, parser in commands.choices.items():
        for action in parser._actions:
            if action.help is not argparse.SUPPRESS and action.dest != "help":
                assert all(option in pages[name] for option in action.option_strings), (name, action.option_strings)


def test_every_field_of_a_models_configuration_has_its_place() -> None:
    page = (REFERENCE / "config.md").read_text()
    assert [field.name for field in dataclasses.fields(Config) if f"\n| `{field.name}` | " not in page] == []


def names_in_table(page: str, heading: str) -> list[str]:
    """What stands in the first column of the table that follows some words."""
    rows = page.partition(heading)[2].partition("|---|")[2].partition("\n\n")[0]
    return re.findall(r"^\| `([^`]+)` \|", rows, re.MULTILINE)


def test_the_page_on_a_models_file_names_what_stands_in_one(tmp_path: Path) -> None:
    page = (REFERENCE / "file.md").read_text()
    checkpoint.save(Model.random(Config(frame_sizes=[4, 16], dim=8)), tmp_path / "mine.safetensors", "int8")
    content = (tmp_path / "mine.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    assert names_in_table(page, "four strings") == [
        name for name in ("format", "version", "config", "about") if name in header["__metadata__"]
    ]
    assert len(header["__metadata__"]) == 4
    kinds = {tensor["dtype"] for name, tensor in header.items() if name != "__metadata__"}
    assert kinds == {"I8", "F32"}
    assert header["sample.tables.scale"]["shape"] == [*header["sample.tables"]["shape"][:-1], 1]
    known = set(names_in_table(page, "what is known. A value"))
    for name in ("tabla", "drums", "piano", "voice"):
        about = sopilib.load(name).about
        assert set(about) <= known
        assert [key for key in about["training"] if f"`{key}`" not in page] == []


@pytest.mark.parametrize("rnn_type", ["gru", "lstm"])
@pytest.mark.parametrize("skip", ["", "output", "full"])
@pytest.mark.parametrize("features", [0, 2])
def test_the_page_on_a_models_file_has_the_name_and_shape_of_every_tensor(
    rnn_type: str, skip: str, features: int
) -> None:
    page = (REFERENCE / "file.md").read_text()
    rows = re.findall(r"^\| `((?:tier|sample)\S+)` \| `\[(.+?)\]` \|", page, re.MULTILINE)
    c = Config(
        frame_sizes=[4, 24],
        dim=6,
        mlp_dim=10,
        num_rnn_layers=2,
        rnn_type=rnn_type,
        skip_conn=bool(skip),
        skip_style=skip or "output",
        features=features,
        input_layer=False,
    )
    letters = {"D": c.dim, "W": c.mlp_dim, "G": c.gates, "q": c.q_levels, "f": c.frame_sizes[0], "F": features}
    for name, shape in shapes(c).items():
        tier = (re.findall(r"^tier(\d+)", name) or ["0"])[0]
        pattern = re.sub(r"tier\d", "tier{i}", re.sub(r"rnn\d", "rnn{l}", re.sub(r"layer\d", "layer{k}", name)))
        written = dict(rows).get(pattern) or dict(rows)[name]
        of_tier = {"n": c.frame_sizes[int(tier)], "r": c.ratio(int(tier)), "V": c.width_below(int(tier))}
        sides = {**letters, **of_tier, "out": shape[0], "in": shape[-1], "2D": 2 * c.dim}
        axes = [axis.split(" or ") for axis in written.split(", ")]
        numbers = [{sides[side] if side in sides else c.gates * c.dim for side in axis} for axis in axes]
        meant = list(itertools.product(*numbers))
        assert shape in meant, (name, written)


def test_the_reference_of_python_has_every_public_thing() -> None:
    page = (REFERENCE / "python.md").read_text()
    for module in (sopilib, live, hosts, osc, score):
        for name in module.__all__:
            thing = getattr(module, name)
            if not callable(thing):
                continue  # a table, which is a page of its own, or a number
            section = page.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
            assert section.strip(), name
            for member in vars(thing) if isinstance(thing, type) else ():
                public = not member.startswith("_") and (
                    callable(thing.__dict__[member]) or isinstance(thing.__dict__[member], property)
                )
                assert not public or f"\n#### {name}.{member}\n" in section, (name, member)

"""The reference has a place for every message, status event, option and field, and is what the code says."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from sopilib import Config, cli
from sopilib.live import COMMANDS, STATUS

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference"


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_reference", REFERENCE / "write_reference.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["messages.md", "commands.md", "config.md"])
def test_a_page_of_the_reference_is_what_the_code_says(writer: ModuleType, name: str) -> None:
    assert (REFERENCE / name).read_text() == writer.PAGES[name](), "run python docs/reference/write_reference.py"


def test_every_message_and_every_status_event_has_its_place() -> None:
    messages, told = (REFERENCE / "messages.md").read_text().split("# What comes out of the status outlet")
    assert [name for name in COMMANDS if f"\n| `{name}" not in messages] == []
    assert [kind for kind in STATUS if f"\n| `{kind}` | " not in told] == []


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

"""The class samplernn under a pyext that is not ours: it has no rings and doesn't tell how many signals the box has."""

from __future__ import annotations

import importlib.util
import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
from osc_client import free_port
from osc_stage import wait_for

import sopilib
from sopilib import checkpoint
from sopilib.osc import kept_token

BLOCK = 64
CLASS = Path(__file__).resolve().parents[1] / "pd" / "samplernn_pd.py"

pytestmark = pytest.mark.usefixtures("pd_models")


class OtherPyext(ModuleType):
    """What classes find as `pyext` in the original: a base class, Pd's rate and block, arrays."""

    def __init__(self, inlets: int, outlets: int) -> None:
        super().__init__("pyext")
        # As in Pd: what comes in and what goes out are the same memory.
        memory = np.zeros((max(inlets, outlets), BLOCK), np.float32)
        self.incoming, self.outgoing = memory[:inlets], memory[:outlets]
        self.sent: list[Any] = []
        other = self

        class _class:
            def _outlet(self, n: int, *message: Any) -> None:
                other.sent.append(message)

            def _invec(self, i: int) -> np.ndarray:
                return other.incoming[i]

            def _outvec(self, i: int) -> np.ndarray:
                return other.outgoing[i]

        self._class = _class

    def _samplerate(self) -> float:
        return 48000.0

    def _blocksize(self) -> int:
        return BLOCK


def read_class() -> ModuleType:
    """The module of the class, read anew; it imports the `pyext` of this moment."""
    spec = importlib.util.spec_from_file_location("samplernn_pd", CLASS)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes a samplernn of so many signal inlets and outlets: -> the object, the module pyext, its own module."""
    made = []

    def make(inlets: int, outlets: int, *arguments: Any, batch: bool = True) -> tuple[Any, OtherPyext, ModuleType]:
        other = OtherPyext(inlets, outlets)
        monkeypatch.setitem(sys.modules, "pyext", other)
        module = read_class()
        monkeypatch.setattr(module, "pd_is_batch", lambda: batch)
        made.append(module.samplernn(*arguments))
        return made[-1], other, module

    yield make
    for each in made:
        each._del()


def test_another_pyext_gets_all_outlets_written_and_its_temperature_signal_is_heard(objects: Any) -> None:
    signals = ("signal-inlets", 2, "signal-outlets", 3)

    def sound(warmth: float) -> np.ndarray:
        one, other, _ = objects(2, 3, "small", *signals, "temperature", 0.5)
        one._init()
        one._dsp()
        one._anything_(3, "generate")
        taken = []
        for _ in range(200):
            other.incoming[0], other.incoming[1] = 0.9, warmth
            one._signal()
            taken.append(other.outgoing.copy())
        assert not [m for m in other.sent if m[0] == "error"], other.sent
        return np.concatenate(taken, axis=1)[:, 4800:]

    cold, warm = sound(0), sound(4)
    assert (cold.std(axis=1) > 0.001).all(), "each voice sounds"
    assert not np.array_equal(cold, warm)
    assert not np.array_equal(warm[0], warm[1])
    assert not (cold == np.float32(0.9)).any(), "nothing that came in goes out"


def test_a_box_is_reached_by_osc_only_when_it_is_made(objects: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, a message that waits for Pd (`seed <array>`) and Pd, which makes the box, could wait for each other."""
    one, _, module = objects(1, 1, "small", "name", "left")
    restored = []
    restore = one.performer.restore
    monkeypatch.setattr(
        one.performer,
        "restore",
        lambda settings: (restored.append(len(module.INSTANCES.all)), restore(settings)),  # type: ignore[func-returns-value]
    )
    assert not module.INSTANCES.all
    one._init()
    assert restored == [0]
    assert [instance.name for instance in module.INSTANCES.all] == ["left"]


def test_a_box_without_message_outlets_plays_and_tells_nothing(objects: Any) -> None:
    one, other, _ = objects(1, 1, "small")
    one._outlets = 0  # as pyext sets it for [pyext~ 1 0 1 1 ...]
    one._init()
    one._anything_(1, "generate")
    assert one.performer.state.playing
    assert not other.sent
    assert not one.waiting


def test_an_osc_port_that_cannot_be_had_at_another_address_stays_open_where_it_is(objects: Any) -> None:
    one, other, module = objects(1, 1, "small")
    one._init()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    one._anything_(1, "osc", port)
    one._anything_(1, "osc", port, "192.0.2.1")
    one._anything_(1, "osc", float("nan"))
    assert [m[0] for m in other.sent].count("error") == 2
    assert [(server.host, server.port) for server in module.SERVERS.values()] == [("127.0.0.1", port)]
    one._anything_(1, "osc", 0)
    assert not module.SERVERS


def test_the_page_opens_moves_and_closes_beside_osc(
    objects: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    one, other, module = objects(1, 1, "small")
    one._init()
    port = free_port()

    def info() -> Any:
        with urlopen(f"http://127.0.0.1:{port}/?HOST_INFO") as answer:
            return json.load(answer)

    one._anything_(1, "osc", port)  # has OSCQuery at this port, until the page's server has it
    one._anything_(1, "web", port)
    url = other.sent[-1][1][0]
    assert url == f"http://127.0.0.1:{port}/{kept_token()}/"
    with urlopen(url) as answer:
        assert b"SampleRNN" in answer.read()
    assert info()["OSC_PORT"] == port
    one._anything_(1, "osc", port, "0.0.0.0")  # moves, and leaves the page where it is
    assert info()["OSC_PORT"] == port
    one._anything_(1, "web", "open")
    wait_for(lambda: opened == [url])
    for wrong in (("web", port, "192.0.2.1"), ("web", 0.5), ("web", port, "127.0.0.1", "x")):
        one._anything_(1, *wrong)
        assert other.sent[-1][0] == "error"
        assert info()["OSC_PORT"] == port
    one._anything_(1, "settings")
    kept = other.sent[-1][1]
    assert kept[kept.index("web") : kept.index("web") + 2] == ("web", port)
    one._anything_(1, "osc", 0)
    assert info()["OSC_PORT"] == 0
    one._anything_(1, "web", 0)
    assert other.sent[-1] == ("web", (0,))
    assert not module.PAGES


def test_an_empty_list_asks_for_the_status(objects: Any) -> None:
    one, other, _ = objects(1, 1, "small")
    one._init()
    other.sent.clear()
    one._anything_(1)
    assert "temperature" in [message[0] for message in other.sent]


def test_the_settings_of_a_model_that_has_its_own_are_taken_back_without_an_error(
    objects: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = sopilib.load("small")
    model.about["play"] = {"temperature": 0.8, "rest": 1.0}
    (tmp_path / "own").mkdir()
    checkpoint.save(model, tmp_path / "own" / "own.safetensors")
    monkeypatch.setenv("SOPI_MODELS", str(tmp_path))
    one, other, _ = objects(1, 1, "own")
    one._init()
    one._anything_(1, "settings")
    kept = [m for m in other.sent if m[0] == "settings"][-1][1]
    assert dict(zip(kept[::2], kept[1::2]))["own"] == "temperature rest"
    again, new, _ = objects(1, 1)
    again._init()
    again._anything_(1, "settings", *kept)
    assert not [m for m in new.sent if m[0] == "error"]
    assert again.performer.state["temperature"] == 0.8
    assert again.performer.settings()["own"] == "temperature rest"


def test_a_knob_that_moves_does_not_send_all_settings_again(objects: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other, _ = objects(1, 1, "small")
    one._init()
    one._anything_(1, "settings")
    other.sent.clear()
    asked = []
    settings = one.performer.settings
    monkeypatch.setattr(one.performer, "settings", lambda: [asked.append(1), settings()][1])  # type: ignore[func-returns-value]
    for step in range(50):
        one._anything_(1, "temperature", 0.5 + step / 100)
    assert [m for m in other.sent if m[0] in ("changed", "settings")] == [("changed", ())] and not asked
    one._anything_(1, "settings")
    assert len(asked) == 1
    kept = dict(zip(other.sent[-1][1][::2], other.sent[-1][1][1::2]))
    assert kept["temperature"] == pytest.approx(0.99) and kept["model"] == "small"


def test_pd_plays_in_real_time_where_the_system_does_not_say_how_it_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyext", OtherPyext(1, 1))
    module = read_class()
    monkeypatch.setattr(module, "COMMAND_LINE", tmp_path / "cmdline", raising=False)
    (tmp_path / "cmdline").write_bytes(b"pd\0-batch\0")
    assert module.pd_is_batch() is True
    (tmp_path / "cmdline").unlink()
    assert module.pd_is_batch() is False  # ps tells of this process, which is none
    monkeypatch.setenv("PATH", str(tmp_path))
    assert module.pd_is_batch() is False

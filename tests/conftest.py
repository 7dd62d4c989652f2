"""What all tests share: small models, performers, marks that say what a test needs, and what became of real time.

Marks are given here, by what a module imports and which fixtures a test takes, so that no test is marked by hand:

    pd        needs Pure Data, and the external built for it
    jack      needs JACK
    display   needs an X server (Xvfb is started)
    alone     needs the machine for itself: real-time priority, JACK, a screen, or a judgement of its timing
    long      is given by hand; `make test` leaves it out, `make test-long` runs it
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Before anything imports torch: several processes test side by side, and waiting threads must not spin.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import hypothesis
import pytest
import stream_host
from filelock import FileLock
from jack_host import dummy_jack

import sopilib
from sopilib import checkpoint
from sopilib.live import Performer

pytest_plugins = ["pyext_host", "local_ray"]

hypothesis.settings.register_profile("any machine", deadline=None)  # however slow it is
hypothesis.settings.load_profile("any machine")

SMALL: dict[str, Any] = {"frame_sizes": [4, 16], "dim": 32, "mlp_dim": 32}
BY_IMPORT = {"pd_host": ("pd",), "pd_example": ("pd",), "pyext_host": ("pd",), "realtime": ("pd", "jack", "alone")}
BY_FIXTURE = {"pd_program": ("pd",), "jack_server": ("jack", "alone"), "display": ("display", "alone")}


# ---------------------------------------------------------------- marks


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function):
            for name in needs(item):
                item.add_marker(name)
    if "long" not in config.option.markexpr:
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


def needs(item: pytest.Function) -> set[str]:
    """The marks of a test: by the modules that its own module imports from, its fixtures, and whether it is judged
    in real time or starts a Pd that runs in real time."""
    imported = {getattr(value, "__module__", None) for value in vars(item.module).values()}
    marks = {mark for module, given in BY_IMPORT.items() if module in imported for mark in given}
    marks |= {mark for fixture, given in BY_FIXTURE.items() if fixture in item.fixturenames for mark in given}
    module, called = vars(item.module), item.function.__code__.co_names
    if "in_real_time" in called or ("pd" in marks and {"start", "live", "live_until"} & set(called) & set(module)):
        marks.add("alone")
    return marks


# ---------------------------------------------------------------- real time


class RealTime:
    """Counts the tests that held in real time, those that held only at a later try, and those that could not be judged
    because the machine was late. A run in which not a single one could be judged fails."""

    def __init__(self) -> None:
        self.held = 0
        self.later: list[str] = []
        self.unjudged: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        item.user_properties.extend(stream_host.VERDICTS)
        stream_host.VERDICTS.clear()
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "teardown":  # which has the properties of all phases
            return
        for verdict, words in report.user_properties:
            self.held += verdict == "held"
            if verdict == "not judged":
                self.unjudged.append(f"{report.nodeid}: {words}")
            elif verdict == "held" and words:
                self.later.append(f"{report.nodeid}: {words}")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unjudged and not self.held and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        say, of = terminalreporter.write_line, self.held + len(self.unjudged)
        if of:
            terminalreporter.section("real time")
            say(f"real-time tests that could not be judged: {len(self.unjudged)} of {of}")
        for line in self.unjudged:
            say(line)
        if self.later:
            say(f"that held only at a later try: {len(self.later)} of {of}")
        for line in self.later:
            say(line)
        if self.unjudged and not self.held:
            say("None could be judged, so this run fails: run it again when the machine has less to do.", red=True)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(RealTime())


# ---------------------------------------------------------------- models and performers


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that `make` fills once for all processes of a run: the others wait until it is whole."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, done = root / name, root / f"{name}.done"
    with FileLock(root / f"{name}.lock"):
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def pd_models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small models that play anything: `small` and `other` at 16 kHz, and `large`, as wide as they come."""
    shapes: dict[str, dict[str, Any]] = {
        "small": SMALL,
        "other": SMALL,
        "large": {"frame_sizes": [16, 64], "dim": 1024, "mlp_dim": 128},
    }

    def make(folder: Path) -> None:
        for seed, (name, shape) in enumerate(shapes.items()):
            (folder / name).mkdir()
            model = sopilib.Model.random(sopilib.Config(**shape), seed=seed)
            checkpoint.save(model, folder / name / f"{name}.safetensors")

    return made_once(tmp_path_factory, "pd-models", make)


@pytest.fixture
def pd_models(pd_models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pd and its children find them by name."""
    monkeypatch.setenv("SOPI_MODELS", str(pd_models_folder))
    return pd_models_folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the module's own with the models `one`, at 16 kHz, and `two`, at 22.05 kHz."""
    folder = tmp_path_factory.mktemp("models")
    for name, seed, rate in (("one", 1, 16000), ("two", 2, 22050)):
        model = sopilib.Model.random(sopilib.Config(**SMALL, sample_rate=rate), seed=seed)
        (folder / name).mkdir()
        checkpoint.save(model, folder / name / f"{name}.safetensors")
    return folder


@pytest.fixture
def make(models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[Performer, list[Any]]]]:
    """Makes performers that find these models, each with the list of what it tells; they are closed in the end."""
    monkeypatch.setenv("SOPI_MODELS", str(models))
    made = []

    def make_(freewheel: bool = True, rate: int | None = 48000, **options: Any) -> tuple[Performer, list[Any]]:
        told: list[Any] = []
        performer = Performer(status=lambda *event: told.append(event), freewheel=freewheel, **options)
        if rate:
            performer.host(rate, 64)
        made.append(performer)
        return performer, told

    yield make_
    for performer in made:
        performer.close()


# ---------------------------------------------------------------- programs


@pytest.fixture
def pd_program() -> str:
    """Pure Data's program, for tests that run it by themselves."""
    found = shutil.which("pd")
    assert found, "there is no pd here: make setup-test installs it"
    return found


@pytest.fixture
def jack_server() -> Iterator[dict[str, str]]:
    """The environment in which programs find a JACK that runs with the dummy driver."""
    with dummy_jack() as environment:
        yield environment

"""`sopi doctor`: what is missing on this machine, and how to get it."""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sopilib import Config, Model, library, load, needed, pd_folder, shipped
from sopilib.errors import SopiError
from sopilib.names import shown

TESTED = (3, 14)
"""The newest Python that all this was tried with."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for: a line of the report."""

    what: str
    found: str | None
    """What is there, in a few words; None: it is missing."""
    how: str
    """What to do if it is missing."""
    needed_for: str = "playing"


def findings() -> Iterator[Finding]:
    """Looks for everything that playing and training need, one by one."""
    from sopilib.cli.play import program, sound_output

    yield _python()
    try:
        from sopilib.native import _native

        yield Finding("native engine", f"built, {_native.instruction_set('auto')}", "")
    except ImportError as e:
        yield Finding("native engine", None, f"run make play ({e})")
    yield _found("Pure Data", lambda: program("pd"))
    yield _found("pyext external", lambda: str(pd_folder.external()))
    yield from _search()
    yield _folder()
    for folder in library.own_folders():
        if not folder.is_dir():
            yield Finding(f"SOPI_MODELS: {shown(folder)}", None, "make it, or set another", "its models")
    for name in ("PYTHONHOME", "PYTHONPATH"):
        if os.environ.get(name):
            yield Finding(name, f"is {os.environ[name]}: {_what_becomes_of(name)}", "")
    models = ", ".join(library.available())
    yield Finding("models", models or None, "set SOPI_MODELS to a folder of models")
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    yield Finding("display", display, "without one, make play renders to a file", "the window")
    yield Finding("sound card", sound_output(), "without one, make play renders to a file", "hearing it live")
    limit = _real_time_priority()
    yield Finding(
        "real-time priority",
        limit,
        "add your user to the audio group (apt install jackd2 sets its limits)",
        "steady sound under load",
    )
    yield Finding("PortAudio", _portaudio(), "apt install libportaudio2", "sopi serve")
    for module, extra, use in (
        ("torch", "train", "training"),
        ("matplotlib", "train", "pictures of sounds"),
        ("zeroconf", "zeroconf", "controllers that find the OSC port by themselves"),
    ):
        have = importlib.util.find_spec(module) is not None
        yield Finding(module, "installed" if have else None, needed.pip(f"sopilib[{extra}]"), use)


def _portaudio() -> str | None:
    try:
        import sounddevice
    except (ImportError, OSError):
        return None
    return str(sounddevice.get_portaudio_version()[1])


def _python() -> Finding:
    version, numbers = platform.python_version(), sys.version_info[:2]
    found = f"{version} at {sys.executable}" + ("" if numbers <= TESTED else " (newer than any that was tested)")
    how = "install Python 3.11 or a later one, and sopilib in it again"
    return Finding("Python from 3.11 on", found if numbers >= (3, 11) else None, how)


def _found(what: str, look: Callable[[], str]) -> Finding:
    """What `look` gives, or what its SopiError says."""
    try:
        return Finding(what, look(), "")
    except SopiError as e:
        return Finding(what, None, str(e))


def _search() -> Iterator[Finding]:
    """Which Python the external takes when Pd is started by itself, and which it has seen before it and can't run."""
    try:
        search = ctypes.CDLL(str(pd_folder.external())).sopi_pyext_search
    except (SopiError, OSError, AttributeError):
        return  # that there is no such external was told already
    text = ctypes.create_string_buffer(1 << 16)
    found = search(text, len(text))
    lines = os.fsdecode(text.value).splitlines()
    what, how = "Python of a Pd that is started by itself", lines[-1] if lines else ""
    if not found:
        yield Finding(what, None, how, "that")
    for line in lines:
        verdict, _, words = line.partition(" ")
        if verdict in ("takes", "passes"):
            yield Finding(what if verdict == "takes" else "Python that Pd passes over", words, "")


def _folder() -> Finding:
    """Whether Pd finds [samplernn~] by itself."""
    folder = pd_folder.externals_folder() / pd_folder.NAME
    how = "sopi play makes it; without it, start Pd by sopi pd" if shipped.installed() else "start Pd by sopi pd"
    return Finding("folder for a Pd that is started by itself", str(folder) if folder.is_dir() else None, how, "that")


def _what_becomes_of(name: str) -> str:
    if sys.flags.ignore_environment:
        return "passed over by sopi; for other programs, unset it if that is of another Python"
    return "unset it if that is of another Python"


def _real_time_priority() -> str | None:
    import resource

    limit = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
    if os.geteuid() == 0:
        return "allowed (root)"
    return f"up to {limit}" if limit > 0 else None


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `sopi doctor` and its options."""
    parser = commands.add_parser("doctor", help="what is missing on this machine, and how to get it")
    parser.add_argument(
        "--gpu",
        nargs="?",
        const="",
        metavar="DEVICE",
        help="check that takes can be made on the GPU: what it computes against the native engine, and how fast; DEVICE"
        " is torch's name for one, such as cuda:1",
    )
    parser.add_argument("--model", help="that the GPU is checked with; default: one with random weights")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints what was found and what is missing; returns 0 if nothing that playing needs is missing, else 1. With
    --gpu: 0 if there is one that computes what it should."""
    if args.gpu is not None:
        return _gpu(args.gpu, args.model)
    missing = 0
    for f in findings():
        if f.found is not None:
            print(f"  ok       {f.what}: {f.found}")
        else:
            missing += f.needed_for == "playing"
            print(f"  MISSING  {f.what}, for {f.needed_for}: {f.how}")
    return 1 if missing else 0


def _gpu(device: str, name: str | None) -> int:
    try:
        from sopilib.engine.batch import best_device
        from sopilib.engine.check import checks
    except ImportError as e:
        raise SopiError(f"a GPU needs PyTorch ({e}): {needed.pip('sopilib[train]')}") from None
    device = device or best_device()
    if not device:
        raise SopiError("torch sees no GPU here: takes are made by the processor, and --gpu cpu checks the rest")
    shape = Config(frame_sizes=[16, 64], dim=64 if device == "cpu" else 512, mlp_dim=128)
    wrong = 0
    for check in checks(load(name) if name else Model.random(shape), device):
        wrong += not check.well
        print(f"  {'ok      ' if check.well else 'WRONG   '} {check.what}: {check.found}", flush=True)
    return 1 if wrong else 0

"""Real Pd for tests: write a patch, run it without a window, read what it printed."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ["-path", str(ROOT / "pd"), "-path", str(ROOT / "pd" / "pyext"), "-lib", "sopi"]


@dataclass
class Patch:
    """A patch as text, object by object. `$`, `,` and `;` are escaped here."""

    lines: list[str] = field(default_factory=list)
    count: int = 0
    begin: str = "loadbang"
    """The object whose bang is logical time 0."""

    def add(self, kind: str, text: str) -> int:
        self.lines.append(f"#X {kind} {10 + 90 * (self.count % 8)} {10 + 25 * self.count} {escape(text)};")
        self.count += 1
        return self.count - 1

    def obj(self, text: str) -> int:
        return self.add("obj", text)

    def msg(self, text: str) -> int:
        return self.add("msg", text)

    def connect(self, source: int, outlet: int, target: int, inlet: int = 0) -> None:
        self.lines.append(f"#X connect {source} {outlet} {target} {inlet};")

    def sub(self, name: str) -> None:
        """An empty subpatch, for dynamic patching through the receive name pd-<name>."""
        self.lines.append(f"#N canvas 0 0 300 200 {name} 0;")
        self.add("restore", f"pd {name}")

    def chain(self, *objects: int) -> int:
        """First outlet to first inlet, one after the other -> the last."""
        for source, target in zip(objects, objects[1:]):
            self.connect(source, 0, target)
        return objects[-1]

    def at(self, ms: float, message: str, target: int, inlet: int = 0) -> None:
        """Sends `message` to `target` at logical time `ms` after the patch was opened, or after its `begin`."""
        box = self.chain(self.obj(self.begin), self.obj(f"delay {ms}"), self.msg(message))
        self.connect(box, 0, target, inlet)

    def wait_for_go(self) -> int:
        """Time 0 of what is added from now on comes when `go` is sent to the TCP port that this returns."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        self.chain(self.obj(f"netreceive {port}"), self.obj("route go"), self.obj("s go"))
        self.begin = "r go"
        return port

    def record(
        self, path: Path, source: int, ms: float, outlet: int = 0, rate: int = 48000, begin: float = 0, rest: float = 10
    ) -> None:
        """Writes `ms` of a signal to a WAV file of 32-bit floats, from logical time `begin`, every frame of it.
        It does so `rest` ms after they are over."""
        array = f"record-{self.count}"
        self.obj(f"array define {array} {round(ms * rate / 1000)}")
        writer = self.obj(f"tabwrite~ {array}")
        self.connect(source, outlet, writer)
        self.at(begin, "bang", writer)
        self.at(begin + ms + rest, f"write -wave -bytes 4 {path} {array}", self.obj("soundfiler"))

    def quit(self, ms: float) -> None:
        self.at(ms, "quit", self.obj("s pd"))

    def print(self, source: int, outlet: int, label: str) -> None:
        self.connect(source, outlet, self.obj(f"print {label}"))

    def write(self, path: Path) -> Path:
        text = "#N canvas 0 0 700 500 12;\n" + "\n".join(self.lines) + "\n"
        path.write_text(text, "utf-8", "surrogateescape")
        return path


def escape(text: str) -> str:
    return text.replace("$", "\\$").replace(", ", " \\, ").replace("; ", " \\; ")


def command(patch: Path, *flags: str, batch: bool = True, rate: int = 48000, dsp: bool = True) -> list[str]:
    return [
        "pd", "-nogui", "-noprefs", *([] if "-jack" in flags else ["-noaudio"]), "-r", str(rate),
        *FLAGS, *(["-batch"] if batch else []), *flags, "-open", str(patch),
        *(["-send", "pd dsp 1"] if dsp else []),
    ]  # fmt: skip


@dataclass
class Result:
    code: int
    out: str
    """Everything that Pd printed."""
    seconds: float

    def printed(self, label: str) -> list[str]:
        """What [print label] printed, without Pd's escapes."""
        lines = [line.split(": ", 1)[1] for line in self.out.splitlines() if line.startswith(f"{label}: ")]
        return [re.sub(r"\\(.)", r"\1", line) for line in lines]

    def errors(self) -> list[str]:
        """Lines that Pd shows in red, and failures to make objects."""
        marks = ("error:", "couldn't create", "Traceback", "no method", "connection failed")
        return [line for line in self.out.splitlines() if any(m in line for m in marks)]


def run(
    patch: Path,
    *flags: str,
    timeout: float = 60,
    environment: dict[str, str] | None = None,
    program: Sequence[str] = ("pd",),
    **options,
) -> Result:
    """Runs Pd until it ends by itself (the patch sends `pd quit`)."""
    begin = time.monotonic()
    done = subprocess.run(
        [*program, *command(patch, *flags, **options)[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        timeout=timeout,
        env={**os.environ, **(environment or {})},
        cwd=patch.parent,
    )
    return Result(done.returncode, done.stdout.decode(errors="replace"), time.monotonic() - begin)


def start(patch: Path, *flags: str, environment: dict[str, str] | None = None, **options) -> subprocess.Popen:
    """Starts Pd in real time, without sound card, for the caller to end."""
    return subprocess.Popen(
        command(patch, *flags, batch=False, **options),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
        cwd=patch.parent,
    )


def said_until(process: subprocess.Popen, last: str, seconds: float = 60) -> str:
    """What Pd prints up to the first line with this in it."""
    said, limit = "", threading.Timer(seconds, process.kill)
    limit.start()
    try:
        while last not in said:
            line = process.stdout.readline() if process.stdout else b""
            assert line, f"{last} was not printed, but {said}"
            said += line.decode(errors="replace")
    finally:
        limit.cancel()
    return said


def end(process: subprocess.Popen, number: int = signal.SIGTERM, within: float = 60) -> tuple[int, float, str]:
    """Sends a signal -> exit status, seconds that it took, what was printed."""
    begin = time.monotonic()
    process.send_signal(number)
    out, _ = process.communicate(timeout=within)
    return process.returncode, time.monotonic() - begin, out.decode(errors="replace")

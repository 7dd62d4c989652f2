"""Real Pd without a window, with the external built from source, for tests of the external itself."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
EXTERNAL = REPOSITORY / "pd" / "pyext"


class Patch:
    """A Pd patch, as text. `obj` and `msg` return the number of the box."""

    def __init__(self) -> None:
        self.declared: list[str] = []
        self.boxes: list[str] = []
        self.cords: list[str] = []
        self.start = self.obj("loadbang")

    def box(self, kind: str, text: str) -> int:
        self.boxes.append(f"#X {kind} {10 + 15 * len(self.boxes)} {10 + 20 * len(self.boxes)} {text};")
        return len(self.boxes) - 1

    def declare(self, text: str) -> None:
        self.declared.append(f"#X declare {text};")

    def obj(self, text: str) -> int:
        return self.box("obj", text)

    def msg(self, text: str) -> int:
        return self.box("msg", text.replace(",", " \\,").replace(";", " \\; ").replace("$", "\\$"))

    def subpatch(self, name: str, *objects: str) -> None:
        inside = "\n".join(f"#X obj 10 {20 * i} {text};" for i, text in enumerate(objects))
        self.boxes.append(f"#N canvas 0 0 300 200 {name} 0;\n{inside}\n#X restore 10 10 pd {name};")

    def connect(self, source: int, outlet: int, target: int, inlet: int) -> None:
        self.cords.append(f"#X connect {source} {outlet} {target} {inlet};")

    def inlet(self, box: int, inlet: int, name: str) -> None:
        """What is sent to `name` goes into an inlet."""
        self.connect(self.obj(f"r {name}"), 0, box, inlet)

    def prints(self, box: int, outlet: int, name: str) -> None:
        self.connect(box, outlet, self.obj(f"print {name}"), 0)

    def send(self, ms: float, message: str) -> None:
        """`message`: receiver and what it gets, at a logical time after loading."""
        delay, box = self.obj(f"del {ms}"), self.msg(f";{message}")
        self.connect(self.start, 0, delay, 0)
        self.connect(delay, 0, box, 0)

    def record(self, box: int, outlets: int, path: Path, ms: float) -> None:
        """Write the signal outlets to a float32 WAV, from the start of DSP for `ms`; it is there 10 ms later.

        By way of arrays: [writesf~] has a thread of its own, which may not get far before a batch run quits.
        """
        arrays = [f"record-{box}-{k}" for k in range(outlets)]
        for k, array in enumerate(arrays):
            self.obj(f"array define {array} {round(48 * ms)}")
            writer = self.obj(f"tabwrite~ {array}")
            self.connect(box, k, writer, 0)
            self.connect(self.start, 0, writer, 0)
        self.inlet(self.obj("soundfiler"), 0, f"file-{box}")
        self.send(ms + 10, f"file-{box} write -wave -bytes 4 {path} {' '.join(arrays)}")

    def text(self) -> str:
        return "\n".join(["#N canvas 0 0 600 400 12;", *self.declared, *self.boxes, *self.cords]) + "\n"


@dataclass
class Pd:
    folder: Path  # of the patch, and Pd's current one
    environment: dict[str, str]

    def start(self, patch: Patch, *flags: str, batch: bool = True, dsp: bool = True) -> subprocess.Popen[str]:
        path = self.folder / "test.pd"
        path.write_text(patch.text())
        command = ["pd", "-noprefs", "-nogui", "-noaudio", "-r", "48000"]
        command += ["-path", str(EXTERNAL), "-path", str(HERE / "classes")]
        command += (["-batch"] if batch else []) + (["-send", "pd dsp 1"] if dsp else [])
        command += [*(flags or ("-lib", "sopi")), "-open", str(path)]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.folder, env=self.environment
        )

    def run(self, patch: Patch, *flags: str, ms: float = 100, batch: bool = True, dsp: bool = True) -> list[str]:
        """The console's lines of a run of `ms` of logical time."""
        patch.send(ms, "pd quit")
        process = self.start(patch, *flags, batch=batch, dsp=dsp)
        try:
            output, _ = process.communicate(timeout=60)
        finally:
            process.send_signal(signal.SIGKILL)
        assert process.returncode == 0, output
        return [line for line in output.splitlines() if not line.startswith("error: sopi: cannot import sopilib")]


def starting(lines: list[str], *starts: str) -> list[str]:
    return [line for line in lines if line.startswith(starts)]


def read_wav(path: Path, channels: int = 1) -> list[tuple[float, ...]]:
    """Frames of a float32 WAV."""
    data = path.read_bytes()
    at = data.index(b"data") + 8
    samples = struct.unpack(f"<{(len(data) - at) // 4}f", data[at : at + (len(data) - at) // 4 * 4])
    return [samples[i : i + channels] for i in range(0, len(samples), channels)]


@pytest.fixture(scope="session")
def testring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("testring") / "libtestring.so"  # each process has its own
    subprocess.run(
        ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread", "-o", path, HERE / "testring.c"],
        check=True,
    )
    return path


@pytest.fixture(scope="session")
def external(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The external, up to date. Processes that test side by side make it one after the other."""
    root = tmp_path_factory.getbasetemp()
    with FileLock((root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "external.lock"):
        subprocess.run(
            ["make", "-C", EXTERNAL, f"PYTHON={os.path.relpath(sys.executable, EXTERNAL)}"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    return EXTERNAL / "sopi.pd_linux"


@pytest.fixture
def pd(tmp_path: Path, external: Path, testring: Path) -> Pd:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SOPI_"))}
    return Pd(tmp_path, {**environment, "TESTRING": str(testring)})

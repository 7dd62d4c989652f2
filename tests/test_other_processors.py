"""ARM plays what x86 plays, bit for bit: the engine is cross-compiled for ARM with NEON and run by an emulator."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
NATIVE = HERE.parent / "sopilib" / "native"
SOURCES = [
    *(f"engine/{name}.cpp" for name in ("engine", "state", "weights", "worker")),
    *("kernel_plain.cpp", "pack.cpp", "platform/linux.cpp", "platform/posix.cpp", "platform/processor.cpp", "team.cpp"),
]
FLAGS = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
PROCESSORS = {
    "here": (["g++"], []),
    "arm": (["aarch64-linux-gnu-g++", "-DSOPI_ARM"], ["qemu-aarch64", "-cpu", "max", "-L", "/usr/aarch64-linux-gnu"]),
}


def build(folder: Path, processor: str) -> list[subprocess.Popen[bytes]]:
    compiler, _ = PROCESSORS[processor]
    sources = [
        (path, ["-O1"]) for path in (*(NATIVE / name for name in SOURCES), HERE / "native" / "engine_digest.cpp")
    ]
    if processor == "arm":
        for name, march in {"neon": "armv8.2-a+dotprod", "neon_i8mm": "armv8.2-a+dotprod+i8mm"}.items():
            sources.append((NATIVE / f"kernel_{name}.cpp", ["-O3", f"-march={march}"]))
    return [
        subprocess.Popen(
            [*compiler, *FLAGS, *more, "-I", NATIVE, "-c", source, "-o", folder / f"{processor}-{source.stem}.o"]
        )
        for source, more in sources
    ]


def digests(folder: Path, processor: str, *sets: str) -> dict[str, list[str]]:
    """Shape and precision, then the hashes, for each instruction set."""
    compiler, emulator = PROCESSORS[processor]
    program = folder / processor
    subprocess.run([*compiler, *sorted(folder.glob(f"{processor}-*.o")), "-pthread", "-o", program], check=True)
    said = subprocess.run([*emulator, program, *sets], check=True, capture_output=True, text=True).stdout
    found: dict[str, list[str]] = {name: [] for name in sets}
    for line in said.splitlines():
        shape, precision, name, *hashes = line.split()
        found[name].append(" ".join([shape, precision, *hashes]))
    return found


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    for compiler in [c for processor in PROCESSORS for c in build(folder, processor)]:
        assert compiler.wait() == 0
    return folder


def test_arm_gives_the_same_codes_logits_and_sound(compiled: Path) -> None:
    here = digests(compiled, "here", "plain")["plain"]
    assert len(here) == len(set(here)) == 9
    assert digests(compiled, "arm", "neon", "neon_i8mm") == {"neon": here, "neon_i8mm": here}

"""What takes too long for `make test`, in pieces of about a minute: `make test-long [BUDGET=seconds] [ONLY=word]`.

A piece is a command: all tests of one file that are marked `long`, some thousands of broken checkpoints, a sanitizer,
or a bench with so little to do that it only shows that it still runs. Of each it is known how long it takes on two
quiet cores; how much longer it takes on this machine is learnt from the pieces that have run. A piece that would end
after the budget is not begun, and is listed in the end as not run; so is, as not judged, a test that lacks something
here. Fuzzers share the time that is left. What runs and fails, fails.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import xml.etree.ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "fuzz")]

from targets import TARGETS  # noqa: E402

BENCH = "tests/bench"
FUZZED = 600  # s for which each target is fuzzed
SHORTEST = 20  # s for which it is worth it
AROUND = 15  # s that it takes beside that
LONGER = {"tests/test_installed.py": 500, "tests/test_installed_on_arm.py": 300}
"""s of the files with long tests that take more than a minute."""
SECONDS = "{seconds}"  # in a command: how long it shall last
REPORT = ROOT / "build" / "long.xml"  # what pytest writes of a piece


@dataclass
class Piece:
    name: str
    seconds: float
    """On two quiet cores."""
    command: list[str]


def python(name: str, seconds: float, *words: str) -> Piece:
    return Piece(name, seconds, [sys.executable, *words])


def pieces() -> list[Piece]:
    """In the order in which they run: what finds faults first, benches last."""
    tests = sorted(((file, LONGER.get(file, 60)) for file in files_with_long_tests()), key=lambda test: test[1])
    words = ["-m", "pytest", "-m", "long", f"--junitxml={REPORT}"]
    found = [python(f"tests: {file}", seconds, *words, file) for file, seconds in tests]
    for sanitizer in ("address,undefined", "thread"):
        native = ["make", "--no-print-directory", f"-j{os.cpu_count()}", "-C", "tests/native", "run"]
        found.append(Piece(f"sanitizers: {sanitizer}", 90, [*native, f"SANITIZE={sanitizer}"]))
    found += [Piece(f"C++: {target}", 60, ["make", "--no-print-directory", target]) for target in ("warnings", "tidy")]
    found.append(Piece("other systems", 800, ["make", "--no-print-directory", "cross"]))
    for system in ("own", "prism", "theano", "deepsound", "a2aaron"):
        fuzz = [f"{BENCH}/fuzz_checkpoints.py", "--formats", system, "--mutants", "3000"]
        found.append(python(f"broken checkpoints: {system}", 60, *fuzz))
    return found + [
        python("bench: stream", 40, f"{BENCH}/bench_stream.py", "--seconds", "5"),
        python("bench: neighbours", 20, f"{BENCH}/neighbours.py", "--objects", "4", "--seconds", "2"),
        python("bench: real time", 100, f"{BENCH}/realtime.py", "--seconds", "4"),
        python("bench: soak", 60, f"{BENCH}/soak.py", "--minutes", "0.3"),
        python("bench: page", 40, f"{BENCH}/web_touch.py", "--touches", "5"),
        python("bench: a model in a page", 30, f"{BENCH}/web_play.py", "tabla", "--seconds", "0.5"),
        python("bench: OSC", 60, f"{BENCH}/osc.py", "--messages", "30", "--seconds", "2", "--packets", "5000"),
        python("bench: import", 20, f"{BENCH}/bench_import.py", "--layers", "1", "--dim", "128"),
        python("bench: training", 20, f"{BENCH}/training.py", "--steps", "1", "--dim", "64", "--seq-len", "128"),
    ]


def fuzzers() -> list[Piece]:
    """They run last, for ten minutes each, or for equal shares of the time that is left."""
    found = [python(f"fuzzing: {name}", FUZZED, "tests/fuzz/fuzz.py", name, "--seconds", SECONDS) for name in TARGETS]
    native = ["make", "--no-print-directory", f"-j{os.cpu_count()}", "-C", "tests/native", "fuzz"]
    return [*found, Piece("fuzzing: stream", FUZZED, [*native, f"SECONDS={SECONDS}"])]


def files_with_long_tests() -> list[str]:
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-m", "long"]
    listed = subprocess.run(collect, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode not in (0, 5):  # 5: there are none
        sys.exit(listed.stdout + listed.stderr)
    return sorted({line.split("::")[0] for line in listed.stdout.splitlines() if "::" in line})


def run(piece: Piece, limit: float) -> tuple[bool, float]:
    """-> whether it went well, and how many seconds it took. `limit`: seconds after which it hangs."""
    print(f"\n==== {piece.name}: {' '.join(piece.command)}", flush=True)
    began = time.monotonic()
    try:
        well = subprocess.run(piece.command, cwd=ROOT, timeout=limit).returncode == 0
    except subprocess.TimeoutExpired:
        print(f"did not end within {limit:.0f} s")
        well = False
    return well, time.monotonic() - began


def not_judged(piece: Piece) -> Iterator[str]:
    """What the tests of a piece say that could not be judged here."""
    if f"--junitxml={REPORT}" in piece.command and REPORT.is_file():
        for case in xml.etree.ElementTree.parse(REPORT).iter("testcase"):
            for skipped in case.iter("skipped"):
                yield f"NOT JUDGED {case.get('name')}: {skipped.get('message')}"
        REPORT.unlink()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, default=float("inf"), help="seconds for all of it; default: no limit")
    parser.add_argument("--only", default="", help="those with this in their name")
    args = parser.parse_args()
    began, slowness = time.monotonic(), 1.0
    expected = spent = 0.0
    told: list[str] = []
    failed = False
    for piece in pieces():
        if args.only not in piece.name:
            continue
        left = args.budget - (time.monotonic() - began)
        if slowness * piece.seconds > left:
            told.append(f"not run   {piece.name}: {slowness * piece.seconds:.0f} s, {left:.0f} s are left")
            continue
        well, took = run(piece, 600 + 10 * piece.seconds)
        failed |= not well
        told.append(f"{'passed' if well else 'FAILED':9} {piece.name}: {took:.0f} s")
        told += not_judged(piece)
        expected, spent = expected + piece.seconds, spent + took
        slowness = spent / expected
    lasting = [piece for piece in fuzzers() if args.only in piece.name]
    for i, piece in enumerate(lasting):
        share = (args.budget - (time.monotonic() - began)) / (len(lasting) - i)
        seconds = int(min(piece.seconds, share - AROUND))
        if seconds < SHORTEST:
            told.append(f"not run   {piece.name}: {share:.0f} s are left for it")
            continue
        command = [word.replace(SECONDS, str(seconds)) for word in piece.command]
        well, took = run(Piece(piece.name, seconds, command), 600 + 10 * seconds)
        failed |= not well
        told.append(f"{'passed' if well else 'FAILED':9} {piece.name}: {took:.0f} s")
    print("\n" + "\n".join(told))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

"""Thousands of broken checkpoints of every format: each must load, or be one clear error, in bounded time and memory.

    python tests/bench/fuzz_checkpoints.py [--mutants 5000] [--formats prism ...] [--seed 0]

A process of its own loads them, with 1 GB of memory above what it has when it begins. What fails is a process that
dies or falls asleep, a load of more than 5 s of the CPU, and an exception that is not SopiError (MemoryError too) or
not one printable line. Ends with 1 if anything failed. `--first N --mutants 1` repeats one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mutants import FORMATS

import sopilib
from sopilib import SopiError

MEMORY = 1 << 30  # bytes
SECONDS = 5
ASLEEP = 60  # seconds without a result


def try_mutants(name: str, seed: int, first: int, end: int, pipe: Connection) -> None:
    """Sends (number, seconds, what became of it) for each of them."""

    def too_long(*_: object) -> None:
        raise TimeoutError

    warnings.simplefilter("ignore")
    signal.signal(signal.SIGPROF, too_long)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with tempfile.TemporaryDirectory() as folder:
        for i in range(first, end):
            path = FORMATS[name](Path(folder), Random(f"{name} {seed} {i}"))
            begin, failure = time.process_time(), ""
            signal.setitimer(signal.ITIMER_PROF, 2 * SECONDS)
            try:
                sopilib.load(path)
                outcome = "loads"
            except SopiError as e:
                outcome, failure = "error", "" if str(e).isprintable() and len(str(e)) <= 500 else f"said {str(e)!r}"
            except BaseException:
                outcome, failure = "fails", traceback.format_exc()
            signal.setitimer(signal.ITIMER_PROF, 0)
            took = time.process_time() - begin
            if took > SECONDS:
                failure = failure or f"took {took:.1f} s"
            pipe.send((i, took, "fails" if failure else outcome, failure))


def fuzz(name: str, mutants: int, seed: int, first: int) -> int:
    """-> how many failed"""
    counts, longest, at = {"loads": 0, "error": 0, "fails": 0}, 0.0, first
    context = multiprocessing.get_context("spawn")
    while at < first + mutants:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=try_mutants, args=(name, seed, at, first + mutants, sender))
        process.start()
        sender.close()
        try:
            while at < first + mutants:
                if not receiver.poll(ASLEEP):
                    process.kill()
                i, took, outcome, failure = receiver.recv()
                counts[outcome] += 1
                longest, at = max(longest, took), i + 1
                if failure:
                    print(f"{name} {i}: {failure}", flush=True)
        except EOFError:
            process.join()
            print(f"{name} {at}: the process died ({process.exitcode})", flush=True)
            counts["fails"] += 1
            at += 1
        process.join()
    print(
        f"{name}: {counts['error']} clear errors, {counts['loads']} load, {counts['fails']} FAIL, "
        f"the longest took {longest:.2f} s",
        flush=True,
    )
    return counts["fails"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=5000, help="of each format; default %(default)s")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    parser.add_argument("--first", type=int, default=0, help="number of the first one; default %(default)s")
    args = parser.parse_args()
    return 1 if sum(fuzz(name, args.mutants, args.seed, args.first) for name in args.formats) else 0


if __name__ == "__main__":
    sys.exit(main())

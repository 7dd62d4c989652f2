"""Two builds of the engine, or one with several numbers of threads, in turn: what is faster, on a busy machine too.

    python tests/bench/against.py OLD.so NEW.so --size 512x2 --voices 1,8
    python tests/bench/against.py NEW.so --size 512x2 --threads 1,2 --spin 1

Each argument is a file build/*/_native*.so. Every engine has a process of its own, and they take turns in short bursts,
so that what else the machine does meets all of them. The factors are those of the medians, and of the fastest bursts,
to the first engine. `--spin N`: beside N processes that never rest. `--set avx2`: with this set of instructions.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import statistics
import subprocess
import sys
from typing import Any

BLOCK = 32


def serve(library: str) -> None:
    """Reads a line that says what engine is wanted, then makes a burst of sound for each line that comes."""
    spec = importlib.util.spec_from_file_location("sopilib.native._native", library)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["sopilib.native._native"] = module
    spec.loader.exec_module(module)

    from sopilib import Engine, load
    from sopilib.cli.bench import SIZES, of_size

    said: dict[str, Any] = json.loads(sys.stdin.readline())
    model = of_size(said["model"]) if said["model"] in SIZES else load(said["model"])
    engine = Engine(model, said["voices"], threads=said["threads"], instruction_set=said["set"])
    engine.source.time_blocks(20, BLOCK)
    print("ready", flush=True)
    for _ in sys.stdin:
        times = engine.source.time_blocks(said["blocks"], BLOCK)
        print(said["voices"] * BLOCK * len(times) / float(times.sum()), flush=True)


class Contender:
    """An engine in a process of its own."""

    def __init__(self, library: str, said: dict[str, Any]) -> None:
        self.name = f"{library} {said['model']} {said['voices']}v {said['threads']}t"
        self.voices = said["voices"]
        self.speeds: list[float] = []
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve", library], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._ask(json.dumps(said))

    def _ask(self, line: str) -> str:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def burst(self) -> None:
        """One more figure in `speeds`."""
        self.speeds.append(float(self._ask("go")))


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("libraries", nargs="+")
    parser.add_argument("--size", default="512x2", help="of `sopi bench`, or the name of a model")
    parser.add_argument("--voices", default="1")
    parser.add_argument("--threads", default="1")
    parser.add_argument("--set", default="auto")
    parser.add_argument("--spin", type=int, default=0)
    parser.add_argument("--bursts", type=int, default=40)
    parser.add_argument("--blocks", type=int, default=60, help="of 32 samples, in a burst")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.libraries[0])
        return
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(args.spin)]
    try:
        for voices in args.voices.split(","):
            said = {"model": args.size, "voices": int(voices), "set": args.set, "blocks": args.blocks}
            contenders = [
                Contender(library, {**said, "threads": int(threads)})
                for threads, library in itertools.product(args.threads.split(","), args.libraries)
            ]
            for _ in range(args.bursts):
                for contender in contenders:
                    contender.burst()
            first = contenders[0].speeds
            for contender in contenders:
                speeds = contender.speeds
                print(
                    f"{contender.name}: {statistics.median(speeds) / 16000:.2f} x real time, "
                    f"{statistics.median(speeds) / statistics.median(first):.2f} of the first; "
                    f"fastest bursts {max(speeds) / 16000:.2f}, {max(speeds) / max(first):.2f}",
                    flush=True,
                )
                contender.process.terminate()
    finally:
        for process in spinning:
            process.terminate()


if __name__ == "__main__":
    main()

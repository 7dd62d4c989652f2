"""How long a large PRiSM checkpoint takes to load, and how much memory.

    python tests/bench/bench_import.py [--layers 4] [--dim 1024] [--optimizer]

The checkpoint has random weights; PRiSM's default (4 GRU layers of 1024, frames of 16 and 64) is one of 300 MB, with
its optimizer of 900 MB. The memory is the most that a process of its own held, Python and numpy included.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bundle_writer import Shape, prism_file, prism_weights, write_bundle

CHILD = """
import re, sys, time, warnings
import sopilib
warnings.simplefilter("ignore")
before = time.perf_counter()
sopilib.load(sys.argv[1])
took = time.perf_counter() - before
most = int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1]) / 1e6
print(f"loaded in {took:.2f} s, at most {most:.2f} GB of memory")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=4, help="default %(default)s")
    parser.add_argument("--dim", type=int, default=1024, help="default %(default)s")
    parser.add_argument("--rnn", default="gru", help="default %(default)s")
    parser.add_argument("--skip", action="store_true")
    parser.add_argument("--optimizer", action="store_true", help="with Adam's variables, as training leaves them")
    args = parser.parse_args()
    shape = Shape((16, 64), args.dim, args.rnn, args.layers, args.skip)
    with tempfile.TemporaryDirectory() as folder:
        prefix = Path(folder) / "model.ckpt-1"
        write_bundle(prefix, prism_file(prism_weights(shape), "keras2.10" if args.optimizer else ""))
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        print(f"{shape}, {size / 1e6:.0f} MB:", flush=True)
        subprocess.run([sys.executable, "-c", CHILD, str(prefix)], check=True)


if __name__ == "__main__":
    main()

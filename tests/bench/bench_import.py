"""How long a large checkpoint takes to load, and how much memory.

    python tests/bench/bench_import.py [--system prism|theano|deepsound|a2aaron] [--layers 4] [--dim 1024] [--optimizer]

The checkpoint has random weights; PRiSM's default (4 GRU layers of 1024, frames of 16 and 64) is one of 300 MB, with
its optimizer of 900 MB. Theano's is text, as Python 2 pickles by default: about three bytes for each of a weight's.
The memory is the most that a process of its own held, Python and numpy included.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from bundle_writer import Shape, prism_file, prism_weights, write_bundle
from theano_writer import Shape as TheanoShape
from theano_writer import parameters, pickle_as_python_2
from torch_writer import A2aaron, Deepsound, a2aaron_checkpoint, a2aaron_state, deepsound_state

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


def write(folder: Path, args: argparse.Namespace) -> object:
    """Writes the checkpoint, returns its shape."""
    shape: object
    if args.system == "theano":
        shape = TheanoShape(args.rnn.upper(), args.layers, 16, 64, args.dim, 256, 256, args.skip)
        (folder / "params_e1_i1_x.pkl").write_bytes(pickle_as_python_2(parameters(shape)))
    elif args.system == "deepsound":
        shape = Deepsound([16, 4], args.layers, args.dim, 256)
        torch.save(deepsound_state(shape), folder / "ep1-it1", _use_new_zipfile_serialization=False)
    elif args.system == "a2aaron":
        shape = A2aaron(16, args.dim, args.layers, 256, 256)
        torch.save(a2aaron_checkpoint(a2aaron_state(shape)), folder / "o_epoch_1_iter_1_model.pt")
    else:
        shape = Shape((16, 64), args.dim, args.rnn, args.layers, args.skip)
        write_bundle(folder / "model.ckpt-1", prism_file(prism_weights(shape), "keras2.10" if args.optimizer else ""))
    return shape


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--system", choices=("prism", "theano", "deepsound", "a2aaron"), default="prism")
    parser.add_argument("--layers", type=int, default=4, help="default %(default)s")
    parser.add_argument("--dim", type=int, default=1024, help="default %(default)s")
    parser.add_argument("--rnn", default="gru", help="default %(default)s")
    parser.add_argument("--skip", action="store_true")
    parser.add_argument(
        "--optimizer", action="store_true", help="PRiSM: with Adam's variables, as training leaves them"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shape = write(Path(folder), args)
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        print(f"{shape}, {size / 1e6:.0f} MB:", flush=True)
        subprocess.run([sys.executable, "-c", CHILD, folder], check=True)


if __name__ == "__main__":
    main()

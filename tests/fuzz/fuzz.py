"""Looks for input that breaks a reader, led by what of our code it reaches (atheris, that is libFuzzer for Python):

    python tests/fuzz/fuzz.py osc --seconds 600

It begins with right input and with tests/fuzz/corpus/<target>.zip, of earlier runs; with --keep what this run reached
takes its place. Ends with 1 at the first finding, which stands in the folder that it names.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from random import Random

HERE = Path(__file__).resolve().parent
MEMORY = 2048  # MB
LONGEST = 65536  # bytes of input
KEPT = 100_000  # bytes of a corpus, before it is packed


def fuzz(name: str, arguments: list[str]) -> None:
    """In a process of its own, which ends here."""
    import atheris

    sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]
    sys.meta_path.insert(0, PathFinder)  # atheris passes over what an editable install finds
    with atheris.instrument_imports(include=["sopilib"], enable_loader_override=False):
        from targets import IN_JSON, NEEDS, TARGETS, one_line, with_one_changed

        from sopilib import SopiError

        for module in NEEDS.get(name, ()):
            import_module(module)

    target = TARGETS[name]
    os.environ["PATH"] = ""  # no ffmpeg: what it makes of nonsense is its own affair
    with tempfile.TemporaryDirectory(dir="/dev/shm") as scratch:

        def once(data: bytes) -> None:
            try:
                target(data, Path(scratch))
            except SopiError as e:
                one_line(e, data)

        def mutated(data: bytes, longest: int, seed: int) -> bytes:
            rng = Random(seed)
            changed = with_one_changed(data, rng) if rng.random() < 0.7 else data
            return (atheris.Mutate(data, longest) if changed == data else changed)[:longest]

        atheris.Setup([sys.argv[0], *arguments], once, **({"custom_mutator": mutated} if name in IN_JSON else {}))
        atheris.Fuzz()


def keep(found: list[Path], corpus: Path) -> None:
    """Packs the first of these files, as many as are small together."""
    corpus.parent.mkdir(exist_ok=True)
    size = 0
    with zipfile.ZipFile(corpus, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in found:
            size += path.stat().st_size
            if size > KEPT:
                break
            archive.writestr(zipfile.ZipInfo(path.name[:12]), path.read_bytes())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="add what was found worth keeping to the corpus")
    parser.add_argument("--within", action="store_true", help=argparse.SUPPRESS)
    args, more = parser.parse_known_args()
    if args.within:
        fuzz(args.target, more)
    corpus = HERE / "corpus" / f"{args.target}.zip"
    with tempfile.TemporaryDirectory() as work:
        begin, found = Path(work, "begin"), Path(work, "found")
        begin.mkdir()
        found.mkdir()
        sys.path[:0] = [str(HERE), str(HERE.parent)]
        from targets import seeds

        for i, data in enumerate(seeds(args.target, Path(work))):
            (begin / str(i)).write_bytes(data)
        if corpus.exists():
            shutil.unpack_archive(corpus, begin)
        failed = Path(tempfile.gettempdir(), f"sopi-fuzz-{args.target}")
        failed.mkdir(exist_ok=True)
        again = [sys.executable, __file__, args.target, "--within"]
        options = [f"-max_total_time={args.seconds}", f"-seed={args.seed}", f"-rss_limit_mb={MEMORY}", "-timeout=10"]
        options += [f"-max_len={LONGEST}", f"-artifact_prefix={failed}/", "-print_final_stats=1", "-verbosity=0"]
        result = subprocess.run([*again, *options, str(found), str(begin)])
        if result.returncode:
            print(f"{args.target}: a finding, see {failed}")
            return 1
        if args.keep:
            keep(sorted(found.iterdir(), key=lambda path: (path.stat().st_size, path.name)), corpus)
    return 0


if __name__ == "__main__":
    sys.exit(main())

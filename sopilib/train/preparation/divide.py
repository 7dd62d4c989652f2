"""Which sound is trained on, which is validated on, and which is kept for a test. They never share a sample."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sopilib.errors import SopiError
from sopilib.names import is_named
from sopilib.train.preparation.dataset import PARTS, Stretch
from sopilib.train.preparation.options import Preparation, amount


def divide(files: list[list[Stretch]], names: Sequence[str], options: Preparation) -> dict[str, list[Stretch]]:
    """Divides the stretches of every file, whose paths are `names`, into those of each part. Raises SopiError if a
    pattern fits no file, or a part would take all there is."""
    parts: dict[str, list[Stretch]] = {p: [] for p in PARTS}
    rest = _named(files, names, options, parts)
    for part in ("validation", "test"):
        share, seconds = amount(part, getattr(options, part))
        if getattr(options, part + "_files"):
            continue
        if seconds:
            flat, taken = _take_end([s for f in rest for s in f], round(seconds * options.sample_rate))
            if taken and not flat:
                raise SopiError(f"all sound is shorter than the {seconds:g} s for {part}")
            rest = [flat]
            parts[part] += taken
        elif share and options.split == "file":
            rest, files_taken = _take_files(rest, share)
            parts[part] += [s for f in files_taken for s in f]
        elif share:
            cut = [_take_end(f, round(share * sum(n for _, n in f))) for f in rest]
            rest = [front for front, _ in cut]
            parts[part] += [s for _, back in cut for s in back]
    parts["train"] = [s for f in rest for s in f]
    return parts


def _named(
    files: list[list[Stretch]], names: Sequence[str], options: Preparation, parts: dict[str, list[Stretch]]
) -> list[list[Stretch]]:
    """Puts the files that are named for validation or test into `parts`, and gives the others."""
    free = list(range(len(files)))
    for part, patterns in (("validation", options.validation_files), ("test", options.test_files)):
        for pattern in patterns:
            fits = [k for k in free if pattern in (names[k], Path(names[k]).name)]
            fits = fits or [k for k in free if is_named(Path(names[k]).name, pattern) or Path(names[k]).match(pattern)]
            if not fits:
                raise SopiError(f"{part}_files: {pattern!r} fits none of the files")
            parts[part] += [s for k in fits for s in files[k]]
            free = [k for k in free if k not in fits]
    return [files[k] for k in free]


def divided_as(
    parts: dict[str, list[Stretch]], first: Stretch, other: Stretch, sounding: list[Stretch]
) -> dict[str, list[Stretch]]:
    """Divides the `sounding` stretches of another channel of a file, which lies at `other`, at the same times as those
    of its first channel, at `first`, are in `parts`: what is held out of one is trained on in none."""
    inside = range(first[0], first[0] + first[1])
    edges = sorted((a - first[0], part) for part in PARTS for a, _ in parts[part] if a in inside) or [(0, "train")]
    edges = [(0, edges[0][1]), *(e for e, before in zip(edges[1:], edges) if e[1] != before[1])]
    out: dict[str, list[Stretch]] = {p: [] for p in PARTS}
    for start, length in sounding:
        at, end = start - other[0], start - other[0] + length
        for (begin, part), (until, _) in zip(edges, [*edges[1:], (end, "")]):
            a, b = max(at, begin), min(end, until)
            if a < b:
                out[part].append((other[0] + a, b - a))
    return out


def chunks(stretch: Stretch, options: Preparation) -> list[Stretch]:
    """Cuts a stretch into pieces that overlap as the options say. The last one, however short, is a piece too."""
    if not options.chunk:
        return [stretch]
    start, length = stretch
    size = round(options.chunk * options.sample_rate)
    overlap = round(options.overlap * options.sample_rate)
    starts = range(0, max(1, length - overlap), max(1, size - overlap))
    return [(start + at, min(size, length - at)) for at in starts]


def _take_end(stretches: list[Stretch], samples: int) -> tuple[list[Stretch], list[Stretch]]:
    """Takes the last `samples` samples apart. Gives what comes before them, and them."""
    front: list[Stretch] = list(stretches)
    back: list[Stretch] = []
    while samples > 0 and front:
        start, length = front.pop()
        n = min(samples, length)
        back.insert(0, (start + length - n, n))
        if length > n:
            front.append((start, length - n))
        samples -= n
    return front, back


def _take_files(files: list[list[Stretch]], share: float) -> tuple[list[list[Stretch]], list[list[Stretch]]]:
    """Takes whole files with about `share` of the sound apart, at least one, at random but always the same. Gives the
    others, and them. Raises SopiError if there is but one."""
    if len(files) < 2:
        raise SopiError("split by file needs two files at least; split by time, or name validation_files")
    lengths = [sum(n for _, n in f) for f in files]
    order = np.random.default_rng(0).permutation(len(files))
    taken: list[int] = []
    for k in order[:-1]:
        if taken and sum(lengths[t] for t in taken) + lengths[k] / 2 > share * sum(lengths):
            break
        taken.append(int(k))
    return [f for k, f in enumerate(files) if k not in taken], [files[k] for k in sorted(taken)]

"""`sopi play`: opens the instrument in Pd; without a display or a sound card it renders the same patch."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sopilib import pd_folder, shipped, sound
from sopilib.errors import SopiError, SopiWarning, sentence
from sopilib.files import refuse_foreign, whole_file

EMPTY = 5000  # bytes: a PNG of an empty screen is smaller


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `sopi play`, `sopi pd` and `sopi pd-flags`."""
    parser = commands.add_parser("play", help="open the instrument in Pd; without display or sound card, render it")
    parser.add_argument("patch", nargs="?", type=Path, help="default: your own copy of samplernn.pd, in ~/samplernn")
    parser.add_argument(
        "--render", type=Path, metavar="WAV", help="render the instrument to a file instead of opening it"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a sound file that --render names")
    parser.add_argument("--seconds", type=float, default=10, help="of the rendering; default %(default)s")
    parser.add_argument("--pd", default="pd", help="the pd program; default %(default)s")
    parser.add_argument(
        "--no-folder",
        action="store_true",
        help="leave the folder samplernn~ in Pd's externals folder as it is; an installed sopilib brings it to its"
        " version otherwise, so that Pd finds [samplernn~] by itself",
    )
    parser.set_defaults(run=run)
    words = "run Pd so that it finds [samplernn~]; all words that follow are for Pd"
    parser = commands.add_parser("pd", help=words, description=f"{words}, as in: sopi pd -rt my-patch.pd")
    parser.set_defaults(run=lambda args: start(program("pd"), *args.words))
    parser = commands.add_parser("pd-flags", help="the flags with which a pd command line finds [samplernn~]")
    parser.set_defaults(run=lambda args: print(shlex.join(pd_folder.flags())))


def run(args: argparse.Namespace) -> int:
    """Opens or renders the instrument -> the exit status. Raises SopiError."""
    args.pd = program(args.pd)
    make_ready(not args.no_folder)
    if args.patch is not None and not os.path.isfile(args.patch):
        raise SopiError(f"{args.patch}: no such patch")
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if args.render is None and display and sound_output():
        return start(args.pd, str(args.patch or pd_folder.own_instrument()))
    out = args.render or _out() / "samplernn.wav"
    if args.render is not None:
        refuse_foreign(out, sound.is_sound, "sound file", args.overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    if args.render is None:
        print(f"no {'sound card' if display else 'display'} here: rendering {args.seconds:g} s of the instrument in Pd")
    began = time.monotonic()
    render(args.pd, out, args.seconds)
    print(f"sound:   {out} ({args.seconds:g} s, made in {time.monotonic() - began:.1f} s)")
    picture = out.with_suffix(".png")
    if screenshot(args.pd, args.patch or pd_folder.INSTRUMENT, picture):
        print(f"picture: {picture}")
    return 0


def program(pd: str) -> str:
    """Pd's program, asked for by this name or path: found where its installers put it too. Raises SopiError."""
    places = [*Path("/Applications").glob("Pd*.app/Contents/Resources/bin/pd")] if sys.platform == "darwin" else []
    if sys.platform == "win32":
        places = [Path(os.environ.get("PROGRAMFILES", "C:/Program Files"), "Pd", "bin", "pd.exe")]
    found = shutil.which(pd) or next((str(place) for place in sorted(places, reverse=True) if place.is_file()), None)
    if found is None:
        how = "apt install puredata" if sys.platform == "linux" else "https://puredata.info/downloads"
        raise SopiError(f"{pd}: no such program; install Pure Data ({how})")
    return found


def start(pd: str, *args: str) -> int:
    """Runs Pd with our flags and these words -> its exit status. Raises SopiError."""
    return subprocess.call([pd, *pd_folder.flags(), *args], env=pd_folder.environment())


def make_ready(folder: bool = True) -> None:
    """Of an installed sopilib: notes which Python has it and, unless `folder` is False, brings the folder samplernn~ in
    Pd's externals folder to this version, which is told. What can't be written is told too."""
    if not shipped.installed():
        return
    try:
        pd_folder.register()
        for line in pd_folder.refresh(pd_folder.externals_folder() / pd_folder.NAME) if folder else ():
            print(line, flush=True)
    except OSError as e:
        warnings.warn(f"{sentence(e)}; Pd needs the flags of sopi pd-flags", SopiWarning, stacklevel=2)


def _out() -> Path:
    """Where a rendering goes that nobody named: into the checkout, if that can be."""
    inside = not shipped.installed() and os.access(shipped.ROOT, os.W_OK)
    return shipped.ROOT / "out" if inside else Path.home() / "samplernn"


def sound_output() -> str | None:
    """What can play here: a card that ALSA knows, or a running PipeWire or JACK server. None: nothing."""
    cards = Path("/proc/asound/cards")
    if cards.is_file() and "no soundcards" not in (text := cards.read_text()):
        return text.strip().splitlines()[0].strip()
    if (Path(os.environ.get("XDG_RUNTIME_DIR", "/nonexistent")) / "pipewire-0").exists():
        return "PipeWire"
    if any(Path("/dev/shm").glob("jack*default*")):
        return "JACK"
    return "Core Audio" if sys.platform == "darwin" else None


def render(pd: str, out: Path, seconds: float) -> None:
    """Plays samplernn.pd in `pd -batch`: pd/render.pd presses its buttons and records what comes out."""
    if not 0 < seconds <= 3600:
        raise SopiError(f"--seconds is {seconds:g}, expected above 0 and at most 3600")
    with tempfile.TemporaryDirectory() as folder, whole_file(out) as half:
        raw = Path(folder) / "out.wav"
        start = f"render {pd_folder.in_pd(raw)} {seconds * 1000:g}"
        command = [pd, "-nogui", "-noaudio", "-batch", "-r", "48000", *pd_folder.flags()]
        command += ["-open", str(pd_folder.INSTRUMENT), "-open", str(pd_folder.RENDER), "-send", start]
        limit = 60 + 20 * seconds
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=limit, env=pd_folder.environment()
            )
        except subprocess.TimeoutExpired:
            raise SopiError(f"Pd made no sound within {limit:g} s; try sopi doctor") from None
        said = done.stderr.splitlines()
        trouble = [line for line in said if line.startswith("error: sopi: ")]
        if trouble and not any(line.startswith("sopi: Python ") for line in said):  # it recorded silence, if anything
            raise SopiError(f"Pd made no sound: {trouble[0].removeprefix('error: sopi: ')}")
        if not raw.is_file():
            raise SopiError(f"Pd made no sound: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
        shutil.move(raw, half)
    for line in said:
        if "error" in line.lower():
            print(f"pd: {line}", file=sys.stderr)


@contextmanager
def virtual_screen(size: str = "1280x960") -> Iterator[str]:
    """An X server without a monitor, as the value of DISPLAY. Raises OSError where there is no Xvfb."""
    read, write = os.pipe()
    with os.fdopen(read) as f:
        try:
            screen = subprocess.Popen(
                ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{size}x24", "-nolisten", "tcp"],
                pass_fds=[write],
                stderr=subprocess.DEVNULL,
            )
        finally:
            os.close(write)
        try:
            number = f.readline().strip()
            if not number:
                raise OSError("Xvfb did not start")
            yield f":{number}"
        finally:
            screen.terminate()
            screen.wait()


def screenshot(pd: str, patch: Path, out: Path) -> bool:
    """A picture of the patch as Pd shows it, taken on a virtual screen; False where there is none."""
    grab = shutil.which("import")
    if not shutil.which("Xvfb") or not grab:
        return False
    out.unlink(missing_ok=True)
    with virtual_screen() as display:
        environment = {**pd_folder.environment(), "DISPLAY": display}
        # without a sound card Pd's scheduler runs on the system's clock
        window = subprocess.Popen(
            [pd, "-noaudio", *pd_folder.flags(), "-open", str(patch)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        take = [grab, "-window", "root", "-trim", str(out)]
        before = b""
        try:
            for _ in range(15):  # until Pd has drawn everything: two pictures alike
                time.sleep(1)
                subprocess.run(take, env=environment, capture_output=True, check=False)
                now = out.read_bytes() if out.is_file() else b""
                if window.poll() is not None or (now == before and len(now) > EMPTY):
                    break
                before = now
        finally:
            window.terminate()
            window.wait()
    if out.is_file() and out.stat().st_size <= EMPTY:
        out.unlink()
    return out.is_file()

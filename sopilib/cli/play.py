"""`sopi play`: opens the instrument in Pd; without a display or a sound card it renders the same patch."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sopilib import sound
from sopilib.errors import SopiError
from sopilib.files import refuse_foreign, whole_file

ROOT = Path(__file__).resolve().parents[2]
INSTRUMENT = ROOT / "samplernn.pd"
RENDER = ROOT / "pd" / "render.pd"
EMPTY = 5000  # bytes: a PNG of an empty screen is smaller
EXTERNAL = ROOT / "pd" / "pyext" / ("py.pd_darwin" if sys.platform == "darwin" else "py.pd_linux")


def pd_flags(quote: bool = False) -> list[str]:
    """What a pd command line needs to find the external, the classes and the abstractions."""
    if not EXTERNAL.is_file():
        raise SopiError(f"{EXTERNAL}: not built, run make play")
    # the last folder is there for its name, under which Pd's help browser then lists help and examples
    folders = [EXTERNAL.parent, ROOT / "pd", ROOT / "pd" / "samplernn"]
    flags = [word for folder in folders for word in ("-path", str(folder))] + ["-lib", "py"]
    return [shlex.quote(f) for f in flags] if quote else flags


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `sopi play`."""
    parser = commands.add_parser("play", help="open the instrument in Pd; without display or sound card, render it")
    parser.add_argument("patch", nargs="?", type=Path, help="default: your own copy of samplernn.pd, in ~/samplernn")
    parser.add_argument(
        "--render", type=Path, metavar="WAV", help="render the instrument to a file instead of opening it"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a sound file that --render names")
    parser.add_argument("--seconds", type=float, default=10, help="of the rendering; default %(default)s")
    parser.add_argument("--pd", default="pd", help="the pd program; default %(default)s")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Opens or renders the instrument -> the exit status. Raises SopiError."""
    if shutil.which(args.pd) is None:
        raise SopiError(f"{args.pd}: no such program; install Pure Data (apt install puredata)")
    if args.patch is not None and not os.path.isfile(args.patch):
        raise SopiError(f"{args.patch}: no such patch")
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if args.render is None and display and sound_output():
        return subprocess.call([args.pd, *pd_flags(), str(args.patch or own_instrument())])
    out = args.render or ROOT / "out" / "samplernn.wav"
    if args.render is not None:
        refuse_foreign(out, sound.is_sound, "sound file", args.overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    if args.render is None:
        print(f"no {'sound card' if display else 'display'} here: rendering {args.seconds:g} s of the instrument in Pd")
    began = time.monotonic()
    render(args.pd, out, args.seconds)
    print(f"sound:   {out} ({args.seconds:g} s, made in {time.monotonic() - began:.1f} s)")
    picture = out.with_suffix(".png")
    if screenshot(args.pd, args.patch or INSTRUMENT, picture):
        print(f"picture: {picture}")
    return 0


def own_instrument() -> Path:
    """The user's copy of samplernn.pd, made when there is none: what one saves and records is there, and never in ours.
    It holds no more than a box and what was saved, so that it is of the present version. Raises SopiError."""
    own = Path.home() / "samplernn" / INSTRUMENT.name
    folders = " ".join(f"-path {str(p).replace(' ', chr(92) + ' ')}" for p in (RENDER.parent, EXTERNAL.parent))
    try:
        if not own.is_file():
            own.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(own) as half:
                patch = INSTRUMENT.read_text().replace("-path pd -path pd/pyext", folders)
                half.write_text(re.sub(r"(#X obj .* declare .*);", r"\1, f 136;", patch))  # a box of one line
    except OSError as e:
        raise SopiError(f"{own}: {e.strerror or e}; name a patch that can be opened: sopi play PATCH") from None
    return own


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
        start = f"render {_in_pd(raw)} {seconds * 1000:g}"
        command = [pd, "-nogui", "-noaudio", "-batch", "-r", "48000", *pd_flags()]
        command += ["-open", str(INSTRUMENT), "-open", str(RENDER), "-send", start]
        limit = 60 + 20 * seconds
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=limit)
        except subprocess.TimeoutExpired:
            raise SopiError(f"Pd made no sound within {limit:g} s; try sopi doctor") from None
        if not raw.is_file():
            raise SopiError(f"Pd made no sound: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
        shutil.move(raw, half)
    for line in done.stderr.splitlines():
        if "error" in line.lower():
            print(f"pd: {line}", file=sys.stderr)


def _in_pd(path: Path) -> str:
    """A path as one word of a message of Pd's."""
    return re.sub(r"([\\ ,;$])", r"\\\1", str(path))


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
        environment = {**os.environ, "DISPLAY": display}
        # without a sound card Pd's scheduler runs on the system's clock
        window = subprocess.Popen(
            [pd, "-noaudio", *pd_flags(), "-open", str(patch)],
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

"""Does the instrument hold while Python in the same Pd is kept busy? Measured with JACK's dummy driver.

    python tests/bench/realtime.py [--seconds 60] [--period 128] [--window | --pages 3]

Pd runs with -rt at 48 kHz and plays the model `tabla` with 50 temperature messages a second, while a Python thread in
its interpreter spins and, in the second and third row, a C call keeps the GIL for 200 ms each second (gil_hog.py).
Two recordings: what Pd computed, and what arrived at JACK. They are compared with each other, and the first with a
render of the same patch by pd -batch. After a message that came too late the music goes another way, so there it ends
to be equal; so it is also compared with a render in which those messages, and only those, come as late as they came.
The last row takes the path through `_signal`, which is all that a pyext without rings has.

With --window there is only the first row, while samplernn.pd is open in the same Pd on a virtual screen and plays too,
and before it the cost of that window: the processor time of Pd and its wish together, less that of a Pd with a bare
[samplernn~] and no window, in a second of real time; at rest, and while it plays and its strip moves.

With --pages there is the first row three times: with nobody at Pd's web server; with so many phones, whose own
processors draw what they are sent (here a process that only takes it); and with so many pages of a Chromium here.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from chromium import chromium, until
from jack_host import dummy_jack
from osc_client import free_port
from pd_host import ROOT, Patch, command, run, said_until

from sopilib.cli.play import virtual_screen
from sopilib.live import Performer
from sopilib.osc import kept_token

RATE = 48000
START = 1000  # ms until it plays, from when the models are loaded and JACK's recorder hears Pd
PATIENCE = 60  # s that a slow machine may take to start something
ROUNDING = 7e-5  # of 16 bits, which is what jack_rec can write


@dataclass
class Measurement:
    way: str
    """Through rings or `_signal`, or through rings with the window, phones or pages open."""
    held: int
    """ms for which the GIL is kept each second."""
    seconds: float
    underruns: int
    """As the ring counts them."""
    late: int
    """Messages that came too late, as the performer counts them."""
    equal_for: float
    """Seconds until Pd's own recording differs from the freewheel render."""
    equal_with_late: float
    """The same, the late messages rendered as late as they were."""
    gaps: int
    """Places where JACK's recording does not go on with the next sample of Pd's own."""
    lost: float
    """Milliseconds of Pd's own recording that JACK did not get in place."""


def patch(seconds: float, folder: Path, held: int | None, channel: int = 1, web: int = 0) -> tuple[Path, int]:
    """Temperatures swing between 0.7 and 1.1; recorded from START on. -> the patch, and the port of its `go`.
    held: None for a render, which waits for nothing. channel: of the output that it has for itself; above 2 the
    window plays as well, on the first two. web: TCP port of the page."""
    p = Patch()
    go = 0 if held is None else p.wait_for_go()
    box = p.obj("samplernn~ tabla latency 30" + (f" web {web}" if web else ""))
    p.connect(box, 0, p.obj(f"dac~ {channel}"))
    p.print(box, 1, "status")
    if channel > 2:
        p.at(START, "generate", p.obj("s samplernn"))
    p.at(START, "seed 1, generate", box)
    p.at(START + 1000 * seconds, "status", box)
    metro = p.chain(p.obj(p.begin), p.obj(f"delay {START}"), p.obj("metro 20"))
    counter = p.obj("f 0")
    step = p.obj("+ 1")
    p.connect(counter, 0, step)
    p.connect(step, 0, counter, 1)
    p.connect(p.chain(metro, counter, p.obj("expr 0.9 + 0.2 * sin($f1 * 0.13)"), p.msg("temperature $1")), 0, box)
    p.at(START + 1000 * seconds, "stop", metro)
    p.record(folder / "pd.wav", box, 1000 * seconds, begin=START, rest=500)
    p.quit(START + 1000 * seconds + 1500)
    if held is not None:
        p.obj(f"pyext gil_hog hog {held}")
        seen = p.obj("pyext gil_hog witness")
        p.at(START - 1000, "watch", seen, 1)
        p.at(START + 1000 * seconds + 1000, f"write {folder}/seen.json", seen, 1)
    return p.write(folder / "patch.pd"), go


def live(
    path: Path,
    go: int,
    seconds: float,
    period: int = 128,
    rings: bool = True,
    channels: int = 1,
    meanwhile: Callable[[int], None] | None = None,
    priority: bool = True,
    loaded: int = 1,
    display: str | None = None,
    opened: AbstractContextManager[Any] | None = None,
) -> str:
    """Plays a patch under JACK -> what Pd printed. Leaves jack.wav, of at least `seconds`, beside the patch.

    The patch waits (`wait_for_go`, whose port is `go`) until so many models are `loaded`, which it must print, and
    JACK's recorder hears it. `meanwhile` is called with Pd's process id when it goes.
    priority: Pd and JACK have that of real time. display: where the instrument's window is open as well. opened: what
    is entered before it goes."""
    with dummy_jack(RATE, period, priority) as environment:
        environment["SOPI_NO_RINGS"] = "" if rings else "1"
        if display is not None:
            environment["DISPLAY"] = display
        window = display is not None
        return play_under(path, go, seconds, channels, meanwhile, priority, loaded, environment, window, opened)


def play_under(
    path: Path,
    go: int,
    seconds: float,
    channels: int,
    meanwhile: Callable[[int], None] | None,
    priority: bool,
    loaded: int,
    environment: dict[str, str],
    window: bool = False,
    opened: AbstractContextManager[Any] | None = None,
) -> str:
    """`live`, under the JACK of this environment."""
    flags = ["-jack", "-rt" if priority else "-nrt", "-audiobuf", "10", "-outchannels", str(max(2, channels))]
    flags += ["-path", str(ROOT / "tests" / "bench")]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
    words = command(path, *flags, batch=False)
    pd = subprocess.Popen(with_window(words) if window else words, **pipes, env=environment)
    recorder, said = None, bytearray()

    def listen() -> None:
        for line in pd.stdout or ():
            said.extend(line)

    listening = threading.Thread(target=listen)
    listening.start()
    stack = ExitStack()
    try:
        ports = wait_for_ports(channels, environment)
        if opened is not None:
            wait_until(lambda: said.count(b": loaded ") >= loaded, "Pd did not load its models")
            stack.enter_context(opened)
        file = ["-f", str(path.parent / "jack.wav"), "-d", str(round(seconds + 2)), "-b", "16", "-B", "1048576"]
        recorder = subprocess.Popen(
            ["jack_rec", *file, *ports], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        )
        wait_until(lambda: recorded(ports[-1], environment), "JACK's recorder did not connect to Pd")
        wait_until(lambda: said.count(b": loaded ") >= loaded, "Pd did not load its models")
        with socket.create_connection(("127.0.0.1", go)) as at_pd:
            at_pd.sendall(b"go;\n")
        if meanwhile is not None:
            threading.Thread(target=meanwhile, args=(pd.pid,)).start()
        pd.wait(timeout=seconds + PATIENCE)
        listening.join(PATIENCE)
        try:
            recorder.wait(timeout=10)
        except subprocess.TimeoutExpired:  # Pd held JACK up so long that it threw clients out
            recorder.terminate()
            recorder.wait()
        return said.decode(errors="replace")
    finally:
        stack.close()
        for process in (recorder, pd):
            if process is not None and process.poll() is None:
                process.terminate()
                process.wait()


def last_status(printed: str, label: str = "status") -> dict[str, str]:
    """The last value of everything that [print label] told, by name."""
    lines = [line.removeprefix(f"{label}: ").split() for line in printed.splitlines() if line.startswith(f"{label}: ")]
    return {words[0]: words[1] for words in lines if len(words) > 1}


def wait_for_ports(channels: int, environment: dict[str, str]) -> list[str]:
    """Pd's outputs at JACK, when they are there."""
    found: list[str] = []

    def there() -> bool:
        listed = subprocess.run(["jack_lsp"], capture_output=True, text=True, env=environment).stdout.splitlines()
        found[:] = sorted(name for name in listed if name.startswith("pure_data") and "output" in name)
        return len(found) >= channels

    wait_until(there, "Pd did not connect to JACK")
    return found[:channels]


def recorded(port: str, environment: dict[str, str]) -> bool:
    """Whether anything is connected to this port but what JACK calls its own."""
    listed = subprocess.run(["jack_lsp", "-c", port], capture_output=True, text=True, env=environment).stdout
    return any(line.startswith(" ") and "system:" not in line for line in listed.splitlines())


def wait_until(there: Callable[[], bool], failure: str) -> None:
    end = time.monotonic() + PATIENCE
    while not there():
        if time.monotonic() > end:
            raise RuntimeError(f"{failure} within {PATIENCE} s")
        time.sleep(0.05)


def measure(
    seconds: float,
    period: int = 128,
    rings: bool = True,
    held: int = 200,
    display: str | None = None,
    guests: Guests | None = None,
) -> Measurement:
    """display: on which the window is open. guests: who is at Pd's web server."""
    web = free_port() if guests else 0
    channel = 1 if display is None else 3
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        played = patch(seconds, folder, held, channel, web)
        opened = guests.come(web, guests.number) if guests else None
        printed = live(*played, seconds + START / 1000, period, rings, channel, display=display, opened=opened)
        if not (folder / "pd.wav").exists():
            raise RuntimeError(f"Pd left no recording: {printed}")
        own, _ = soundfile.read(folder / "pd.wav", dtype="float32")
        at_jack = soundfile.read(folder / "jack.wav", dtype="float32", always_2d=True)[0][:, channel - 1]
        run(patch(seconds, folder, None)[0], timeout=60 + 4 * seconds)
        rendered, _ = soundfile.read(folder / "pd.wav", dtype="float32")
        seen = json.loads((folder / "seen.json").read_text())
    assert rendered.std() > 0.01, "the render is silent"
    last = last_status(printed)
    gaps, lost = compare(own, at_jack)
    return Measurement(
        f"{guests.number} {guests.kind}"
        if guests
        else "window"
        if display is not None
        else "rings"
        if rings
        else "_signal",
        held,
        seconds,
        int(last["underruns"]),
        int(last["late"]),
        equal_for(own, rendered),
        equal_for(own, as_it_was(seen, own)),
        gaps,
        lost,
    )


@dataclass
class Guests:
    """Those at Pd's web server."""

    number: int
    kind: str
    come: Callable[[int, int], AbstractContextManager[None]]
    """Brings so many of them to that port."""


PHONES = """
import asyncio, sys, aiohttp
async def phone(session, url):
    async with session.ws_connect(url) as ws:
        await ws.receive()
        print(end=".", flush=True)
        async for _ in ws:
            pass
async def all_of_them(url, number):
    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(phone(session, url) for _ in range(number)))
asyncio.run(all_of_them(sys.argv[1], int(sys.argv[2])))
"""


@contextmanager
def call_phones(port: int, number: int) -> Iterator[None]:
    """So many connections as the page has, in one process, that take what they are sent."""
    url = f"http://127.0.0.1:{port}/{kept_token()}/control"
    with subprocess.Popen([sys.executable, "-c", PHONES, url, str(number)], stdout=subprocess.PIPE) as phones:
        assert phones.stdout is not None
        try:
            if len(phones.stdout.read(number)) < number:  # each is told how things are
                raise RuntimeError("the phones could not connect")
            yield
        finally:
            phones.terminate()


@contextmanager
def open_pages(port: int, number: int) -> Iterator[None]:
    """So many pages of Pd's server at that port, connected."""
    with tempfile.TemporaryDirectory() as folder, chromium(Path(folder)) as browser:
        connected = "return !document.body.classList.contains('lost')"
        for i in range(number):
            if i:
                browser.switch_to.new_window("window")
            browser.get(f"http://127.0.0.1:{port}/{kept_token()}/")
            until(browser, lambda: browser.execute_script(connected), "the page is connected")
        yield


# ---------------------------------------------------------------- the window


def with_window(words: list[str]) -> list[str]:
    """The command line of a Pd that has one, and the instrument in it."""
    return [w for w in words if w != "-nogui"] + ["-stderr", "-open", str(ROOT / "samplernn.pd")]


def window_cost(seconds: float, display: str, plays: bool) -> float:
    """Per cent of a core that the window takes besides the model."""
    with tempfile.TemporaryDirectory() as name:
        p = Patch()
        box = p.obj("samplernn~ tabla")
        p.connect(box, 0, p.obj("dac~ 1"))
        p.print(box, 1, "status")
        watch = Patch()
        watch.print(watch.obj("r samplernn-status"), 0, "status")
        if plays:
            p.at(500, "generate", box)
            watch.at(500, "generate", watch.obj("s samplernn"))
        bare = command(p.write(Path(name) / "bare.pd"), batch=False)
        window = with_window(command(watch.write(Path(name) / "watch.pd"), batch=False))
        return 100 * (load_of(window, seconds, display) - load_of(bare, seconds, display))


def load_of(words: list[str], seconds: float, display: str) -> float:
    """Seconds of processor time of a Pd and its children in one second, when its model has been loaded for a while."""
    environment = {**os.environ, "DISPLAY": display}
    pd = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
    try:
        said_until(pd, "status: loaded")
        time.sleep(5)
        before = processor_time(pd.pid)
        time.sleep(seconds)
        return (processor_time(pd.pid) - before) / seconds
    finally:
        pd.terminate()
        pd.communicate()


def processor_time(pid: int) -> float:
    """Seconds, of a process and all that it has started."""
    parents, used = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            words = path.read_text().rpartition(")")[2].split()
            number = int(path.parent.name)
            parents[number], used[number] = int(words[1]), int(words[11]) + int(words[12])
    family = {pid}
    for _ in range(3):  # Pd starts a shell that starts wish
        family |= {number for number, parent in parents.items() if parent in family}
    return sum(used.get(number, 0) for number in family) / os.sysconf("SC_CLK_TCK")


# ---------------------------------------------------------------- comparing


def equal_for(own: np.ndarray, rendered: np.ndarray) -> float:
    """Seconds."""
    differ = np.flatnonzero(own != rendered)
    return (int(differ[0]) if len(differ) else len(own)) / RATE


def as_it_was(seen: dict[str, Any], own: np.ndarray, latency: float = 0.030) -> np.ndarray:
    """A render in freewheel of the commands that the stream got, the late ones put where they were heard."""
    ahead = round(latency * RATE)
    heard = {position - by - ahead: position - ahead for position, by in seen["late"]}
    performer = Performer(latency=latency, freewheel=True)
    performer.host(RATE, 64)
    performer.handle("load", "tabla", t=0)
    for name, t, values in seen["commands"]:
        performer.stream.post(name, heard.get(t, t), *values)
    begin = seen["commands"][0][1]
    made = performer.read(begin + len(own) + RATE)[0]
    performer.close()
    sound = int(np.flatnonzero(own)[0])
    start = int(np.flatnonzero(made)[0]) - sound
    return made[start : start + len(own)]


def heard_after(message: str, latency: float = 30) -> tuple[int, int]:
    """Frames at JACK between a marker click in the second channel, made when `message` is sent, and the first sample
    that the message changed -> that, and what it should be. Two takes are compared, one without the message."""
    takes = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for text in (message, "latency?"):
            p = Patch()
            go = p.wait_for_go()
            box, marker = p.obj(f"samplernn~ tabla latency {latency:g}"), p.obj("vline~")
            p.print(box, 1, "status")
            dac = p.obj("dac~ 1 2")
            p.connect(box, 0, dac, 0)
            p.connect(marker, 0, dac, 1)
            p.at(500, "seed 1, generate", box)
            p.at(1200.4, "1, 0 0 1", marker)
            p.at(1200.4, text, box)
            p.quit(2500)
            live(p.write(folder / "patch.pd"), go, 2, channels=2)
            sound, _ = soundfile.read(folder / "jack.wav", dtype="float32")
            click = int(np.flatnonzero(sound[:, 1] > 0.5)[0])
            takes.append(sound[click - RATE // 10 : click + RATE // 4, 0])
    differ = np.flatnonzero(np.abs(takes[0] - takes[1]) > ROUNDING)
    return int(differ[0]) - RATE // 10, round(latency / 1000 * RATE)


def compare(own: np.ndarray, at_jack: np.ndarray) -> tuple[int, float]:
    """-> places where `at_jack` leaves `own`, milliseconds that are not in place.

    Both are cut into pieces; each piece of `own` should be in `at_jack` at the same distance as the one before."""
    sound = int(np.flatnonzero(np.abs(own) > 0.01)[0])
    at = find(own[sound : sound + 4096], at_jack, 0)
    if at is None:
        raise RuntimeError("JACK's recording has nothing of what Pd played")
    gaps = bad = 0
    n = min(len(own) - sound, len(at_jack) - at)
    shift, position = at - sound, sound
    piece = 512
    while position + piece <= sound + n and position + shift + piece <= len(at_jack):
        if same(own[position : position + piece], at_jack[position + shift : position + shift + piece]):
            position += piece
            continue
        gaps += 1
        bad += piece
        position += piece
        found = find(own[position : position + 4096], at_jack, max(0, position + shift - RATE))
        if found is not None:
            shift = found - position
    return gaps, 1000 * bad / RATE


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return len(a) == len(b) and bool(np.abs(np.clip(a, -1, 1) - b).max() < ROUNDING)


def find(part: np.ndarray, where: np.ndarray, begin: int) -> int | None:
    """Where `part` stands in `where` from `begin` on, None if nowhere within ten seconds."""
    window = where[begin : begin + 10 * RATE + len(part)]
    if not np.abs(part).max() > 1e-4 or len(window) < len(part):
        return None
    size = 1 << int(np.ceil(np.log2(len(window) + len(part))))
    spectrum = np.fft.rfft(window, size) * np.conj(np.fft.rfft(part, size))
    likeness = np.fft.irfft(spectrum, size)[: len(window) - len(part) + 1]
    power = np.cumsum(np.concatenate([[0], window.astype(np.float64) ** 2]))
    power = power[len(part) :] - power[: len(power) - len(part)]
    at = int(np.argmax(likeness / np.sqrt(power + 1e-3)))
    return begin + at if same(part[:256], window[at : at + 256]) else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--period", type=int, default=128)
    parser.add_argument("--window", action="store_true", help="with samplernn.pd open, and what that costs")
    parser.add_argument("--pages", type=int, default=0, help="so many phones, and pages in a browser, beside none")
    args = parser.parse_args()
    with virtual_screen() if args.window else nullcontext() as display:
        if display is not None:
            for plays in (False, True):
                cost = window_cost(args.seconds, display, plays)
                print(f"the window {'plays' if plays else 'at rest'}: {cost:.1f} % of a core", flush=True)
        print_table(args.seconds, args.period, display, args.pages)
    if args.window or args.pages:
        return
    for message in ("temperature 5", "gain 0.5"):
        found, expected = heard_after(message)
        print(f"{message} is heard {found} frames after a click made with it, expected {expected}", flush=True)


def print_table(seconds: float, period: int, display: str | None, pages: int) -> None:
    print(f"{'way':10}{'GIL held':>10}{'underruns':>12}{'late':>8}", end="")
    print(f"{'= freewheel for':>18}{'late as heard':>16}{'gaps at JACK':>15}{'lost':>12}")
    ways: list[tuple[bool, int, Guests | None]] = [(True, 0, None)]
    if pages:
        ways += [(True, 0, Guests(pages, "phones", call_phones)), (True, 0, Guests(pages, "pages", open_pages))]
    elif display is None:
        ways += [(True, 200, None), (False, 200, None)]
    for rings, held, guests in ways:
        # JACK doesn't bear the last one for long
        m = measure(seconds if rings else min(seconds, 8), period, rings, held, display, guests)
        equal = f"{m.equal_for:.2f} of {m.seconds} s"
        print(f"{m.way:10}{m.held:7} ms{m.underruns:12}{m.late:8}{equal:>18}{m.equal_with_late:14.2f} s", end="")
        print(f"{m.gaps:15}{m.lost:9.1f} ms", flush=True)


if __name__ == "__main__":
    main()

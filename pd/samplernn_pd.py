"""The class `samplernn` of [pyext~ 1 1 1 1 samplernn_pd samplernn <model>]: Pd's messages <-> `sopilib.live.Performer`.

[pyext~ 1 1 2 N samplernn_pd samplernn <model>]: the first signal inlet is what the model can listen to, the second its
temperature where that is above 0; N signal outlets, one for each voice, as long as `voices` and `mix` say nothing else.

Message inlet: the messages of `sopilib.live.COMMANDS`, and
    bang                     the same as `status`
    settings <name value...> what `settings` once gave at the outlet: model, name, and what of `sopilib.live.KEPT`
                             is not as it always is
    settings                 gives them at the outlet
    folder <path>            where relative paths are looked up first (at the start: the folder of the patch)
    osc <port> [address]     OSC for all samplernn objects of this Pd at that UDP port, for this machine only unless an
                             address of a network is given (0.0.0.0: all networks); `osc 0` closes all ports
    web <port> [address]     a page for any browser that plays all samplernn objects of this Pd, at that TCP port;
                             `web 0` closes it, `web open` opens it in this machine's browser
    name <word>              of this object in OSC, where it has a number too; kept with the settings
Message outlet: the events of `sopilib.live.STATUS`, and
    changed                  something of the settings has; told once until they are asked for
    settings <name value...> everything worth remembering with the patch
    osc <port> <number>      the port (0: none), and this object's number in OSC
    web <address>            of the page (0: none)
    tick                     at each smallest frame, after `tick 1`
Box arguments: [model] [name value]..., as `settings` has them; a number before them is the voice number that [clone]
hands down: without `seed` it is the seed, so that voices differ.

[pyext~ 1 1 2 16 samplernn_pd samplernn <model> @multichannel 1]: one outlet, which has a channel for each voice, from
Pd 0.54 on.

Our own external takes the stream's rings, and neither sound nor messages then hold up Pd. Under another pyext (or with
SOPI_NO_RINGS=1) `_signal` copies all signal inlets and outlets, messages count from when they arrive, and there are no
ticks. Another pyext doesn't tell how many signal inlets and outlets the box has: where it isn't one of each, the box
says it itself, as in [pyext~ 1 1 2 4 samplernn_pd samplernn <model> signal-inlets 2 signal-outlets 4].
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import webbrowser
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import sopilib  # noqa: F401  first: it says what to type where something is missing, numpy too

# isort: split
import numpy as np

try:
    import sopi as pyext  # of our external, whatever other pyext there is
except ModuleNotFoundError:
    import pyext  # type: ignore[no-redef]

from sopilib.errors import SopiError
from sopilib.live import KEPT, MOST_VOICES, Performer
from sopilib.live.messages import LARGEST_FLOAT, LARGEST_SHOWN, is_cut_off, number_text
from sopilib.live.performer import is_part
from sopilib.osc import Instance, Instances, PageServer, Server, kept_token
from sopilib.threads import thread_count

if "SERVERS" not in globals():  # a `reload` runs this file again in the same namespace: open ports stay open
    INSTANCES = Instances()
    """The samplernn objects of this Pd."""
    SERVERS: dict[int, Server] = {}
    """By port."""
    PAGES: dict[int, PageServer] = {}
    """The page that plays, by its port: one at most."""

PAGE_PORT = 9000  # where nobody says another
SIGNAL_INLETS, SIGNAL_OUTLETS = "signal-inlets", "signal-outlets"
PORTS: dict[str, dict[int, Any]] = {"osc": SERVERS, "web": PAGES}
"""What may be open, by the name of its message."""
NO_KNOBS = {*PORTS, *(f"{name}-address" for name in PORTS), SIGNAL_INLETS, SIGNAL_OUTLETS, "own"}
"""Settings that set no knob; own: what the model itself sets."""
PLAIN = str.maketrans({"\\": "/", ",": "", ";": " -", "$": "", "{": "(", "}": ")"})
"""What text becomes that is shown in Pd."""
PIECES = set("0123456789.e+-[]()")
"""What the rest of an envelope may consist of."""
REST_OF_ENVELOPE = 0.5  # s
SEEDS = {"seed": 0, "voice": 1, "generated": 3}
"""The events that tell a seed, and at which place: above 2^24 Pd gets it as text."""
COMMAND_LINE = Path("/proc/self/cmdline")
"""How this Pd was started, where the system has such a file."""
MOST_INPUTS = 2  # signals that a performer takes: sound to listen to, and a temperature


class samplernn(pyext._class):
    """SampleRNN, live. Sound at the signal outlet, status at the message outlet."""

    _inlets = 1
    _outlets = 1

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.cut_until = 0.0  # s of the monotonic clock: what comes before may be the rest of an envelope
        self.changed = False  # since `settings` were asked for
        self.waiting: deque[tuple[str, tuple[Any, ...]]] = deque()  # status events until Pd's thread calls
        self.rings = hasattr(self, "_rings") and os.environ.get("SOPI_NO_RINGS") != "1"
        signals: tuple[int, int] = self._signals if hasattr(self, "_signals") else given_signals(arguments)
        self.signal_inlets, self.signal_outlets = signals
        self.multichannel: bool = hasattr(self, "_multichannel") and self._multichannel
        self.called = ""  # in OSC
        self.opened: dict[str, tuple[int, str]] = {}  # the port and the address of the last `osc` and the last `web`
        self.instance: Instance | None = None  # in OSC, from `_init` on
        self.performer = Performer(
            voices=1 if self.multichannel else min(max(1, self.signal_outlets), MOST_VOICES),
            outputs=max(1, self.signal_outlets),
            sample_rate=pyext._samplerate(),
            freewheel=pd_is_batch(),
            threads=wanted_threads(),
            status=self.tell,
            arrays=read_array,
            write_array=write_array,
            folder=self._canvas_dir if hasattr(self, "_canvas_dir") else None,
        )
        if hasattr(self, "_paths"):
            self.performer.places.others = [Path(path) for path in self._paths]
        self.performer.watch_settings(self.remember)
        self.tick_outlet = 0
        self.connect_rings()

    def _init(self) -> None:
        self.set(self.arguments)
        # Only now: a message by OSC that waits for Pd (`seed <array>`) must not hold what Pd's thread wants here.
        self.instance = INSTANCES.add(self.performer)
        if self.called:
            self._anything_(1, "name", self.called)
        self.flush()

    def _del(self) -> None:
        if self.instance is not None:
            INSTANCES.remove(self.instance)
        self.performer.close()

    # ---------------------------------------------------------------- Pd -> performer

    def _anything_(self, inlet: int, *message: Any) -> None:
        # An empty list is a bang.
        selector, *atoms = [a if isinstance(a, int | float) else str(a) for a in message or ("bang",)]
        if self.is_rest_of_envelope(selector, atoms):
            return
        if selector == "bang":
            self.performer.handle("status")
        elif selector == "settings" and not atoms:
            self.tell_settings()
        elif selector == "settings":
            self.set(atoms)
        elif selector == "folder":
            self.performer.folder = Path(" ".join(map(str, atoms)))
        elif selector in ("osc", "web", "name"):
            try:
                getattr(self, selector)(*atoms)
            except SopiError as e:
                self.tell("error", str(e))
        else:
            self.performer.handle(str(selector), *atoms, t=self._time if self.rings else None)
        self.flush()

    def is_rest_of_envelope(self, selector: Any, atoms: list[Any]) -> bool:
        """Whether this is but a piece of an envelope that Pd has split at its commas: its beginning is answered."""
        now = time.monotonic()
        rest = now < self.cut_until and not atoms and not set(str(selector)) - PIECES
        # it may stand alone, after temperature, or after voice 2 temperature
        if any(is_cut_off(words) for words in ([selector, *atoms], atoms, atoms[2:])):
            self.cut_until = now + REST_OF_ENVELOPE
        elif not rest:
            self.cut_until = 0.0
        return rest

    def set(self, words: Any) -> None:
        """[voice number] [model] [name value]..."""
        words = [w if isinstance(w, int | float) else str(w) for w in words]
        settings: dict[str, Any] = {}
        if words and not isinstance(words[0], str):
            settings["seed"] = words.pop(0)
        if len(words) % 2:
            settings["model"] = words.pop(0)
        known = ("model", "load2", *KEPT)
        pairs = dict(zip(words[::2], words[1::2]))
        for name in PORTS:
            if name in pairs:
                self._anything_(
                    1, name, pairs[name], *([pairs[f"{name}-address"]] if f"{name}-address" in pairs else [])
                )
        for name, value in pairs.items():
            if name in known or is_part(name):
                settings[name] = value
            elif name == "name":
                self._anything_(1, name, value)
            elif name not in NO_KNOBS:
                self.tell("error", f"no setting {name!r}, expected [model] and any of {', '.join(known)} with a value")
        self.performer.restore(settings)

    def osc(self, *words: Any) -> None:
        """[port [address]]. Raises SopiError."""
        port, address = port_and_address("osc", words, max(SERVERS, default=0))
        if words and not port:
            for server in SERVERS.values():
                server.close()
            SERVERS.clear()
        elif words and (port not in SERVERS or SERVERS[port].host != address):
            reopen_port(port, address)
        if words:
            self.note_port("osc", port, address)
        for page in PAGES.values():
            page.osc_port = max(SERVERS, default=0)
        self.send("osc", (port, self.instance.number if self.instance is not None else 0))

    def web(self, *words: Any) -> None:
        """[port [address]], or open. Raises SopiError."""
        if words == ("open",):
            if not PAGES:
                self.web(PAGE_PORT)
            for page in PAGES.values():
                threading.Thread(target=webbrowser.open, args=(page.invitation.here,), daemon=True).start()
            return
        port, address = port_and_address("web", words, max(PAGES, default=0))
        if words and (port not in PAGES or PAGES[port].host != address):
            move_page(port, address)
        if words:
            self.note_port("web", port, address)
        for page in PAGES.values():
            self.print_line("web", f"the page that plays: {page.invitation.url}")
        self.send("web", tuple(page.invitation.url for page in PAGES.values()) or (0,))

    def note_port(self, name: str, port: int, address: str) -> None:
        """What is kept with the patch of `osc` and `web`."""
        self.opened.pop(name, None)
        if port:
            self.opened[name] = port, address
        self.remember()

    def name(self, *words: Any) -> None:
        """Raises SopiError if it can't be one."""
        name = " ".join(map(str, words))
        if self.instance is not None:
            INSTANCES.rename(self.instance, name)
        self.called = name
        self.remember()

    # ---------------------------------------------------------------- performer -> Pd

    def tell(self, kind: str, *values: Any) -> None:
        """A status event, on whatever thread it happens."""
        if kind in ("error", "warning"):
            self.print_line(kind, str(values[0]))
        if kind == "tick" and self.rings:
            self.tick_outlet = int(values[0])
            self.connect_rings()
            kind = "ticking"  # `tick` is the tick itself
        self.send(kind, values)

    def connect_rings(self) -> None:
        """Hands the stream's rings to the box, with a channel for each voice where it has many."""
        if self.rings:
            channels = self.performer.state.voices if self.multichannel else 0
            self._rings(self.performer.ring, self.performer.input, self.tick_outlet, channels)

    def remember(self, *names: str) -> None:
        """Something that is to be kept with the patch has changed."""
        if self.multichannel and "voices" in names:
            self.connect_rings()
        if not self.changed:
            self.changed = True
            self.send("changed", ())

    def tell_settings(self) -> None:
        self.changed = False  # first: what changes meanwhile is told again
        settings: dict[str, Any] = {**self.performer.settings(), "name": self.called or None}
        for name, (port, address) in self.opened.items():
            if port in PORTS[name]:
                settings |= {name: port, f"{name}-address": address}
        kept = {name: as_text(value, LARGEST_SHOWN) for name, value in settings.items() if value is not None}
        self.send("settings", [x for item in kept.items() for x in item])

    def send(self, kind: str, values: Any) -> None:
        if kind in ("error", "warning"):
            values = plain_words(str(values[0]))
        if kind in SEEDS:
            values = (*values[: SEEDS[kind]], *(as_text(v, LARGEST_FLOAT) for v in values[SEEDS[kind] :]))
        if not self._outlets:  # as in [pyext~ 1 0 1 1 samplernn_pd samplernn]: nobody listens
            return
        if self.rings:
            with suppress(RuntimeError):  # the box was deleted meanwhile
                self._outlet(1, kind, tuple(values))
        else:
            self.waiting.append((kind, tuple(values)))

    def flush(self) -> None:
        """Another pyext takes messages on Pd's thread only."""
        while self.waiting:
            self._outlet(1, *self.waiting.popleft())

    def print_line(self, kind: str, text: str) -> None:
        if self.rings:  # not if a [print] shows what comes out of the status outlet
            self._say(text, kind == "error", 1, 1 if self.multichannel else self.signal_outlets)
        elif kind == "error" and hasattr(self, "_error"):
            self._error(text)  # "find last error" then finds the object
        else:
            print(f"{self.performer.name}: {text}", file=sys.stderr if kind == "error" else sys.stdout)

    # ---------------------------------------------------------------- sound, under a pyext without rings

    def _dsp(self) -> bool:
        if not self.signal_outlets:
            return False
        self.performer.host(pyext._samplerate(), len(self._outvec(0)))
        return True

    def _signal(self) -> None:
        # All input is copied before any output is written: they may be the same memory.
        incoming = [np.array(self._invec(i), np.float32) for i in range(min(self.signal_inlets, MOST_INPUTS))]
        outgoing = [self._outvec(i) for i in range(self.signal_outlets)]
        sound = self.performer.read(len(outgoing[0]), np.stack(incoming) if incoming else None)
        for vector, channel in zip(outgoing, sound):
            vector[:] = channel
        self.flush()


def wanted_threads() -> int | None:
    """How many threads the environment asks for; None: as many as a model needs."""
    asked = os.environ.get("SOPI_THREADS", "auto")
    try:
        return thread_count(asked)
    except ValueError:
        print_error(f"samplernn: SOPI_THREADS is {asked!r}, expected auto or 1 to 64: it is auto now")
        return None


def as_text(value: Any, largest: int) -> Any:
    """A whole number that is larger than this as text, since Pd would change it; everything else as it is."""
    return number_text(value) if isinstance(value, int) and value > largest else value


def plain_words(text: str) -> tuple[str, ...]:
    """A line word by word, without the signs that Pd would write a backslash before."""
    return tuple(text.translate(PLAIN).split())


def port_and_address(name: str, words: Sequence[Any], known: int) -> tuple[int, str]:
    """What follows `osc` or `web`. Raises SopiError."""
    port, address = (*words, "127.0.0.1")[:2] if words else (known, "")
    whole = isinstance(port, int | float) and float(port).is_integer()
    if len(words) > 2 or not whole or not isinstance(address, str):
        raise SopiError(
            f"{name}: expected {name} <port> [address], as {name} 9000, or {name} 9000 0.0.0.0 for all networks"
        )
    return int(port), address


def reopen_port(port: int, address: str) -> None:
    """Opens an OSC port at another address. Raises SopiError if it can't be had there: then it stays where it was."""

    def opened(host: str) -> Server:
        query = 0 if port in PAGES else None  # the page's server has OSCQuery too
        return Server(INSTANCES, port, host, print_error, query, announce=True)

    old = SERVERS.pop(port, None)
    if old is not None:
        old.close()
    try:
        SERVERS[port] = opened(address)
    except SopiError:
        if old is not None:
            SERVERS[port] = opened(old.host)
        raise


def move_page(port: int, address: str) -> None:
    """Closes the page, and opens it at another port or address, 0: at none. Raises SopiError if it can't be had there:
    then it stays where it was. OSCQuery at the same port becomes the page's server."""
    old = dict(PAGES)
    for page in PAGES.values():
        page.close()
    PAGES.clear()
    osc = SERVERS.get(port)
    if osc is not None:
        osc.close_web()
    try:
        if port:
            PAGES[port] = PageServer(INSTANCES, port, address, kept_token(), print_error, max(SERVERS, default=0))
    except SopiError:
        for number, page in old.items():
            PAGES[number] = PageServer(INSTANCES, number, page.host, kept_token(), print_error, max(SERVERS, default=0))
        raise


def given_signals(arguments: Sequence[Any]) -> tuple[int, int]:
    """How many signal inlets and outlets the arguments of a box say that it has: one of each if they don't."""
    words = [a if isinstance(a, int | float) else str(a) for a in arguments]
    given = dict(zip(words, words[1:]))
    inlets, outlets = (given.get(name, 1) for name in (SIGNAL_INLETS, SIGNAL_OUTLETS))
    return int(inlets), int(outlets)


def print_error(line: str) -> None:
    """A line about no object in particular."""
    if hasattr(pyext, "_error"):
        pyext._error(line)
    else:
        print(line, file=sys.stderr)


def read_array(name: str) -> np.ndarray | None:
    """A copy of the frames of Pd's array, None if there is no such array."""
    buffer = pyext.Buffer(name)
    frames = buffer[:] if len(buffer) else None
    return None if frames is None else np.array(frames, np.float32)


def write_array(name: str, samples: np.ndarray) -> bool:
    """Makes Pd's array as long as the samples and fills it; False if there is no such array."""
    buffer = pyext.Buffer(name)
    if not len(buffer):
        return False
    if len(buffer) != len(samples):
        buffer.resize(len(samples))
    buffer[:] = samples
    buffer.dirty()
    return True


def pd_is_batch() -> bool:
    """Whether this Pd runs with -batch, that is, not in real time; False where the system does not say how it was
    started."""
    with suppress(OSError):
        return b"-batch" in COMMAND_LINE.read_bytes().split(b"\0")
    with suppress(OSError):  # no /proc on this system
        ps = ["ps", "-o", "args=", "-p", str(os.getpid())]
        return b"-batch" in subprocess.run(ps, capture_output=True, check=False).stdout.split()
    return False

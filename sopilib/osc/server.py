"""`Server`: OSC messages from a UDP port to the performers, and what they tell back to whoever asked.

    /samplernn/<name or number>/<command> <arguments>      as in sopilib.live.COMMANDS
    /samplernn/subscribe [port | host port]                changes come from now on, and everything once
    /samplernn/unsubscribe [port | host port]
    /samplernn/refresh                                     everything once, to who asks and what its host has subscribed

One thread reads the port; nothing that comes from the network can stop it, and the sound waits for nothing in it.
"""

from __future__ import annotations

import errno
import heapq
import itertools
import select
import socket
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sopilib.errors import SopiError
from sopilib.live import COMMANDS
from sopilib.live.commands import Command
from sopilib.live.performer import ordinary_priority
from sopilib.osc.announce import Announcement
from sopilib.osc.instances import PASSING, Instance, Instances
from sopilib.osc.names import ROOT, addresses, as_sent, controls, names
from sopilib.osc.outbox import INTERVAL, Outbox, Target
from sopilib.osc.pace import Pace
from sopilib.osc.packet import LONGEST, Message, decode, ntp_to_unix_ns
from sopilib.osc.pattern import is_pattern, matcher
from sopilib.osc.query import QueryServer

__all__ = ["Server"]

TICK = 0.01  # s between looks at the clocks, at what waits, at what changed
BATCH = 256  # packets read before such a look
MOST_ROUTES = 4096  # addresses whose meaning is remembered
MOST_SUBSCRIBERS = 32
SILENCE = 600.0  # s
LEAD = 0.05  # s before its latency that a message with a timetag is handled
MOST_WAITING = 4096  # messages with a timetag
HORIZON = 600  # s: a timetag further ahead is a wrong clock
NAMES = 20  # messages a second of one command that go for models, arrays or files
ACTS = 100  # messages a second of one command that is no knob
REPORT = 1.0  # s between lines about the same kind of trouble

Targets = list[tuple[Instance, str]]


class Request(NamedTuple):
    """A message to one instance."""

    instance: Instance
    selector: str
    arguments: tuple[Any, ...]
    address: str
    """As it was written."""
    sender: Target
    at: int | None
    """ns of the monotonic clock at which it is to be heard; None: as soon as may be."""


class Server:
    """OSC on one UDP port.

    host    numeric address of the network that may reach it; 127.0.0.1: this machine only, 0.0.0.0: every network
    report  called with a line about what is wrong, at most once a second for each kind of trouble
    query   TCP port of OSCQuery; None: the same number, 0: none
    announce  in the network, if the package zeroconf is there
    silence  seconds without a packet from a subscriber's host after which it is taken for dead

    Raises SopiError if the port can't be had. `counts` says how many packets of which trouble there were.
    """

    def __init__(
        self,
        instances: Instances,
        port: int,
        host: str = "127.0.0.1",
        report: Callable[[str], None] = print,
        query: int | None = None,
        announce: bool = False,
        silence: float = SILENCE,
    ) -> None:
        self.instances, self.host, self._report, self._silence = instances, host, report, silence
        self.counts: Counter[str] = Counter()
        self._socket = bound_socket(host, port)
        self.port = int(self._socket.getsockname()[1])
        self._outbox = Outbox(self._socket, self._drop)
        self._subscribers: dict[Target, tuple[str, float]] = {}  # -> who told so, when that host was heard last
        self._seen: dict[Instance, int] = {}  # events that subscribers know
        self._waiting: list[tuple[int, int, int, Message, Target]] = []  # heap: due, order; then ns of the timetag
        self._order = itertools.count()
        self._routes: dict[str, Targets] = {}
        self._version = -1  # of the instances, for which the routes hold
        self._pace: Pace[Request] = Pace()
        self._reported: dict[str, tuple[float, int]] = {}  # when, and how many there had been
        self._last_line: dict[str, str] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"osc-{self.port}")
        self._thread.start()
        self._query: QueryServer | None = None
        if query != 0:
            try:
                self._query = QueryServer(instances, self.port, host, self.port if query is None else query)
            except SopiError as e:  # OSC works without
                report(f"osc {self.port}: {e}")
        self._announcement = Announcement(host, self.port, self.query_port) if announce else None

    @property
    def query_port(self) -> int:
        """TCP; 0: none."""
        return self._query.port if self._query else 0

    def close(self) -> None:
        """Ends it, and frees the port."""
        self._closing = True
        if self._announcement:
            self._announcement.close()
        if self._query:
            self._query.close()
        self._thread.join(1.0)
        self._socket.close()

    @property
    def subscribers(self) -> list[Target]:
        return list(self._subscribers)

    def __repr__(self) -> str:
        return (
            f"<osc.Server {self.host}:{self.port}: {len(self.instances.all)} instances, {len(self._subscribers)} "
            f"subscribers, {self.counts['messages']} messages>"
        )

    # ---------------------------------------------------------------- the thread

    def _run(self) -> None:
        ordinary_priority()
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        next_tick = next_echo = 0.0
        while not self._closing:
            try:
                wait = max(0.0, min(next_tick - time.monotonic(), self._until_due()))
                if poll.poll(1000 * wait):
                    self._receive()
                self._handle_due()
                now = time.monotonic()
                if now >= next_tick:
                    next_tick = now + TICK
                    for instance in self.instances.all:
                        instance.look_at_clock()
                    for request in self._pace.due(now):
                        self._act(request)
                    if now >= next_echo:
                        next_echo = now + INTERVAL
                        self._echo(now)
                    self._outbox.flush(now)
                    self._report_troubles(now)
            except Exception:  # a fault of ours
                traceback.print_exc()
                time.sleep(TICK)

    def _receive(self) -> None:
        for _ in range(BATCH):
            try:
                packet, sender = self._socket.recvfrom(LONGEST + 1)
            except BlockingIOError:
                return
            except OSError:  # something that we sent was refused
                self._outbox.take_refusals()
                continue
            try:
                messages = decode(packet)
            except SopiError as e:
                self._trouble("malformed", f"{e} (from {sender[0]})")
                continue
            for message in messages:
                if message.time is None:
                    self._handle(message, sender, None)
                else:
                    self._delay(message, sender)

    def _until_due(self) -> float:
        return (self._waiting[0][0] - time.monotonic_ns()) / 1e9 if self._waiting else TICK

    # ---------------------------------------------------------------- messages

    def _delay(self, message: Message, sender: Target) -> None:
        """Keeps a message with a timetag until shortly before it is wanted."""
        assert message.time is not None
        now = time.monotonic_ns()
        at = now + ntp_to_unix_ns(message.time) - time.time_ns()
        latency = max((i.performer.state.latency for i in self.instances.all), default=0) * 1e6
        if at - now > HORIZON * 1e9:
            self._trouble(
                "far", f"a timetag is {(at - now) / 1e9:.0f} s ahead and applies at once: set the clock of {sender[0]}"
            )
            self._handle(message, sender, None)
            return
        if at < now + latency:
            by = (now + latency - at) / 1e9
            self._trouble("late", f"a timetag came {by:.3f} s too late: is the clock of {sender[0]} right?")
        due = at - round(latency + LEAD * 1e9)
        if due <= now:
            self._handle_due()  # what has waited comes first
            self._handle(message, sender, at)
        elif len(self._waiting) < MOST_WAITING:
            heapq.heappush(self._waiting, (due, next(self._order), at, message, sender))
        else:
            self._trouble("waiting", f"{MOST_WAITING} messages wait for their time already: the others are dropped")

    def _handle_due(self) -> None:
        now = time.monotonic_ns()
        while self._waiting and self._waiting[0][0] <= now:
            _, _, at, message, sender = heapq.heappop(self._waiting)
            self._handle(message, sender, at)

    def _handle(self, message: Message, sender: Target, at: int | None) -> None:
        """at: ns of the monotonic clock at which it is to be heard; None: as soon as may be."""
        self.counts["messages"] += 1
        if sender[0] in (host for host, _ in self._subscribers.values()):
            self._renew(sender[0])
        try:
            targets = self._route(message.address)
            if not targets:
                self._serve(message, sender)
        except SopiError as e:
            self._refuse(sender, message.address, ROOT, e)
            return
        for instance, selector in targets:
            self._perform(Request(instance, selector, message.arguments, message.address, sender, at))

    def _perform(self, request: Request) -> None:
        """One message to one instance: answers what is asked, passes on what is told."""
        instance, selector, arguments, address, sender, _ = request
        command = COMMANDS[selector.removesuffix("?")]
        if not command.arguments and len(arguments) == 1 and not isinstance(arguments[0], str):
            if not arguments[0]:  # a button that is let go
                return
            request = request._replace(arguments=())
        if selector != command.name or (command.query and not arguments):
            values = instance.present(command)
            if values is not None:
                for answer in _answer_addresses(address, instance, command.name):
                    self._outbox.put(sender, answer, as_sent(command.name, values), time.monotonic())
                return
        rate = pace(command, arguments)
        kind = (instance, command.name, rate)
        if rate is None or self._pace.admit(kind, rate, request, time.monotonic()):
            self._act(request)
        else:
            self._trouble("fast", f"more than {rate} {command.name} a second: of those the last one counts")

    def _act(self, request: Request) -> None:
        instance, selector, arguments, address, sender, at = request
        before = instance.events
        try:
            instance.performer.perform(selector, *arguments, t=self._frame(instance, at), confined=True)
        except (SopiError, RuntimeError, ValueError) as e:
            self._refuse(sender, address, f"{ROOT}/{instance.name or instance.number}", e)
            return
        if not COMMANDS[selector].arguments:  # whoever asks with one is answered, subscriber or not
            self._tell(sender, instance, before)

    def _refuse(self, sender: Target, address: str, who: str, error: Exception) -> None:
        self._trouble("wrong", f"{address}: {error} (from {sender[0]})")
        self._outbox.put(sender, f"/{who}/error", (f"{address}: {error}",), time.monotonic())

    def _frame(self, instance: Instance, at: int | None) -> int:
        """The t of Performer.handle with which a message is heard at that time, or as soon as it still can."""
        performer = instance.performer
        now = performer.now
        frame = instance.clock.frame_at(at) if at is not None else None
        if frame is not None:
            latency = round(performer.state.latency / 1000 * instance.clock.rate)
            t = frame - latency
            if t >= now:
                return t
            now = max(t, instance.last_t, now - latency)  # what came before it stays before it
        instance.last_t = now
        return max(0, now)

    def _route(self, address: str) -> Targets:
        """Whom and which command an address means; nobody: it is no instance's. Raises SopiError."""
        if self._version != self.instances.version:
            self._version = self.instances.version
            self._routes.clear()
        found = self._routes.get(address)
        if found is None:
            found = self._resolve(address)
            if len(self._routes) >= MOST_ROUTES:
                self._routes.clear()
            self._routes[address] = found
        return found

    def _resolve(self, address: str) -> Targets:
        parts = address.split("/")[1:]
        if len(parts) not in (2, 3) or not _matching(parts[0], [ROOT]):
            raise SopiError(f"no such address, expected /{ROOT}/<name or number>/<command>")
        if len(parts) == 2:
            return []
        who, what = parts[1:]
        instances = [i for i in self.instances.all if _matching(who, i.labels)]
        if not instances:
            known = ", ".join(label for i in self.instances.all for label in i.labels) or "none"
            raise SopiError(f"no instance {who}, expected one of {known}")
        selectors = [what] if what.removesuffix("?") in COMMANDS else _matching(what, COMMANDS)
        if not selectors:
            raise SopiError(f"no command {what}, expected one of {', '.join(COMMANDS)}")
        return [(i, selector) for i in instances for selector in selectors]

    # ---------------------------------------------------------------- feedback

    def _serve(self, message: Message, sender: Target) -> None:
        """/samplernn/<verb>"""
        verb = message.address.split("/")[2]
        now = time.monotonic()
        arguments = message.arguments
        if len(arguments) == 1 and arguments[0] in (0, 1):  # a button: pressed, or let go
            if not arguments[0]:
                return
            arguments = ()
        if verb == "refresh":
            for target in {sender, *(t for t, (host, _) in self._subscribers.items() if sender[0] in (host, t[0]))}:
                self._tell_everything(target)
            return
        target = _target(arguments, sender)
        if verb == "subscribe":
            if target not in self._subscribers and len(self._subscribers) >= MOST_SUBSCRIBERS:
                raise SopiError(f"there are {MOST_SUBSCRIBERS} subscribers already")
            self._echo(now)  # so that it does not hear again what it hears now
            self._subscribers[target] = (sender[0], now)
            self._tell_everything(target)
        elif verb == "unsubscribe":
            self._drop(target)
        else:
            raise SopiError(f"expected /{ROOT}/subscribe, unsubscribe, refresh or /{ROOT}/<name or number>/<command>")

    def _renew(self, host: str) -> None:
        now = time.monotonic()
        for target, (by, _) in self._subscribers.items():
            if by == host:
                self._subscribers[target] = (by, now)

    def _drop(self, target: Target) -> None:
        self._subscribers.pop(target, None)
        self._outbox.forget(target)

    def _tell_everything(self, target: Target) -> None:
        for instance in self.instances.all:
            self._tell(target, instance, 0, passing=False)

    def _tell(self, target: Target, instance: Instance, since: int, passing: bool = True) -> None:
        """What an instance told after the first `since` events."""
        now = time.monotonic()
        for kind, (number, values) in list(instance.told.items()):
            if number > since and (passing or kind not in PASSING):
                for label in instance.labels:
                    for name in addresses(kind):
                        self._outbox.put(target, f"/{ROOT}/{label}/{name}", as_sent(name, values), now)

    def _echo(self, now: float) -> None:
        """Tells subscribers what changed."""
        for target, (_, heard) in list(self._subscribers.items()):
            if now - heard > self._silence:
                self._drop(target)
        for instance in self.instances.all:
            since, self._seen[instance] = self._seen.get(instance, 0), instance.events
            for target in list(self._subscribers):
                self._tell(target, instance, since)
        for gone in set(self._seen) - set(self.instances.all):
            del self._seen[gone]

    # ---------------------------------------------------------------- troubles

    def _trouble(self, kind: str, line: str) -> None:
        self.counts[kind] += 1
        self._last_line[kind] = line
        if kind not in self._reported:
            self._report_troubles(time.monotonic())

    def _report_troubles(self, now: float) -> None:
        for kind, line in list(self._last_line.items()):
            when, before = self._reported.get(kind, (-REPORT, 0))
            if now - when < REPORT:
                continue
            del self._last_line[kind]
            more = self.counts[kind] - before
            self._reported[kind] = (now, self.counts[kind])
            self._report(f"osc {self.port}: {line}" + (f"; {more} like it in the last second" if more > 1 else ""))


def bound_socket(host: str, port: int) -> socket.socket:
    """A UDP socket that doesn't block. Raises SopiError naming the port."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    try:
        sock.bind((host, port))
    except (OSError, OverflowError) as e:
        sock.close()
        raise SopiError(_why_not(e, host, port)) from None
    return sock


def _why_not(e: OSError | OverflowError, host: str, port: int) -> str:
    number = e.errno if isinstance(e, OSError) else None
    if number == errno.EADDRINUSE:
        return f"osc {port}: port {port} is in use by another program, choose another or end that program"
    if number == errno.EACCES:
        return f"osc {port}: port {port} is not for ordinary programs, choose one from 1024 to 65535"
    if isinstance(e, OverflowError):
        return f"osc {port}: no such port, expected a number from 1024 to 65535"
    return f"osc {port}: {host} is no address of this machine, expected 127.0.0.1, 0.0.0.0 or one that it has"


def pace(command: Command, arguments: Sequence[Any]) -> int | None:
    """How many such messages a second one instance gets; None: any number."""
    if names(command, arguments):
        return NAMES
    knob = any(a.kind in ("float", "level", "sound", "message") for a in controls(command))
    return None if knob else ACTS


def _matching(part: str, names: Any) -> list[str]:
    """Those of the names that a part of an address means."""
    if not is_pattern(part):
        return [part] if part in names else []
    return list(filter(matcher(part), names))


def _answer_addresses(address: str, instance: Instance, name: str) -> list[str]:
    """An answer comes from where it was asked, or if that was a pattern, from everything it matched."""
    if not is_pattern(address.removesuffix("?")):
        return [address.removesuffix("?")]
    return [f"/{ROOT}/{label}/{name}" for label in instance.labels]


def _target(arguments: Sequence[Any], sender: Target) -> Target:
    """[port | host port] -> where to send. Raises SopiError."""
    host: Any = sender[0]
    port: Any = sender[1]
    if len(arguments) == 1:
        (port,) = arguments
    elif len(arguments) == 2:
        host, port = arguments
    elif arguments:
        raise SopiError("expected no arguments, a port, or a host and a port")
    host = "127.0.0.1" if host == "localhost" else host
    try:
        socket.inet_pton(socket.AF_INET, host)
        number = int(port)
    except (OSError, TypeError, ValueError, OverflowError):
        raise SopiError("expected a port, or a host such as 192.168.1.20 and a port") from None
    if not 0 < number < 65536:
        raise SopiError(f"port is {number}, expected 1 to 65535")
    return host, number

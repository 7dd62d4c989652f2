"""`Server`: OSC messages from a UDP port to the performers, and what they tell back to whoever asked.

    /samplernn/<name or number>/<command> <arguments>      as in sopilib.live.COMMANDS
    /samplernn/subscribe [port]                            everything once, and from now on what changes
    /samplernn/confirm <number>                            the answer to the same, from another machine: I am here
    /samplernn/unsubscribe [port]
    /samplernn/refresh                                     everything once, to who asks and what its host has subscribed

One thread reads the port; nothing that comes from the network can stop it, and the sound waits for nothing in it.
"""

from __future__ import annotations

import threading
import time
import traceback
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from sopilib import needed
from sopilib.errors import SopiError, sentence
from sopilib.live import COMMANDS
from sopilib.osc.announce import Announcement
from sopilib.osc.instances import Instance, Instances
from sopilib.osc.names import ROOT, as_sent
from sopilib.osc.outbox import Outbox
from sopilib.osc.pace import Pace, rate_of
from sopilib.osc.packet import LONGEST, Message, decode, encode
from sopilib.osc.pattern import is_pattern
from sopilib.osc.port import Port, Target, addresses_of
from sopilib.osc.routes import Routes
from sopilib.osc.schedule import Schedule
from sopilib.osc.strangers import LEASE, LOCAL, Strangers
from sopilib.osc.subscribers import Subscribers
from sopilib.osc.troubles import REPORT, Troubles
from sopilib.threads import ordinary_priority

if TYPE_CHECKING:
    from sopilib.osc.web import Web

__all__ = ["REPORT", "PageServer", "Server"]

TICK = 0.01  # s between looks at the clocks, at what waits, at what changed
BATCH = 256  # packets read before such a look
CLOSING = 0.9  # s that `close` may take


class Request(NamedTuple):
    """A message to an instance, which it leaves unnamed: what waits keeps no performer alive."""

    selector: str
    arguments: tuple[Any, ...]
    address: str
    """As it was written."""
    sender: Target
    at: int | None
    """ns of the monotonic clock at which it is to be heard; None: as soon as may be."""


class Server:
    """OSC on one UDP port, and OSCQuery on the TCP port beside it.

    host    numeric address of the network that may reach it. 127.0.0.1: this machine only, by both its loopback
            addresses; 0.0.0.0: every network
    report  called with a line about what is wrong, at most once a second for each kind of trouble
    query   TCP port of OSCQuery and the page; None: the same number, 0: none
    page    the token under which the page that plays is served there too; None: it isn't. Then it is an error if that
            port can't be had
    page_host  as host, of that port; None: as host
    announce  in the network, if the package zeroconf is there
    lease   seconds without a packet from a subscriber after which it is told nothing more
    local   networks (CIDR) that count as this machine's own: whoever is not in them has to show that it is there
            before it gets more bytes than it sent

    Raises SopiError if the port can't be had. `counts` says how many packets of which trouble there were.
    """

    def __init__(
        self,
        instances: Instances,
        port: int,
        host: str = "127.0.0.1",
        report: Callable[[str], None] = print,
        query: int | None = None,
        page: str | None = None,
        page_host: str | None = None,
        announce: bool = False,
        lease: float = LEASE,
        local: Sequence[str] = LOCAL,
    ) -> None:
        self.instances, self.host = instances, host
        self._port = Port(host, port)
        self.port = self._port.number
        self._troubles = Troubles(lambda line: report(f"osc {self.port}: {line}"))
        self.counts = self._troubles.counts
        self._strangers = Strangers(local)
        self._subscribers = Subscribers(lease)
        self._outbox = Outbox(self._port, self._strangers, self._subscribers.__contains__, self._drop)
        self._seen: weakref.WeakKeyDictionary[Instance, int] = weakref.WeakKeyDictionary()  # events subscribers know
        self._paces: weakref.WeakKeyDictionary[Instance, Pace[Request]] = weakref.WeakKeyDictionary()
        self._schedule = Schedule(self._troubles)
        self._routes = Routes(instances)
        self._closing = False
        self._web: Web | None = None
        if self._port.taken:
            self._troubles.report(self._port.taken)
        if query != 0:
            try:
                self._web = self._open_web(self.port if query is None else query, page, page_host)
            except SopiError as e:
                if page is not None:
                    self._port.close()
                    raise
                self._troubles.report(str(e))  # OSC works without
        self._announcement = Announcement(host, self.port, self.query_port) if announce else None
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"osc-{self.port}")
        self._thread.start()

    def _open_web(self, query: int, page: str | None, page_host: str | None) -> Web:
        """Raises SopiError."""
        addresses = self._port.addresses if page_host is None else addresses_of(page_host)
        what = "page" if page is not None else "OSCQuery"
        web = _open_web(self.instances, self.port, addresses, query, self._troubles, what)
        if page is not None:
            web.open_page(page)
        return web

    @property
    def web(self) -> Web | None:
        """The server of OSCQuery and the page; None: there is none."""
        return self._web

    @property
    def query_port(self) -> int:
        """TCP; 0: none."""
        return self._web.port if self._web else 0

    def close_web(self) -> None:
        """Ends OSCQuery alone, and frees its port."""
        if self._web is not None:
            self._web.stop()
            self._web.join(CLOSING)
            self._web = None

    def close(self) -> None:
        """Ends it, and frees the ports, within a second whatever its clients do."""
        end = time.monotonic() + CLOSING
        self._closing = True
        parts = [part for part in (self._web, self._announcement) if part is not None]
        for part in parts:
            part.stop()
        self._thread.join(CLOSING / 2)
        self._port.close()
        for part in parts:
            part.join(max(0.0, end - time.monotonic()))

    @property
    def subscribers(self) -> list[Target]:
        """Those that are told what changes."""
        return self._subscribers.all

    def __repr__(self) -> str:
        return (
            f"<osc.Server {self.host}:{self.port}: {len(self.instances.all)} instances, {len(self.subscribers)} "
            f"subscribers, {self.counts['messages']} messages>"
        )

    # ---------------------------------------------------------------- the thread

    def _run(self) -> None:
        ordinary_priority()
        next_tick = 0.0
        while not self._closing:
            try:
                if self._port.wait(self._schedule.seconds(max(0.0, next_tick - time.monotonic()))):
                    self._receive()
                self._handle_due()
                now = time.monotonic()
                if now >= next_tick:
                    next_tick = now + TICK
                    self._tick(now)
            except Exception:  # a fault of ours
                if self._closing:
                    return
                with suppress(Exception):
                    traceback.print_exc()
                time.sleep(TICK)

    def _tick(self, now: float) -> None:
        """What is done a hundred times a second. Instances are held by no variable of the thread meanwhile."""
        for instance in self.instances.all:
            try:
                instance.look_at_clock()
                for request in self._pace(instance).due(now):
                    self._act(instance, request)
            except Exception as e:  # a fault of one is none of the others
                self._troubles.add("fault", f"instance {instance.number}: {sentence(e)}")
        self._echo(now)
        self._outbox.flush(now)
        self._troubles.tell(now)

    def _receive(self) -> None:
        for packet, sender in self._port.receive(BATCH, LONGEST + 1):
            if not sender:  # something that we sent was refused
                self._outbox.take_refusals()
                continue
            try:
                self._hear(sender, len(packet))
                self._packet(packet, sender)
            except Exception as e:
                line = sentence(e)
                self._troubles.add("malformed", f"{line} (from {sender[0]})")
                self._outbox.put(sender, f"/{ROOT}/error", (line,), time.monotonic())

    def _hear(self, sender: Target, size: int) -> None:
        """Somebody sent a packet, whatever is in it."""
        now = time.monotonic()
        for target in self._subscribers.hear(sender, now):
            self._welcome(target)
        if not self._strangers.is_local(sender[0]):
            for address, values in self._strangers.hear(sender, size, now).items():
                self._outbox.put(sender, address, values, now)

    def _packet(self, packet: bytes, sender: Target) -> None:
        """Raises SopiError if it is none."""
        for message in decode(packet):
            if message.time is None:
                self._handle(message, sender, None)
            else:
                latency = max((i.performer.state.latency for i in self.instances.all), default=0.0)
                self._schedule.add(message, sender, latency)
                self._handle_due()

    def _handle_due(self) -> None:
        while (due := self._schedule.next()) is not None:
            self._handle(due.message, due.sender, due.at)

    # ---------------------------------------------------------------- messages

    def _handle(self, message: Message, sender: Target, at: int | None) -> None:
        """at: ns of the monotonic clock at which it is to be heard; None: as soon as may be. Whatever goes wrong is
        told to the sender, and what comes after it is handled."""
        self.counts["messages"] += 1
        try:
            targets = self._routes.find(message.address)
            if not targets:
                self._serve(message, sender)
        except Exception as e:
            self._refuse(sender, message.address, ROOT, e)
            return
        for instance, selector in targets:
            try:
                self._perform(instance, Request(selector, message.arguments, message.address, sender, at))
            except Exception as e:
                self._refuse(sender, message.address, f"{ROOT}/{instance.name or instance.number}", e)

    def _perform(self, instance: Instance, request: Request) -> None:
        """One message to one instance: answers what is asked, passes on what is told."""
        selector, arguments, address, sender, _ = request
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
        rate = rate_of(command, arguments)
        if rate is None or self._pace(instance).admit((command.name, rate), rate, request, time.monotonic()):
            self._act(instance, request)
        else:
            self._troubles.add("fast", f"more than {rate} {command.name} a second: of those the last one counts")

    def _pace(self, instance: Instance) -> Pace[Request]:
        return self._paces.setdefault(instance, Pace())

    def _act(self, instance: Instance, request: Request) -> None:
        selector, arguments, address, sender, at = request
        before = instance.events
        try:
            instance.performer.perform(selector, *arguments, t=self._frame(instance, at), confined=True)
        except Exception as e:
            self._refuse(sender, address, f"{ROOT}/{instance.name or instance.number}", e)
            return
        if not COMMANDS[selector].arguments:  # whoever asks with one is answered, subscriber or not
            self._tell(sender, instance, before)

    def _refuse(self, sender: Target, address: str, who: str, error: Exception) -> None:
        line = f"{address}: {sentence(error)}"
        self._troubles.add("wrong", f"{line} (from {sender[0]})")
        self._outbox.put(sender, f"/{who}/error", (line,), time.monotonic())

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

    # ---------------------------------------------------------------- feedback

    def _serve(self, message: Message, sender: Target) -> None:
        """/samplernn/<verb>. Raises SopiError."""
        verb = message.address.split("/")[2]
        arguments = message.arguments
        if len(arguments) == 1 and arguments[0] in (0, 1):  # a button: pressed, or let go
            if not arguments[0]:
                return
            arguments = ()
        if verb == "subscribe":
            self._subscribe(_target(arguments, sender), sender)
        elif verb == "confirm":
            self._confirm(arguments, sender)
        elif verb == "unsubscribe":
            self._drop(_target(arguments, sender))
        elif verb == "refresh":
            for target in {sender, *(t for t in self.subscribers if t[0] == sender[0])}:
                self._tell_everything(target)
        else:
            raise SopiError(f"expected /{ROOT}/subscribe, unsubscribe, refresh or /{ROOT}/<name or number>/<command>")

    def _subscribe(self, target: Target, sender: Target) -> None:
        now = time.monotonic()
        new, number = self._subscribers.add(target, sender, now, self._strangers.is_local(target[0]))
        if new:
            self._welcome(target)
        elif number:
            packet = encode(f"/{ROOT}/confirm", number)
            if self._strangers.may_get(sender, len(packet), now):
                self._outbox.send(target, packet)

    def _confirm(self, arguments: Sequence[Any], sender: Target) -> None:
        if len(arguments) != 1 or isinstance(arguments[0], str):
            raise SopiError("expected the number that came at this address")
        for target in self._subscribers.answer(sender[0], arguments[0], time.monotonic()):
            self._welcome(target)

    def _welcome(self, target: Target) -> None:
        """A new subscriber is told everything; what has just changed is told to the others first, so that this one
        does not hear it twice."""
        self._echo(time.monotonic(), besides=target)
        self._tell_everything(target)

    def _drop(self, target: Target) -> None:
        self._subscribers.drop(target)
        self._outbox.forget(target)

    def _tell_everything(self, target: Target) -> None:
        for instance in self.instances.all:
            self._tell(target, instance, 0, passing=False)

    def _tell(self, target: Target, instance: Instance, since: int, passing: bool = True) -> None:
        """What an instance told after the first `since` events."""
        now = time.monotonic()
        for address, values in instance.news(since, passing):
            self._outbox.put(target, address, values, now)

    def _echo(self, now: float, besides: Target = ()) -> None:
        """Tells subscribers, besides one, what changed."""
        for target in self._subscribers.expired(now):
            self._drop(target)
        targets = [target for target in self.subscribers if target != besides]
        for instance in self.instances.all:
            since, self._seen[instance] = self._seen.get(instance, 0), instance.events
            if instance.events != since:
                for target in targets:
                    self._tell(target, instance, since)


class PageServer:
    """The page that plays, and OSCQuery beside it, without a server of OSC: where a host opens these apart.

    osc_port  UDP, where OSC is spoken; 0: nowhere

    The others are as `Server` has them. Raises SopiError if the port can't be had.
    """

    def __init__(
        self,
        instances: Instances,
        port: int,
        host: str,
        token: str,
        report: Callable[[str], None] = print,
        osc_port: int = 0,
    ) -> None:
        self.host = host
        troubles = Troubles(lambda line: report(f"web {port}: {line}"))
        self._web = _open_web(instances, osc_port, addresses_of(host), port, troubles, "page")
        self.invitation = self._web.open_page(token)
        """The page's addresses."""

    @property
    def osc_port(self) -> int:
        """Where OSC is spoken, as OSCQuery tells it."""
        return self._web.osc_port

    @osc_port.setter
    def osc_port(self, port: int) -> None:
        self._web.osc_port = port

    def close(self) -> None:
        """Ends it, and frees the port, within a second."""
        self._web.stop()
        self._web.join(CLOSING)

    def __repr__(self) -> str:
        return f"<osc.PageServer {self.host}:{self._web.port}>"


def _open_web(
    instances: Instances, osc_port: int, addresses: list[str], port: int, troubles: Troubles, what: str = "OSCQuery"
) -> Web:
    """As `Web`, which needs the extra. Raises SopiError."""
    try:
        from sopilib.osc.web import Web
    except ImportError:
        raise SopiError(f"there is no {what} without the extra web: {needed.pip('sopilib[web]')}") from None
    return Web(instances, osc_port, addresses, port, troubles)


def _answer_addresses(address: str, instance: Instance, name: str) -> list[str]:
    """An answer comes from where it was asked, or if that was a pattern, from everything it matched."""
    if not is_pattern(address.removesuffix("?")):
        return [address.removesuffix("?")]
    return [f"/{ROOT}/{label}/{name}" for label in instance.labels]


def _target(arguments: Sequence[Any], sender: Target) -> Target:
    """[port | own host, port] -> where on the sender's host to send. Raises SopiError."""
    port: Any = sender[1]
    if len(arguments) == 1:
        (port,) = arguments
    elif len(arguments) == 2:
        host, port = arguments
        if host not in (sender[0], "localhost"):
            raise SopiError(f"changes go only to the host that asks for them, expected a port of {sender[0]}")
    elif arguments:
        raise SopiError("expected no arguments, or a port")
    try:
        number = int(port)
    except (TypeError, ValueError, OverflowError):
        raise SopiError("expected a port, a whole number from 1 to 65535") from None
    if not 0 < number < 65536:
        raise SopiError(f"port is {number}, expected 1 to 65535")
    return (sender[0], number, *sender[2:])

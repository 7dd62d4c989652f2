"""`Remote`: the page that plays the instruments from a browser, and its control socket. `web` gives it what comes in
under the token.

    the page says     {"to": 1, "say": ["temperature", 0.8, 50]}    a message to instance 1, as by OSC
                      {"to": 1, "say": ["freeze", 120], "held": true}    until it says freeze 0, or nothing for 1 s
                      {"look": 1}                            the picture of instance 1 from now on; 0: of none
                      {}                                     it is there
    and hears         {"instances": [...], "models": [...]}  all that there is, at first and when instances come and go
                      {"told": {"1": {"temperature": [0.8, 50.0]}}}     what changed, of each kind the last
                      {"error": "one line"}                  what was wrong with what it said itself
                      bytes                                  a column of the picture: instance, level, bands

Many pages may be open; each hears what any of them does. What waits for a slow one is bounded: of each kind the last.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
import weakref
from collections import deque
from contextlib import suppress
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from sopilib import library
from sopilib.errors import SopiError, sentence
from sopilib.live import COMMANDS
from sopilib.live.messages import known
from sopilib.names import escaped
from sopilib.osc.connections import PATIENCE
from sopilib.osc.hands import Hands
from sopilib.osc.instances import PASSING, Instance, Instances
from sopilib.osc.outbox import INTERVAL
from sopilib.osc.pace import Pace, rate_of
from sopilib.osc.troubles import Troubles

__all__ = ["LONGEST_MESSAGE", "Remote"]

MOST_CLIENTS = 112  # pages at once
LONGEST_MESSAGE = 4096  # bytes of what a page says
MOST_WORDS = 64  # of one message
TICK = 0.025  # s between looks at what changed
COLUMN = 0.05  # s between two columns of a picture
MOST_COLUMNS = 4  # that wait for a page: of more the oldest are lost
BEAT = 1.0  # s between messages to a page, at most, so that it knows that the connection holds
HEARTBEAT = 20.0  # s between questions whether a client is alive
PAUSE = 0.002  # s between two messages that are taken from one page
CLOSING = 0.3  # s that a connection has to end
LET_GO = 1.0  # s without a sign of a page after which what it holds is let go
HELD = {"freeze": 0}
"""The messages that may be held, and the value that lets go."""
REMEMBERED = ("snapshot", "model", "loaded")
"""The events after which other slots may be filled."""
LARGEST_EXACT = 2**53 - 1  # whole number that JavaScript has; larger ones travel as text
WHOLE = re.compile("[0-9]{1,20}", re.ASCII)
PATH = re.compile(r"(?<![^\s'\"(])(?:[A-Za-z]:)?[/\\](?:[^\s/\\]+[/\\])+")


class Client:
    """One open page, what it is to hear, and when it was heard last."""

    def __init__(self, ws: web.WebSocketResponse, request: web.Request) -> None:
        self._ws, self._request = ws, request
        self._told: dict[str, dict[str, str]] = {}
        self._whole: str | None = None
        self._error: str | None = None
        self._news = asyncio.Event()
        self._columns: deque[bytes] = deque(maxlen=MOST_COLUMNS)
        self.heard = time.monotonic()
        self.looks = 0
        """The number of the instance whose picture it shows, 0: of none."""

    def tell(self, number: int, told: dict[str, str]) -> None:
        """What changed of an instance: for each kind its values, as JSON."""
        self._told.setdefault(str(number), {}).update(told)
        self._news.set()

    def tell_all(self, everything: str) -> None:
        """All that there is, as JSON. What changed before is in it."""
        self._whole = everything
        self._told = {}
        self._news.set()

    def show(self, column: bytes) -> None:
        """One more column of the picture."""
        self._columns.append(column)
        self._news.set()

    def refuse(self, line: str) -> None:
        """What was wrong with what this page said."""
        self._error = line
        self._news.set()

    async def send(self) -> None:
        """Sends what there is to tell, at most 30 times a second, for as long as the client takes it."""
        with suppress(ConnectionError, RuntimeError):
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), BEAT)
                self._news.clear()
                try:
                    await asyncio.wait_for(self._send(), PATIENCE)
                except TimeoutError:
                    if self._request.transport is not None:
                        self._request.transport.abort()
                    return
                await asyncio.sleep(INTERVAL)

    async def _send(self) -> None:
        texts = []
        if self._whole is not None:
            texts.append(self._whole)
        if self._told:
            told = ",".join(f'"{n}":{{{_members(kinds)}}}' for n, kinds in self._told.items())
            texts.append(f'{{"told":{{{told}}}}}')
        if self._error is not None:
            texts.append(json.dumps({"error": self._error}))
        self._whole, self._error, self._told = None, None, {}
        columns = [self._columns.popleft() for _ in range(len(self._columns))]
        for text in texts if texts or columns else ["{}"]:
            await self._ws.send_str(text)
        for column in columns:
            await self._ws.send_bytes(column)


class Remote:
    """Everything is called in the loop of its server.

    troubles  is told what goes wrong
    """

    def __init__(self, instances: Instances, troubles: Troubles) -> None:
        self._instances, self._troubles = instances, troubles
        self._clients: set[Client] = set()
        self._holds: dict[tuple[int, str], dict[Client, float]] = {}  # of instances, by whom, when heard last
        self._seen: weakref.WeakKeyDictionary[Instance, int] = weakref.WeakKeyDictionary()
        self._paces: weakref.WeakKeyDictionary[Instance, Pace[list[Any]]] = weakref.WeakKeyDictionary()
        self._hands = Hands("page")
        self._version = -1
        self._pictured = self._measured = 0.0  # when, in s of the monotonic clock
        self._awake = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """When the loop ends."""
        self._hands.stop()

    @property
    def pages(self) -> int:
        """How many are open."""
        return len(self._clients)

    async def talk(self, request: web.Request, headers: dict[str, str]) -> web.StreamResponse:
        """A page's control socket, until it ends."""
        if len(self._clients) >= MOST_CLIENTS:
            return web.Response(status=503, text=f"there are {MOST_CLIENTS} pages already\n", headers=headers)
        ws = web.WebSocketResponse(timeout=CLOSING, heartbeat=HEARTBEAT, compress=False, max_msg_size=LONGEST_MESSAGE)
        ws.headers.update(headers)
        client = Client(ws, request)
        self._clients.add(client)
        sending = None
        try:
            await ws.prepare(request)
            client.tell_all(self._everything(await self._models()))
            if self._telling is None or self._telling.done():
                self._version = self._instances.version
                self._telling = asyncio.ensure_future(self._tell())
            sending = asyncio.ensure_future(client.send())
            async for message in ws:
                if message.type is not WSMsgType.TEXT:
                    await ws.close(code=WSCloseCode.UNSUPPORTED_DATA, message=b"expected text")
                    break
                await self._take(client, message.data)
                await asyncio.sleep(PAUSE)
        finally:
            self._clients.discard(client)
            if sending is not None:
                sending.cancel()
        return ws

    # ---------------------------------------------------------------- what a page says

    async def _take(self, client: Client, text: str) -> None:
        client.heard = time.monotonic()
        try:
            said = json.loads(text)
            if not isinstance(said, dict):
                raise SopiError("expected an object")
            for held in self._holds.values():
                if client in held:
                    held[client] = client.heard
            if "look" in said:
                client.looks = said["look"] if isinstance(said["look"], int) else 0
            if "say" in said:
                await self._say(client, said)
        except Exception as e:
            line = sentence(e) if isinstance(e, SopiError | RuntimeError | ValueError) else f"{type(e).__name__}: {e}"
            self._troubles.add("wrong", f"page: {line}")
            client.refuse(shown(line))

    async def _say(self, client: Client, said: dict[str, Any]) -> None:
        instance, words = self._instance(said.get("to")), _words(said["say"])
        selector, *atoms = words
        if selector not in COMMANDS:
            raise SopiError(f"no command {selector}, {known(selector)}")
        self._note_hold(client, instance, selector, atoms, bool(said.get("held")))
        rate = rate_of(COMMANDS[selector], atoms)
        pace = self._paces.setdefault(instance, Pace())
        if rate is None or pace.admit((selector, rate), rate, words, time.monotonic()):
            await self._perform(instance, words)
        else:
            self._troubles.add("fast", f"more than {rate} {selector} a second: of those the last one counts")

    async def _perform(self, instance: Instance, words: list[Any]) -> None:
        performer = instance.performer
        try:
            await self._hands.do(lambda: performer.perform(*words, confined=True))
        finally:
            self._awake.set()

    def _instance(self, number: Any) -> Instance:
        for instance in self._instances.all:
            if instance.number == number:
                return instance
        labels = ", ".join(str(i.number) for i in self._instances.all) or "none"
        raise SopiError(f"no instance {number}, expected one of {labels}")

    # ---------------------------------------------------------------- what is held

    def _note_hold(self, client: Client, instance: Instance, selector: str, atoms: list[Any], held: bool) -> None:
        if selector not in HELD:
            return
        key = instance.number, selector
        if held and atoms != [HELD[selector]]:
            self._holds.setdefault(key, {})[client] = client.heard
        else:  # somebody let go, or set it for good
            self._holds.pop(key, None)

    async def _let_go(self, now: float) -> None:
        """Of what is held by pages that have gone, or whose phone sleeps."""
        for (number, selector), by in list(self._holds.items()):
            for client in [c for c, heard in by.items() if now - heard > LET_GO]:
                del by[client]
            if by:
                continue
            del self._holds[number, selector]
            with suppress(Exception):
                await self._perform(self._instance(number), [selector, HELD[selector]])

    # ---------------------------------------------------------------- what pages hear

    async def _tell(self) -> None:
        """What changes, as long as a page is open or something is held."""
        while self._clients or self._holds:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._awake.wait(), TICK)
            self._awake.clear()
            try:
                await self._tick(time.monotonic())
            except Exception as e:  # a fault of ours
                self._troubles.add("fault", f"page: {type(e).__name__}: {e}")

    async def _tick(self, now: float) -> None:
        if self._version != self._instances.version:
            self._version = self._instances.version
            everything = self._everything(await self._models())
            for client in self._clients:
                client.tell_all(everything)
        for instance in self._instances.all:
            for words in self._paces.setdefault(instance, Pace()).due(now):
                with suppress(Exception):
                    await self._perform(instance, words)
            since, self._seen[instance] = self._seen.get(instance, 0), instance.events
            if instance.events != since:
                told = _told(instance, since, passing=since > 0)
                for client in self._clients:
                    client.tell(instance.number, told)
        await self._let_go(now)
        if now - self._pictured >= COLUMN:
            self._pictured = now
            self._show()
        if now - self._measured >= BEAT:
            self._measured = now
            self._tell_speed()

    def _show(self) -> None:
        """A column to each page that looks at an instance which has sounded since the last one."""
        for instance in self._instances.all:
            looking = [client for client in self._clients if client.looks == instance.number]
            if looking and (column := instance.performer.stream.picture()):
                for client in looking:
                    client.show(bytes([instance.number % 256]) + column)

    def _tell_speed(self) -> None:
        for instance in self._instances.all:
            rtf = float(instance.performer.stream.stats()["rtf"])
            for client in self._clients:
                client.tell(instance.number, {"rtf": json.dumps([float(f"{rtf:.2g}")] if rtf > 0 else None)})

    async def _models(self) -> list[str]:
        """The names that `load` finds."""
        return [shown(name) for name in await self._hands.do(library.available)]

    def _everything(self, models: list[str]) -> str:
        """All that there is, as JSON."""
        instances = ",".join(
            f'{{"number":{i.number},"name":{json.dumps(i.name)},"told":{{{_members(_told(i, 0, passing=False))}}}}}'
            for i in self._instances.all
        )
        return f'{{"instances":[{instances}],"models":{json.dumps(models)}}}'


def shown(line: str) -> str:
    """A line as a page has it: of a path only the last name."""
    return PATH.sub("", line)


def _members(told: dict[str, str]) -> str:
    return ",".join(f'"{kind}":{values}' for kind, values in told.items())


def _told(instance: Instance, since: int, passing: bool) -> dict[str, str]:
    """What an instance told after the first `since` events: for each kind its last values, as JSON."""
    found = {
        kind: json.dumps([_value(v) for v in values])
        for kind, (number, values) in list(instance.told.items())
        if number > since and (passing or kind not in PASSING)
    }
    if not since or any(kind in found for kind in REMEMBERED):
        found["slots"] = json.dumps(sorted(instance.performer.snapshots.slots))
    return found


def _value(value: Any) -> Any:
    """A value as a page has it."""
    if isinstance(value, str):
        return shown(escaped(value))
    return str(value) if isinstance(value, int) and value > LARGEST_EXACT else value


def _words(said: Any) -> list[Any]:
    """Raises SopiError for what is no message."""
    good = isinstance(said, list) and 0 < len(said) <= MOST_WORDS and isinstance(said[0], str)
    for word in said if good else []:
        good = good and (isinstance(word, str) or (type(word) in (int, float) and math.isfinite(word)))
    if not good:
        raise SopiError(f"expected a message of at most {MOST_WORDS} words and numbers, as [temperature, 0.8]")
    return [int(word) if isinstance(word, str) and WHOLE.fullmatch(word) else word for word in said]

"""`Web`: the HTTP and WebSocket server. Its root gives OSCQuery's answers and only reads; under a token, where that was
asked for, lies the page that plays the instruments.

    GET /samplernn/1/temperature?VALUE      as `query` has it
    a WebSocket at /                        {"COMMAND": "LISTEN", "DATA": "/samplernn/1/temperature"}, and IGNORE; what
                                            changes comes as OSC, and {"COMMAND": "PATH_CHANGED", "DATA": "/samplernn"}
                                            when instances come, go or are renamed
    GET /<token>/                           the page, and its files
    a WebSocket at /<token>/control         as `remote` has it

It is aiohttp in one background thread, which the sound and the OSC thread never wait for. A web page that somebody
happens to have open must not read it: no page of another origin is answered, nor one that had its own name point here.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
import time
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from sopilib.errors import SopiError
from sopilib.osc.connections import PATIENCE, Connections
from sopilib.osc.instances import Instance, Instances
from sopilib.osc.invitation import Invitation
from sopilib.osc.names import ROOT
from sopilib.osc.origin import host_name, is_own_name, is_same_origin
from sopilib.osc.outbox import INTERVAL
from sopilib.osc.packet import encode
from sopilib.osc.page import Page
from sopilib.osc.port import bound
from sopilib.osc.query import Node, answer, tree
from sopilib.osc.troubles import REPORT, Troubles
from sopilib.threads import ordinary_priority

__all__ = ["Web"]

MOST_SOCKETS = 128  # WebSockets at once
MOST_LISTENED = 1024  # paths that one WebSocket may listen to
HEARTBEAT = 20.0  # s between questions whether a WebSocket's client is alive; it has half of it for the answer
PAUSE = 0.005  # s between two messages that are taken from one WebSocket
LONGEST_LINE = 2048  # bytes of a request's first line
LONGEST_FIELD = 4096  # bytes of one header
LONGEST_MESSAGE = 4096  # bytes of a WebSocket's message
FRESH = 0.5  # s for which the tree is kept if nothing is told to have changed
CLOSING = 0.3  # s that open connections have to end
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "sopilib",
    "X-Content-Type-Options": "nosniff",
}

SILENT = logging.getLogger("sopilib.osc.web")  # for what aiohttp says of clients that send nonsense
SILENT.addHandler(logging.NullHandler())
SILENT.propagate = False

Seen = weakref.WeakKeyDictionary[Instance, int]


class Web:
    """Serves from now on until `stop`.

    osc_port   UDP, where OSC is spoken; 0: nowhere
    addresses  numeric, at which to listen; at those after the first only if that is possible
    port       TCP, 1 to 65535
    troubles   is told what goes wrong here

    Raises SopiError if it can't have the port.
    """

    def __init__(
        self, instances: Instances, osc_port: int, addresses: list[str], port: int, troubles: Troubles
    ) -> None:
        self._instances, self._troubles = instances, troubles
        self.osc_port = osc_port
        """Where OSC is spoken."""
        self._listeners = _listen(addresses, port)
        self.port = int(self._listeners[0].getsockname()[1])
        self.address = addresses[0]
        """The first at which it listens."""
        self._page: Page | None = None
        self._tree: tuple[Any, float, Node] | None = None  # of which events, when, what it was
        self._sockets = 0
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"oscquery-{self.port}")
        self._thread.start()

    def stop(self) -> None:
        """It is to end, whatever its clients do: `join` waits for that."""
        with suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(self._ended.set)

    def join(self, seconds: float) -> None:
        """Waits until its port is free, for so many seconds at most."""
        self._thread.join(seconds)

    def open_page(self, token: str) -> Invitation:
        """Serves the page too, from now on, to those who know the token."""
        invitation = Invitation(token, self.address, self.port)
        self._page = Page(self._instances, invitation, self._troubles)
        return invitation

    @property
    def invitation(self) -> Invitation | None:
        """To the page; None if it isn't served."""
        return self._page.invitation if self._page is not None else None

    # ---------------------------------------------------------------- the thread

    def _run(self) -> None:
        ordinary_priority()
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(lambda loop, context: None)  # a client that is gone in the middle of something
        try:
            self._loop.run_until_complete(self._serve())
        except Exception as e:
            self._troubles.add("web", f"OSCQuery ended: {type(e).__name__}: {e}")
        finally:
            if self._page is not None:
                self._page.stop()
            for listener in self._listeners:
                listener.close()
            self._loop.close()

    async def _serve(self) -> None:
        self._turn = asyncio.Lock()
        app = web.Application(middlewares=[self._guard], client_max_size=LONGEST_MESSAGE)
        app.router.add_get("/{path:.*}", self._answer)
        runner = web.AppRunner(
            app,
            access_log=None,
            logger=SILENT,
            keepalive_timeout=PATIENCE,
            lingering_time=0,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_FIELD,
            shutdown_timeout=CLOSING,
        )
        await runner.setup()
        assert runner.server is not None
        self._connections = Connections(self._loop, runner.server)
        servers = [await self._loop.create_server(self._connections.make, sock=s) for s in self._listeners]
        tasks = [self._loop.create_task(task) for task in (self._connections.sweep(), self._report())]
        await self._ended.wait()
        for server in servers:
            server.close()
        for task in tasks:
            task.cancel()
        self._connections.abort()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(runner.cleanup(), CLOSING)
        left = [task for task in asyncio.all_tasks(self._loop) if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=CLOSING) if left else None

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT)
            self._troubles.tell(time.monotonic())

    # ---------------------------------------------------------------- HTTP

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Every request comes by here: who may ask, and how what goes wrong is answered."""
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
        async with self._connections.busy(request):
            if not is_own_name(host_name(host)):
                line = "expected an address, localhost or the name of this machine as the host"
                return web.Response(status=421, text=line + "\n", headers=HEADERS)
            if origin is not None and not is_same_origin(origin, host):
                line = "this is not for the pages of other servers"
                return web.Response(status=403, text=line + "\n", headers=HEADERS)
            try:
                return await handler(request)
            except (web.HTTPException, ConnectionError):
                raise
            except Exception as e:
                self._troubles.add("web", f"OSCQuery {request.path}: {type(e).__name__}: {e}")
                return web.Response(status=500, text="it can't be answered\n", headers=HEADERS)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/" and web.WebSocketResponse().can_prepare(request).ok:
            return await self._websocket(request)
        page, (_, token, *rest) = self._page, request.path.split("/", 2)
        if page is not None and page.invitation.opens(token):
            return await page.answer(request, rest[0] if rest else None, HEADERS)
        async with self._turn:
            began = time.monotonic()
            status, node = answer(self._present_tree(), self.osc_port, request.path, request.query_string)
            body = b"" if node is None else json.dumps(node).encode()
            await asyncio.sleep(time.monotonic() - began)  # so that it never takes more than half of the time
        return web.Response(status=status, body=body, content_type="application/json", headers=HEADERS)

    def _present_tree(self) -> Node:
        now = time.monotonic()
        state = (self._instances.version, tuple(i.events for i in self._instances.all))
        if self._tree is None or self._tree[0] != state or now - self._tree[1] > FRESH:
            self._tree = (state, now, tree(self._instances))
        return self._tree[2]

    # ---------------------------------------------------------------- WebSocket

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        if self._sockets >= MOST_SOCKETS:
            return web.Response(status=503, text=f"there are {MOST_SOCKETS} listeners already\n", headers=HEADERS)
        ws = web.WebSocketResponse(timeout=CLOSING, heartbeat=HEARTBEAT, compress=False, max_msg_size=LONGEST_MESSAGE)
        ws.headers.update(HEADERS)
        self._sockets += 1
        telling = None
        try:
            await ws.prepare(request)
            listened, fresh = set[str](), set[str]()
            telling = asyncio.ensure_future(self._tell(ws, request, listened, fresh))
            async for message in ws:
                if message.type is not WSMsgType.TEXT:
                    line = f"nothing is set here, send OSC to UDP port {self.osc_port}"
                    await ws.close(code=WSCloseCode.UNSUPPORTED_DATA, message=line.encode())
                    break
                self._command(message.data, listened, fresh)
                await asyncio.sleep(PAUSE)
        finally:
            self._sockets -= 1
            if telling is not None:
                telling.cancel()
        return ws

    def _command(self, text: str, listened: set[str], fresh: set[str]) -> None:
        """LISTEN and IGNORE; the proposal has no answer to anything else."""
        try:
            command = json.loads(text)
            verb, path = command["COMMAND"], command["DATA"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        if not isinstance(path, str):
            return
        if verb == "IGNORE":
            listened.discard(path)
        elif verb == "LISTEN" and len(listened) < MOST_LISTENED:
            status, node = answer(self._present_tree(), self.osc_port, path, "")
            if status == 200 and node is not None and "CONTENTS" not in node:
                listened.add(path)
                fresh.add(path)

    async def _tell(self, ws: web.WebSocketResponse, request: web.Request, listened: set[str], fresh: set[str]) -> None:
        """What changes, for as long as the WebSocket is open and its client takes it."""
        version = self._instances.version
        seen: Seen = weakref.WeakKeyDictionary()
        with suppress(ConnectionError, RuntimeError):
            while True:
                await asyncio.sleep(INTERVAL)
                try:
                    if version != self._instances.version:
                        version = self._instances.version
                        changed = json.dumps({"COMMAND": "PATH_CHANGED", "DATA": f"/{ROOT}"})
                        await asyncio.wait_for(ws.send_str(changed), PATIENCE)
                    for packet in self._news(listened, fresh, seen):
                        await asyncio.wait_for(ws.send_bytes(packet), PATIENCE)
                except TimeoutError:
                    if request.transport is not None:
                        request.transport.abort()
                    return

    def _news(self, listened: set[str], fresh: set[str], seen: Seen) -> list[bytes]:
        """OSC for each listened path that has news since the last call, and the present value of those in `fresh`."""
        found: dict[str, tuple[Any, ...]] = {}
        for instance in self._instances.all:
            since, seen[instance] = seen.get(instance), instance.events
            wanted = listened if since is None else fresh
            if wanted:
                found.update((a, v) for a, v in instance.news(0, passing=False) if a in wanted)
            if since is not None and since != instance.events:
                found.update((a, v) for a, v in instance.news(since) if a in listened)
        fresh.clear()
        return [encode(address, *values) for address, values in found.items()]


def _listen(addresses: list[str], port: int) -> list[socket.socket]:
    """Sockets at these addresses. Raises SopiError if the first can't be had."""
    found: list[socket.socket] = []
    for address in addresses:
        try:
            sock = bound(socket.SOCK_STREAM, address, port)
            found.append(sock)
            sock.listen(MOST_SOCKETS)
        except (OSError, OverflowError) as e:
            if found and address != addresses[0]:
                continue
            raise SopiError(
                f"TCP port {port} can't be had for OSCQuery and the page ({e}), choose another or end its program"
            ) from None
    return found

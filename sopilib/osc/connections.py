"""The open connections of a web server: how many there may be, and how long a client may take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

__all__ = ["PATIENCE", "Connections"]

MOST_CONNECTIONS = 256
PATIENCE = 5.0  # s for a client to send a request, to take its answer, to take a value
SWEEP = 0.5  # s between looks for those that are slower


class Connections:
    """Every open connection, and since when its client has neither sent the whole of a request nor taken the whole of
    an answer; None: the next move is ours."""

    def __init__(self, loop: asyncio.AbstractEventLoop, server: web.Server) -> None:
        self._loop, self._server = loop, server
        self._since: dict[Any, float | None] = {}

    def make(self) -> asyncio.Protocol:
        """For one more connection. If there are too many, the one whose client has been idle longest gives way."""
        if len(self._since) >= MOST_CONNECTIONS:
            idle = {c: since for c, since in self._since.items() if since is not None}
            if not idle:
                return _Refusal()
            self._end(min(idle, key=idle.__getitem__))
        made = self._server()
        self._since[made] = self._loop.time()
        return made

    @asynccontextmanager
    async def busy(self, request: web.Request) -> AsyncIterator[None]:
        """While a request is answered."""
        connection = request.protocol
        self._since[connection] = None
        try:
            yield
        finally:
            self._since[connection] = self._loop.time()

    async def sweep(self) -> None:
        """Ends those that are too slow."""
        while True:
            await asyncio.sleep(SWEEP)
            for connection, since in list(self._since.items()):
                idle = 0.0 if since is None else self._loop.time() - since
                if idle > PATIENCE or (connection.transport is None and idle > SWEEP):
                    self._end(connection)

    def abort(self) -> None:
        """Ends them all."""
        for connection in list(self._since):
            self._end(connection)

    def _end(self, connection: Any) -> None:
        self._since.pop(connection, None)
        if connection.transport is not None:
            connection.transport.abort()


class _Refusal(asyncio.Protocol):
    """A connection that is ended at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()

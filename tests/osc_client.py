"""A controller for tests: sends OSC with python-osc, from a real socket that hears the answers."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable
from typing import Any

from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from sopilib.live.commands import Command
from sopilib.osc.port import Port

NUMBERS = itertools.count(1)  # for names that are all new
Said = list[tuple[str, tuple[Any, ...]]]


def message(address: str, *values: Any) -> OscMessage:
    builder = OscMessageBuilder(address)
    for value in values:
        builder.add_arg(value)
    return builder.build()


def example(command: Command) -> list[Any]:
    """Arguments that a command takes, its defaults left out. `load` and `snapshot` need what isn't there by itself."""
    values: list[Any] = []
    for argument in command.arguments:
        if argument.optional or argument.default is not None:
            break
        if argument.kind == "text":
            values.append("small")
        elif argument.kind == "word":
            values.append(f"file-{next(NUMBERS)}")
        elif argument.kind == "choice":
            values.append(argument.choices[0])
        elif argument.kind in ("int", "slot"):
            values.append(int(argument.least))
        elif argument.kind == "message":
            values += ["gain", 0.5]
        else:
            least = argument.least if argument.least > -1e9 else -1
            most = min(argument.most, least + 1)
            values.append(int(most) if argument.kind in ("switch", "sound") else float(most))
    return values


def free_port() -> int:
    """One that is free for UDP and for TCP."""
    port = Port("127.0.0.1", 0)
    port.close()
    return port.number


class Controller:
    """host, port: of the server"""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.server = (host, port)

    def send(self, address: str, *values: Any) -> None:
        self.send_raw(message(address, *values).dgram)

    def send_raw(self, packet: bytes) -> None:
        self.socket.sendto(packet, self.server)

    def send_at(self, when: float, *messages: OscMessage) -> None:
        """A bundle for the time `when`, in s since 1970; 0: at once."""
        bundle = OscBundleBuilder(when or IMMEDIATELY)  # type: ignore[arg-type]  # it takes fractions of a second
        for m in messages:
            bundle.add_content(m)
        self.send_raw(bundle.build().dgram)

    def heard(
        self, seconds: float = 0.3, until: str | Callable[[Said], bool] | None = None, wait: float = 30.0
    ) -> Said:
        """With `until`, up to the first message at this address, or until all that came is enough for it, for `wait` s
        at most. Without it what comes within `seconds`: only to see that nothing does."""
        said: Said = []
        end = time.monotonic() + (seconds if until is None else wait)
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                m = OscMessage(self.socket.recv(65536))
            except (TimeoutError, ConnectionError):
                continue
            said.append((m.address, tuple(m.params)))
            if until is not None and (m.address == until if isinstance(until, str) else until(said)):
                return said
        assert until is None, f"nothing came at {until}, but {said}"
        return said

    def ask(self, address: str, *values: Any) -> tuple[Any, ...]:
        """Sends this, and waits for what comes back at the same address."""
        self.send(address, *values)
        return self.heard(until=address)[-1][1]

    def close(self) -> None:
        self.socket.close()

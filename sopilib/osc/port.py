"""`Port`: the UDP sockets of a server, one for each address at which it listens, and why they can't be had."""

from __future__ import annotations

import errno
import selectors
import socket
import sys
from collections.abc import Iterator
from typing import Any

from sopilib.errors import SopiError

__all__ = ["LOOPBACKS", "Port", "Target", "addresses_of", "bound"]

Target = tuple[Any, ...]
"""Where a packet came from or goes to, as a socket has it: numeric host, port, and for IPv6 two more numbers."""

LOOPBACKS = ("127.0.0.1", "::1")
RECEIVE_BUFFER = 1 << 20  # bytes that the system keeps while nobody reads
ATTEMPTS = 16  # at a number that is free at both loopbacks
REPORT_REFUSALS = (  # Linux tells an unconnected socket which target refused, if this is set
    {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
    if sys.platform == "linux"
    else {}
)
NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL)


def addresses_of(host: str) -> list[str]:
    """The addresses at which to listen for `host`. The first is what was asked for. The second, where there is one, is
    the loopback address of the other family, because a program that sends to `localhost` may mean either."""
    if host in ("localhost", *LOOPBACKS):
        return ["::1", "127.0.0.1"] if host == "::1" else list(LOOPBACKS)
    return [host, *{"0.0.0.0": ["::1"], "::": ["127.0.0.1"]}.get(host, [])]


def bound(kind: socket.SocketKind, host: str, number: int) -> socket.socket:
    """A socket of this kind (SOCK_DGRAM or SOCK_STREAM) that doesn't block, at a numeric address. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    where = socket.getaddrinfo(host, number, family, kind, 0, socket.AI_NUMERICHOST)[0][4]
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM and sys.platform != "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(where)
    except BaseException:
        sock.close()
        raise
    return sock


class Port:
    """A UDP port at every address that `addresses_of(host)` gives.

    number  1 to 65535; 0 takes one that is free, for TCP too, since OSCQuery has the same number

    Raises SopiError, naming the port, if it can't be had at the first address. At the second it may fail: a machine
    without IPv6 has no ::1. If another program has the number there, `taken` is a sentence about that, else empty.
    """

    def __init__(self, host: str, number: int) -> None:
        if not 0 <= number < 65536:
            raise SopiError(f"osc {number}: no such port, expected a number from 1024 to 65535")
        self.addresses: list[str] = []
        """At which it listens."""
        self.taken = ""
        self._sockets: list[socket.socket] = []
        for attempt in range(ATTEMPTS):
            self._open(host, number)
            if number or (not self.taken and self._is_free_for_tcp()) or attempt == ATTEMPTS - 1:
                break
            self._close_sockets()
        self._selector = selectors.DefaultSelector()
        for sock in self._sockets:
            self._selector.register(sock, selectors.EVENT_READ)

    def _open(self, host: str, number: int) -> None:
        self.taken = ""
        for i, address in enumerate(addresses_of(host)):
            try:
                sock = bound(socket.SOCK_DGRAM, address, number)
            except OSError as e:
                if i == 0:
                    raise SopiError(_why_not(e, host, number)) from None
                if e.errno not in NO_SUCH_ADDRESS:
                    self.taken = f"{address} port {number} is another program's: what is sent to localhost may go there"
                continue
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            if sock.family in REPORT_REFUSALS:
                sock.setsockopt(*REPORT_REFUSALS[sock.family], 1)
            number = int(sock.getsockname()[1])
            self.addresses.append(address)
            self._sockets.append(sock)
        self.number = number

    def _is_free_for_tcp(self) -> bool:
        try:
            for address in self.addresses:
                with bound(socket.SOCK_STREAM, address, self.number) as sock:
                    sock.listen(1)
        except OSError:
            return False
        return True

    def wait(self, seconds: float) -> bool:
        """Waits until there is something to receive, for so many seconds at most; False: there is nothing."""
        return bool(self._selector.select(seconds))

    def receive(self, most: int, longest: int) -> Iterator[tuple[bytes, Target]]:
        """What has arrived: at most so many packets a socket, cut to so many bytes, each with its sender. In place of
        a packet comes `b""` from `()` where the system reported that something sent earlier was refused."""
        for sock in self._sockets:
            for _ in range(most):
                try:
                    yield sock.recvfrom(longest)
                except BlockingIOError:
                    break
                except OSError:
                    yield b"", ()

    def send(self, packet: bytes, target: Target) -> None:
        """Raises OSError if there is no way there, BlockingIOError if the network is slower than we are."""
        family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        for sock in self._sockets:
            if sock.family == family:
                sock.sendto(packet, target)
                return
        raise OSError(errno.EAFNOSUPPORT, "the port is not open for this kind of address")

    def refusals(self) -> Iterator[Target]:
        """The targets that have said since the last call that nobody listens there. Only Linux knows."""
        for sock in self._sockets if REPORT_REFUSALS else ():
            while True:
                try:
                    _, _, _, target = sock.recvmsg(0, 512, socket.MSG_ERRQUEUE)
                except OSError:
                    break
                yield target

    def close(self) -> None:
        """Frees the port."""
        self._close_sockets()
        self._selector.close()

    def _close_sockets(self) -> None:
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()
        self.addresses.clear()


def _why_not(e: OSError, host: str, number: int) -> str:
    if e.errno == errno.EADDRINUSE:
        return f"osc {number}: port {number} is in use by another program, choose another or end that program"
    if e.errno == errno.EACCES:
        return f"osc {number}: port {number} is not for ordinary programs, choose one from 1024 to 65535"
    return f"osc {number}: {host} is no address of this machine, expected 127.0.0.1, 0.0.0.0 or one that it has"

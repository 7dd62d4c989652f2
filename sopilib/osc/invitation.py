"""How a phone gets to the page: the token that opens it, the addresses to type, and the same as a QR code."""

from __future__ import annotations

import hmac
import io
import os
import re
import secrets
import socket
from contextlib import suppress
from pathlib import Path

from sopilib import needed
from sopilib.errors import SopiError
from sopilib.osc.port import LOOPBACKS

__all__ = ["Invitation", "kept_token"]

TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")  # 16 random bytes
EVERYWHERE = ("0.0.0.0", "::")
ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}  # nothing is sent there


class Invitation:
    """The page's addresses.

    token    the first part of every path of the page
    address  numeric, at which the server listens
    port     TCP
    """

    def __init__(self, token: str, address: str, port: int) -> None:
        self.token, self.address, self.port = token, address, port

    def opens(self, token: str) -> bool:
        """Whether this is the token, found out in a time that says nothing about it."""
        return hmac.compare_digest(token.encode(), self.token.encode())

    @property
    def here(self) -> str:
        """The URL for a browser of this machine."""
        return self._url("127.0.0.1" if self.address in EVERYWHERE else self.address)

    @property
    def there(self) -> str:
        """The URL for a phone; empty if only this machine can reach the server."""
        if self.address in LOOPBACKS:
            return ""
        return self._url(_outward(self.address) if self.address in EVERYWHERE else self.address)

    @property
    def url(self) -> str:
        """The one to hand out."""
        return self.there or self.here

    def _url(self, address: str) -> str:
        host = f"[{address}]" if ":" in address else address
        return f"http://{host}:{self.port}/{self.token}/"

    def for_terminal(self) -> str:
        """A QR code of the URL in half blocks; empty if the package segno is not there."""
        try:
            import segno
        except ImportError:
            return ""
        out = io.StringIO()
        segno.make(self.url, error="l").terminal(out, compact=True, border=2)
        return out.getvalue()

    def as_svg(self) -> bytes:
        """A QR code of the URL for a phone. Raises SopiError if there is none."""
        if not self.there:
            raise SopiError("only this machine can reach the page, expected an address of a network")
        try:
            import segno
        except ImportError:
            raise SopiError(f"there is no QR code without segno: {needed.pip('sopilib[web]')}") from None
        out = io.BytesIO()
        segno.make(self.there, error="l").save(out, kind="svg", scale=4, border=2, light="white", xmldecl=False)
        return out.getvalue()

    def __repr__(self) -> str:
        return f"<Invitation {self.address} port {self.port}>"


def kept_token(new: bool = False) -> str:
    """The token of this user's pages. It stays the same, so that a phone finds the page again after the server was
    started anew; it lies in a file that only this user can read. `new`: another one from now on."""
    state = os.environ.get("XDG_STATE_HOME")
    path = (Path(state) if state else Path.home() / ".local" / "state") / "sopilib" / "web-token"
    if not new:
        with suppress(OSError, UnicodeError):
            kept = path.read_text("ascii").strip()
            if TOKEN.fullmatch(kept):
                return kept
    token = secrets.token_urlsafe(16)
    with suppress(OSError):  # then it holds until the end of the process
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileNotFoundError):
            path.unlink()
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(token + "\n")
    return token


def _outward(address: str) -> str:
    """The address by which others in the network see this machine."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as s:
        s.connect((ELSEWHERE[family], 9))
        return str(s.getsockname()[0])
    return socket.gethostname()

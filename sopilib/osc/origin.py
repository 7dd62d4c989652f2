"""Which requests come from a page of this server, or from no page at all: a browser sends those of other pages too."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress
from urllib.parse import urlsplit

__all__ = ["host_name", "is_own_name", "is_same_origin"]


def host_name(host: str) -> str:
    """The name or the address in a Host header, in lower case, without its port and brackets; empty if it has none."""
    with suppress(ValueError):
        return (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    return ""


def is_own_name(name: str) -> bool:
    """Whether this is an address, `localhost` or this machine's name. A page whose own name was made to point to this
    machine (DNS rebinding) asks by that name."""
    with suppress(ValueError):
        ipaddress.ip_address(name)
        return True
    own = socket.gethostname().lower().removesuffix(".")
    short = own.split(".")[0]
    return bool(name) and name in ("localhost", own, short, f"{short}.local")


def is_same_origin(origin: str, host: str) -> bool:
    """Whether a request for `host`, as its header has it, comes from a page of this very server."""
    with suppress(ValueError):
        theirs, ours = urlsplit(origin), urlsplit(f"http://{host}")
        same_port = (theirs.port or 80) == (ours.port or 80)
        return theirs.scheme == "http" and theirs.hostname == ours.hostname is not None and same_port
    return False

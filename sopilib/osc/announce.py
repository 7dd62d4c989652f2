"""Zeroconf: says in the local network where OSC and OSCQuery are, if the package `zeroconf` is installed."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Any

from sopilib.threads import ordinary_priority

__all__ = ["Announcement"]

KINDS = ("_osc._udp.local.", "_oscjson._tcp.local.")


class Announcement:
    """Says it from now on until `stop`. It takes about a second to be out, in a thread of its own."""

    def __init__(self, host: str, osc_port: int, query_port: int) -> None:
        self._closed = threading.Event()
        self._ports = (osc_port, query_port)
        self._thread = threading.Thread(target=self._run, args=(host,), daemon=True, name="zeroconf")
        self._thread.start()

    def _run(self, host: str) -> None:
        ordinary_priority()
        try:
            import zeroconf
        except ImportError:
            return
        # no network: nobody to tell; an overloaded machine: nobody is told
        with suppress(OSError, TimeoutError, zeroconf.Error):
            everywhere = host == "0.0.0.0"
            made = zeroconf.Zeroconf(interfaces=zeroconf.InterfaceChoice.All if everywhere else [host])
            try:
                addresses = own_addresses() if everywhere else [host]
                for kind, port in zip(KINDS, self._ports):
                    if port:
                        made.register_service(self._service(zeroconf, kind, port, addresses), allow_name_change=True)
                self._closed.wait()
                made.unregister_all_services()
            finally:
                made.close()

    def _service(self, zeroconf: Any, kind: str, port: int, addresses: list[str]) -> Any:
        computer = socket.gethostname().split(".")[0]
        return zeroconf.ServiceInfo(
            kind,
            f"samplernn {self._ports[0]} on {computer}.{kind}",
            port=port,
            addresses=[socket.inet_aton(a) for a in addresses],
            server=f"{computer}.local.",
        )

    def stop(self) -> None:
        """It is to end: `join` waits for that."""
        self._closed.set()

    def join(self, seconds: float) -> None:
        """Waits until the network has been told that it is over, for so many seconds at most."""
        self._thread.join(seconds)


def own_addresses() -> list[str]:
    """This machine's IPv4 addresses in its networks."""
    import ifaddr  # zeroconf needs it

    found = [ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
    return [a for a in found if isinstance(a, str) and not a.startswith("127.")] or ["127.0.0.1"]

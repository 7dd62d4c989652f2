"""`Page`: what lies under the token: the page's files, the command table for it, and its control socket.

The files are as a browser takes them: HTML, style and modules, and nothing in them asks another server for anything.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from aiohttp import web

from sopilib.errors import SopiError
from sopilib.live import COMMANDS
from sopilib.live.commands import Argument, Command
from sopilib.osc.instances import Instances
from sopilib.osc.invitation import Invitation
from sopilib.osc.names import controls
from sopilib.osc.remote import Remote
from sopilib.osc.troubles import Troubles

__all__ = ["Page", "table"]

FILES = Path(__file__).resolve().parent
KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".mp4": "video/mp4",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
    "connect-src 'self'{socket}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PLAIN_HOST = re.compile(r"[\w.:\[\]-]+")


class Page:
    """invitation  has the token
    troubles  is told what goes wrong
    """

    def __init__(self, instances: Instances, invitation: Invitation, troubles: Troubles) -> None:
        self.invitation = invitation
        self._remote = Remote(instances, troubles)
        self._files = {p.name: p for p in FILES.iterdir() if p.suffix in KINDS}
        self._about = json.dumps({"commands": table(), "there": invitation.there})

    def stop(self) -> None:
        """When the server's loop ends."""
        self._remote.stop()

    async def answer(self, request: web.Request, path: str | None, headers: dict[str, str]) -> web.StreamResponse:
        """What a request for a path after the token is answered with. None: there was no slash after the token."""
        headers = {**headers, "Content-Security-Policy": policy(request.headers.get("Host", ""))}
        if path is None:
            return web.Response(status=308, headers={**headers, "Location": f"/{self.invitation.token}/"})
        if path == "control" and web.WebSocketResponse().can_prepare(request).ok:
            return await self._remote.talk(request, headers)
        if path == "page.json":
            return web.Response(text=self._about, content_type="application/json", headers=headers)
        if path == "code.svg":
            try:
                return web.Response(body=self.invitation.as_svg(), content_type="image/svg+xml", headers=headers)
            except SopiError as e:
                return web.Response(status=404, text=f"{e}\n", headers=headers)
        file = self._files.get(path or "index.html")
        if file is None:
            return web.Response(status=404, text="no such file of the page\n", headers=headers)
        # a response of the file itself, for Safari asks a video for its pieces
        return web.FileResponse(file, headers={**headers, "Content-Type": f"{KINDS[file.suffix]}"})


def policy(host: str) -> str:
    """The page may run its own modules and talk to its own server. `host`: as the request has it; Safari before 15.4
    takes 'self' for no WebSocket."""
    return POLICY.format(socket=f" ws://{host}" if PLAIN_HOST.fullmatch(host) else "")


def table() -> list[dict[str, Any]]:
    """The commands, as the page makes its controls of them."""
    return [_command(c) for c in COMMANDS.values()]


def _command(command: Command) -> dict[str, Any]:
    return {
        "name": command.name,
        "help": command.help,
        "query": command.query,
        "voice": command.voice,
        "ramps": command.ramps,
        "arguments": [_argument(a) for a in controls(command)],
    }


def _argument(a: Argument) -> dict[str, Any]:
    least, most = a.knob or (a.least, a.most)
    made = {"name": a.name, "kind": a.kind, "unit": a.unit, "usual": a.usual, "choices": list(a.choices)}
    ends = {"least": least, "most": most, "lowest": a.least, "highest": a.most}
    return made | {k: v for k, v in ends.items() if math.isfinite(v)}

"""`sopi messages`: every message of the instrument, from the command table. docs/reference/messages.md is that page."""

from __future__ import annotations

import argparse

from sopilib.live import COMMANDS, STATUS, course

OF_PD = {
    "bang": "The same as status.",
    "settings <name value...>": "What `settings` alone once gave at the status outlet, to be as it was then.",
    "folder <path>": "Where relative paths are looked up first; at the start beside the patch.",
    "osc <port> [address]": "OSC for all samplernn objects of this Pd, from this machine only unless the address of a "
    "network is given: 0.0.0.0 for all. 0 closes all ports.",
    "web <port> [address]": "A page that plays all samplernn objects of this Pd, for any browser of this machine, or "
    "of a network, as osc has it. 0 closes it; web open opens it in this machine's browser.",
    "name <word>": "What this object is called in OSC, where it has a number too.",
}
OF_OSC = {
    "/samplernn/subscribe [port]": "Sends everything now and every change from now on, to this port of the computer "
    "that asks, or to the one that it asks from.",
    "/samplernn/confirm <number>": "Confirms a subscription from another computer, with the number that came at this "
    "address.",
    "/samplernn/unsubscribe [port]": "Ends the subscription.",
    "/samplernn/refresh": "Sends everything once.",
    "/samplernn/<name or number>/<event>": "Comes to subscribers when something has changed: each event of the status "
    "outlet, below, and each setting at the address of its message.",
    "/samplernn/<name or number>/error": "Comes to whoever sent a wrong message: one line.",
    "/samplernn/error": "Comes to whoever sent what is no message for anybody: one line.",
}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `sopi messages`."""
    parser = commands.add_parser("messages", help="every message that the instrument understands")
    parser.set_defaults(run=lambda args: print(table(), end=""))


def table() -> str:
    """The reference page, as Markdown."""
    lines = [
        "# Messages",
        "",
        "To the first inlet of `[samplernn~]`, or to the message inlet of `[pyext~ 1 1 1 1 samplernn_pd samplernn]`.",
        "A name with `?` after it, or without its arguments, is answered at the status outlet where *asks* says so.",
        "",
        "| message | what it does | arguments | asks |",
        "|---|---|---|---|",
    ]
    for command in COMMANDS.values():
        arguments = "; ".join(
            f"*{a.name}*: {a.expected}"
            + (f", else {_plain(a.default)}" if a.default is not None else ", or none" * a.optional)
            for a in command.arguments
        )
        usage = command.usage.replace("|", "\\|")
        lines.append(
            f"| `{usage}` | {command.help.replace('<', '&lt;')} | {arguments} | {'yes' if command.query else ''} |"
        )
    lines += ["", "# Messages of the Pd object alone", "", "| message | what it does |", "|---|---|"]
    lines += [f"| `{usage}` | {does} |" for usage, does in OF_PD.items()]
    lines += ["", "# As the course writes them", "", "| message | what it does |", "|---|---|"]
    lines += [f"| `{usage}` | {does} |" for usage, does in course.MESSAGES.items()]
    lines += ["", "# In OSC", "", "`/samplernn/<name or number>/<message>`, see [Playing by OSC](../osc.md), and", ""]
    lines += ["| message | what it does |", "|---|---|"]
    lines += [f"| `{usage}` | {does} |" for usage, does in OF_OSC.items()]
    lines += ["", "# What comes out of the status outlet", "", "| message | values |", "|---|---|"]
    lines += [f"| `{kind}` | {values} |" for kind, values in STATUS.items()]
    return "\n".join(lines) + "\n"


def _plain(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"

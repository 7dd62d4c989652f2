"""OSCQuery: what there is to control, as JSON by HTTP, so that controllers find it by themselves. Here are the answers;
`web` gives them.

    GET /                                    everything
    GET /samplernn/1/temperature             one address
    GET /samplernn/1/temperature?VALUE       one attribute of it
    GET /?HOST_INFO                          where OSC is spoken

https://github.com/Vidvox/OSCQueryProposal
"""

from __future__ import annotations

import math
from typing import Any

from sopilib.live import COMMANDS, STATUS
from sopilib.live.commands import Argument, Command
from sopilib.osc.instances import PASSING, Instance, Instances
from sopilib.osc.names import ROOT, as_sent, controls

__all__ = ["answer", "host_info", "tree"]

TYPES = {"float": "f", "level": "f", "int": "i", "switch": "i", "sound": "i", "slot": "i"}  # others: s
ATTRIBUTES = {"FULL_PATH", "CONTENTS", "TYPE", "ACCESS", "VALUE", "RANGE", "DESCRIPTION", "HOST_INFO"}
LARGEST = 2**31 - 1  # of OSC's i
READ, WRITE = 1, 2  # bits of ACCESS

Node = dict[str, Any]


def host_info(port: int) -> Node:
    """Where OSC is spoken, and what of the proposal is done here. `port`: UDP."""
    supported = sorted(ATTRIBUTES - {"FULL_PATH", "CONTENTS", "HOST_INFO"} | {"LISTEN", "PATH_CHANGED"})
    return {
        "NAME": ROOT,
        "OSC_PORT": port,
        "OSC_TRANSPORT": "UDP",
        "EXTENSIONS": dict.fromkeys(supported, True),
    }


def tree(instances: Instances) -> Node:
    """The node of /, with all that is below it and what it is set to now."""
    inside = {
        label: _node(f"/{ROOT}/{label}", f"SampleRNN {label}", _instance(f"/{ROOT}/{label}", instance))
        for instance in instances.all
        for label in instance.labels
    }
    everything = _node(f"/{ROOT}", "The models that play.", inside)
    return _node("/", "SampleRNN, played live.", {ROOT: everything})


def _node(path: str, description: str, contents: dict[str, Node]) -> Node:
    return {"FULL_PATH": path, "ACCESS": 0, "DESCRIPTION": description, "CONTENTS": contents}


def _instance(path: str, instance: Instance) -> dict[str, Node]:
    nodes = {name: _command(f"{path}/{name}", command, instance) for name, command in COMMANDS.items()}
    for kind, description in STATUS.items():
        if kind not in nodes and kind not in PASSING:
            nodes[kind] = _event(f"{path}/{kind}", description, instance.told.get(kind))
    return nodes


def _command(path: str, command: Command, instance: Instance) -> Node:
    arguments = controls(command)
    present = instance.present(command)
    values = None if present is None else list(as_sent(command.name, present))
    node = {
        "FULL_PATH": path,
        "DESCRIPTION": command.help,
        "ACCESS": READ | WRITE if command.query or command.told else WRITE,
        "TYPE": "".join(TYPES.get(a.kind, "s") for a in arguments) or "I",
    }
    if arguments:
        node["RANGE"] = [_range(a) for a in arguments]
    if values and len(values) == len(arguments):
        node["VALUE"] = values
    return node


def _range(argument: Argument) -> Node | None:
    if argument.kind == "switch":
        return {"VALS": [0, 1]}
    if argument.kind == "choice":
        return {"VALS": list(argument.choices)}
    ends = {"MIN": argument.least, "MAX": argument.most}
    if TYPES.get(argument.kind) == "i":
        ends["MAX"] = min(argument.most, LARGEST)
    return {name: value for name, value in ends.items() if math.isfinite(value)} or None


def _event(path: str, description: str, told: tuple[int, tuple[Any, ...]] | None) -> Node:
    node: Node = {"FULL_PATH": path, "DESCRIPTION": description, "ACCESS": READ}
    if told:
        values = list(told[1])
        node["VALUE"] = values
        node["TYPE"] = "".join("f" if isinstance(v, float) else "i" if isinstance(v, int) else "s" for v in values)
    return node


def answer(root: Node, osc_port: int, path: str, attribute: str) -> tuple[int, Node | None]:
    """What a request for a path of the tree below `root` is answered with: the HTTP status and the JSON, None where
    there is no content. `attribute`: the query, empty for the whole node."""
    if attribute == "HOST_INFO":
        return 200, host_info(osc_port)
    node = root
    for name in filter(None, path.split("/")):
        found = node.get("CONTENTS", {}).get(name)
        if found is None:
            return 404, None
        node = found
    if not attribute:
        return 200, node
    if attribute not in ATTRIBUTES:
        return 400, None
    return (200, {attribute: node[attribute]}) if attribute in node else (204, None)

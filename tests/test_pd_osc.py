"""OSC in real Pd: `osc` opens the port, and Pd's own netsend and oscformat play the instrument."""

from __future__ import annotations

import re
import socket
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from osc_client import Controller, example, free_port
from osc_stage import Stage, wait_for
from pd_host import Patch, Result, end, said_until, start

from sopilib.live import COMMANDS
from sopilib.osc import layouts

pytestmark = pytest.mark.usefixtures("pd_models")


def netsend(patch: Patch, port: int, ms: float = 300) -> int:
    """[netsend] to a port of this machine, from `ms` on."""
    box = patch.obj("netsend -u -b")
    patch.at(ms, f"connect 127.0.0.1 {port}", box)
    return box


def words(name: str) -> str:
    return " ".join(f"{v:g}" if isinstance(v, int | float) else v for v in example(COMMANDS[name]))


def answers(controller: Controller) -> bool:
    """Whether somebody is there."""
    controller.send("/samplernn/1/models")
    return bool(controller.heard(0.3))


def told(result: Result, label: str) -> list[str]:
    """What Pd's console has of [print label], but for what changes by itself, and for `listen`: without arguments it
    asks, and who asks by OSC is answered by OSC."""
    passing = {"rendered", "progress", "level", "rtf", "burst", "late", "settings", "warning", "listen", "osc"}
    lines = [line for line in result.printed(label) if line.split()[0] not in passing]
    return sorted(re.sub(r"(take|score)-\d+", r"\1", line) for line in lines)


def test_every_command_works_by_messages_and_by_netsend_alike(tmp_path: Path) -> None:
    port = free_port()
    patch = Patch()
    direct, by_osc = patch.obj("samplernn~"), patch.obj("samplernn~ name two")
    patch.print(direct, 1, "direct")
    patch.print(by_osc, 1, "by-osc")
    patch.at(100, f"osc {port}", by_osc)
    sender = netsend(patch, port)
    for i, name in enumerate(COMMANDS):
        ms = 500 + 100 * i + (3000 if i else 0)  # `load` comes first, and is done by then
        message = f"{name} {words(name)}".strip()
        patch.at(ms, message, direct)
        formatter = patch.obj(f"oscformat samplernn two {name}")
        patch.chain(formatter, patch.obj("list prepend send"), patch.obj("list trim"), sender)
        patch.at(ms, f"list {words(name)}".strip(), formatter)
    patch.quit(3900 + 100 * len(COMMANDS))
    process = start(patch.write(tmp_path / "p.pd"))
    out, _ = process.communicate(timeout=60)
    result = Result(process.returncode, out.decode(), 0)
    assert not result.errors(), result.errors()
    ours, theirs = told(result, "direct"), told(result, "by-osc")
    assert f"osc {port} 2" in result.printed("by-osc")
    assert ours == theirs
    assert len(ours) > len(COMMANDS)


def test_one_port_reaches_all_objects_and_can_be_closed(tmp_path: Path) -> None:
    port, taken = free_port(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    taken.bind(("127.0.0.1", 0))
    patch = Patch()
    one, two = patch.obj("samplernn~ small"), patch.obj("samplernn~ other name second temperature 0.5")
    patch.print(one, 1, "one")
    patch.at(50, f"osc {taken.getsockname()[1]}", one)
    patch.at(60, "osc nine", one)
    patch.at(100, f"osc {port}", one)
    patch.at(110, f"osc {port}", two)
    go = patch.wait_for_go()
    patch.at(0, "osc 0", two)
    patch.quit(1500)
    process = start(patch.write(tmp_path / "p.pd"))
    controller = Controller(port)
    try:
        wait_for(lambda: answers(controller))
        assert controller.ask("/samplernn/second/temperature") == (0.5,)
        assert controller.ask("/samplernn/1/temperature") == (1.0,)
        controller.send("/samplernn/*/gain", 0.25)
        assert controller.ask("/samplernn/2/gain") == controller.ask("/samplernn/1/gain") == (0.25,)
        controller.send("/samplernn/1/load", "/etc/passwd")
        assert "no model" in controller.heard(until="/samplernn/1/error")[-1][1][0]
        with socket.create_connection(("127.0.0.1", go)) as s:
            s.sendall(b"go;")
            wait_for(lambda: not answers(controller))  # osc 0 closes the port
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        controller.close()
        taken.close()
    assert process.returncode == 0
    printed = Result(0, out.decode(), 0).printed("one")
    assert f"osc {port} 1" in printed
    errors = [line for line in printed if line.startswith("error")]
    assert "is in use by another program" in errors[0]
    assert "expected osc <port> [address]" in errors[1]
    assert len(errors) == 2


def test_reload_of_the_class_leaves_the_port_open_and_it_reaches_the_new_object(tmp_path: Path) -> None:
    port, reloaded = free_port(), tmp_path / "reloaded.pd"
    patch = Patch()
    box = patch.obj("pyext~ 1 1 1 1 samplernn_pd samplernn small temperature 0.5")
    patch.print(box, 1, "status")
    patch.at(50, f"osc {port}", box, 1)
    patch.at(500, "reload.", box, 0)
    patch.at(700, f"osc {port}", box, 1)
    patch.at(900, f"savetofile {reloaded.name} {tmp_path}", patch.obj("s pd-p.pd"))
    process = start(patch.write(tmp_path / "p.pd"))
    controller = Controller(port)
    try:
        before = "".join(said_until(process, f"status: osc {port} 1") for _ in range(2))
        wait_for(reloaded.exists, 60)
        controller.send("/samplernn/1/gain", 0.25)
        assert controller.ask("/samplernn/1/gain") == (0.25,)
        _, _, out = end(process, within=60)
    finally:
        process.kill()
        controller.close()
    result = Result(0, before + out, 0)
    assert not result.errors(), result.errors()
    assert [line for line in result.printed("status") if line.startswith("osc")] == [f"osc {port} 1", f"osc {port} 1"]


def test_vanilla_pd_in_the_network_sends_the_number_back_by_itself(tmp_path: Path) -> None:
    network = Stage(local=())  # nobody counts as this machine's own
    back = free_port()
    text = layouts.vanilla_patch().replace(" 9000;", f" {network.server.port};").replace(" 9001;", f" {back};")
    # only the subscription is sent: it is confirmed by nothing but the number
    (tmp_path / "p.pd").write_text(re.sub(r"metro \d+", "metro 60000", text))
    command = ["pd", "-nogui", "-noprefs", "-noaudio", "-stderr", "-open", str(tmp_path / "p.pd")]
    pd = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: network.server.subscribers == [("127.0.0.1", back)])
    finally:
        pd.kill()
        pd.wait()
        network.close()


def test_osc_0_and_the_messages_after_it_wait_for_no_client(tmp_path: Path) -> None:
    """A client that sends OSCQuery a byte at a time, and never a whole request."""
    port, stop = free_port(), threading.Event()
    patch = Patch()
    box = patch.obj("samplernn~")
    patch.print(box, 1, "one")
    patch.at(100, f"osc {port}", box)
    patch.at(1500, "osc 0", box)
    patch.at(1600, "gain 0.5", box)
    process = start(patch.write(tmp_path / "p.pd"))

    def drip() -> None:
        while not stop.wait(0.1):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as s:
                s.sendall(b"GET / HTTP/1.1\r\nX: ")
                while not stop.wait(0.2):
                    s.sendall(b"a")

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        said_until(process, "one: gain 0.5 0")
    finally:
        process.kill()
        process.wait()
        stop.set()
        dripping.join()

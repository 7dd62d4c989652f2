"""OSC to a performer and back, over real sockets."""

from __future__ import annotations

import itertools
import json
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import zeroconf
from hypothesis import given
from hypothesis import strategies as st
from osc_client import Controller, example, message
from osc_noise import fuzzed, gain_changes, nested
from osc_stage import Stage, keeping_on, wait_for
from pythonosc.osc_message import OscMessage
from stream_host import NativeHost, in_real_time

from sopilib import SopiError
from sopilib.live import COMMANDS, STATUS, Performer
from sopilib.osc import Server, layouts
from sopilib.osc.announce import KINDS
from sopilib.osc.clock import HostClock
from sopilib.osc.packet import DEEPEST, LONGEST, decode, encode
from sopilib.osc.pattern import matcher
from sopilib.osc.server import REPORT

FLOOD = Path(__file__).parent / "osc_flood.py"
pytestmark = pytest.mark.usefixtures("pd_models")


@pytest.fixture
def stage():
    made = Stage()
    yield made
    made.close()


# ---------------------------------------------------------------- packets


def test_what_we_write_others_read_and_what_they_write_we_read():
    values = (1, -5, 0.5, "héllo", True, False, 2**40)
    assert OscMessage(encode("/a/b", *values)).params == list(values)
    assert decode(message("/a/b", *values).dgram) == [(None, "/a/b", values)]
    assert decode(encode("/a")) == [(None, "/a", ())]
    assert decode(encode("/a", 1e300)) == [(None, "/a", (1e300,))]
    assert decode(b"/a\0\0") == [(None, "/a", ())]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(noise):
    for packet in (noise, b"#bundle\0" + noise, b"/a\0\0," + noise):
        try:
            decode(packet)
        except SopiError as e:
            assert "\n" not in str(e)


@pytest.mark.parametrize(
    ("packet", "line"),
    [
        (b"", "no multiple of 4"),
        (b"/ab", "no multiple of 4"),
        (b"abc\0", "neither with / nor with #bundle"),
        (b"/abc", "no end"),
        (b"/a\0\0,f\0\0", "not that of its types"),
        (b"/a\0\0,s\0\0abcd", "no end"),
        (b"/a\0\0,fs\0", "ends before its arguments"),
        (b"/a\0\0,b\0\0\0\0\0\0", "type 'b'"),
        (b"/a\n\0", "can't be printed"),
        (b"/" + b"a" * 400 + b"\0\0\0", "longer than 255"),
        (b"/a\0\0," + b"i" * 102 + b"\0" + bytes(408), "more than 64 arguments"),
        (b"#bundle\0\0\0\0\0", "ends within its time"),
        (nested(1, b"/a\0\0")[:-4], "longer than the bundle"),
        (nested(DEEPEST + 1, b"/a\0\0"), "nested more than 8 deep"),
        (nested(800, b"/a\0\0"), "nested more than 8 deep"),
        (bytes(LONGEST + 4), "longer than 16384 bytes"),
    ],
)
def test_what_breaks_the_format_is_named(packet, line):
    with pytest.raises(SopiError, match=line):
        decode(packet)


@pytest.mark.parametrize(
    ("pattern", "fits", "not_"),
    [
        ("*", ["", "left"], []),
        ("le*", ["left", "le"], ["right"]),
        ("*t", ["left", "right"], ["lefts"]),
        ("?eft", ["left"], ["eft", "lleft"]),
        ("[a-l]eft", ["left"], ["meft"]),
        ("[!a-k]eft", ["left"], ["beft"]),
        ("{left,right}", ["left", "right"], ["leftright", "l"]),
        ("{l,le}ft", ["left", "lft"], ["lt"]),
        ("*" * 120 + "x", ["x"], ["a" * 120]),
        ("*a" * 100 + "x", ["a" * 100 + "x"], ["a" * 120]),
    ],
)
def test_patterns(pattern, fits, not_):
    began = time.perf_counter()
    assert all(map(matcher(pattern), fits))
    assert not any(map(matcher(pattern), not_))
    assert time.perf_counter() - began < 10  # not for ever


# ---------------------------------------------------------------- commands


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_works_from_python_osc(stage, name):
    command = COMMANDS[name]
    told = []
    if name == "snapshot":
        stage.left.handle("load", "small")
        wait_for(lambda: stage.left.state.model)
    stage.left.watch(lambda kind, *values: told.append(kind))
    stage.controller.send(f"/samplernn/left/{name}", *example(command))
    wait_for(lambda: told)
    if name != "load":
        stage.settle()
    assert not stage.lines
    assert "error" not in told
    assert set(told) <= set(STATUS)


def test_every_command_works_from_liblo(stage):
    told = []
    stage.left.watch(lambda kind, *values: told.append(kind))
    letters = {int: "i", float: "f", str: "s"}
    for name, command in COMMANDS.items():
        values = example(command)
        tags = "".join(letters[type(v)] for v in values)
        words = ["oscsend", "localhost", str(stage.server.port), f"/samplernn/1/{name}", *([tags] if tags else [])]
        before = len(told)
        subprocess.run([*words, *map(str, values)], check=True)
        wait_for(lambda before=before: len(told) > before)
        if name == "load":
            wait_for(lambda: "loaded" in told)
    stage.settle()
    assert not stage.lines
    assert "error" not in told


def test_liblo_hears_what_changes(stage, tmp_path):
    port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    port.bind(("127.0.0.1", 0))
    number = port.getsockname()[1]
    port.close()
    heard = tmp_path / "heard"
    with heard.open("w") as file:
        dump = subprocess.Popen(["oscdump", "-L", str(number)], stdout=file)
    try:
        end = time.monotonic() + 30
        while "/samplernn/left/temperature f 0.750000" not in heard.read_text():
            assert time.monotonic() < end
            stage.controller.send("/samplernn/subscribe", number)  # until it is there, it is dropped as often
            stage.controller.send("/samplernn/left/temperature", 0.75)
            time.sleep(0.05)
    finally:
        dump.terminate()
        dump.wait()


def test_instances_are_reached_by_name_by_number_and_by_pattern(stage):
    left, other = stage.performers
    for address, expected in (
        ("/samplernn/left/gain", (0.5, 1)),
        ("/samplernn/2/gain", (0.5, 0.5)),
        ("/samplernn/*/gain", (0.25, 0.25)),
        ("/samplernn/{1,3}/gain", (0.75, 0.25)),
        ("/samplernn/[12]/ga*", (0.1, 0.1)),
        ("/*/left/gain", (0.2, 0.1)),
    ):
        value = next(e for e, before in zip(expected, (left.state.gain, other.state.gain)) if e != before)
        stage.controller.send(address, value)
        stage.settle()
        assert (left.state.gain, other.state.gain) == pytest.approx(expected)
    stage.instances.rename(stage.instances.all[1], "left")
    stage.controller.send("/samplernn/left/gain", 1)
    stage.settle()
    assert left.state.gain == other.state.gain == 1, "a name may stand for several"
    assert not stage.lines


def test_numbers_stay_when_instances_come_and_go(stage):
    first = stage.instances.all[0]
    stage.instances.remove(first)
    assert [i.number for i in stage.instances.all] == [2]
    assert stage.instances.add(first.performer, "left").number == 1
    for name in ("7", "a b", "a/b", "*"):
        with pytest.raises(SopiError, match="can't be a name"):
            stage.instances.rename(stage.instances.all[0], name)


def test_toggles_buttons_and_numbers_of_any_type_do_what_is_meant(stage):
    send, state = stage.controller.send, stage.left.state
    for on, off in ((1, 0), (1.0, 0.0), (True, False)):
        send("/samplernn/1/generate", on)
        stage.settle()
        assert state.playing
        send("/samplernn/1/generate", off)
        stage.settle()
        assert not state.playing
    send("/samplernn/1/generate")
    send("/samplernn/1/stop", 0.0)  # a button that is let go
    stage.settle()
    assert state.playing
    send("/samplernn/1/stop", 1.0)
    stage.settle()
    assert not state.playing
    send("/samplernn/1/seed", 7.0)
    stage.controller.send_raw(b"/samplernn/1/generate\0\0\0,I\0\0")  # impulse: no value
    stage.settle()
    assert state.seed == 7
    assert state.playing
    assert not stage.lines


def test_order_is_kept(stage):
    told = []
    stage.left.watch(lambda kind, *values: told.append(values[0]) if kind == "seed" else None)
    for i in range(200):
        if i % 3:
            stage.controller.send("/samplernn/1/seed", i)
        else:
            stage.controller.send_at(0, message("/samplernn/1/seed", i))
    stage.settle()
    assert told == list(range(200))


# ---------------------------------------------------------------- feedback


def test_a_query_is_answered_to_whoever_asked(stage):
    asks = stage.controller.ask
    assert asks("/samplernn/left/temperature") == (1.0,)
    assert asks("/samplernn/1/latency") == (20.0,)
    stage.controller.send("/samplernn/1/generate?")
    assert stage.controller.heard(until="/samplernn/1/generate")[-1][1] == (0,)
    assert "small" in asks("/samplernn/1/models")
    stage.controller.send("/samplernn/*/gain")
    all_of_them = {"/samplernn/1/gain", "/samplernn/left/gain", "/samplernn/2/gain"}
    stage.controller.heard(until=lambda said: all_of_them <= {a for a, _ in said})


def test_a_wrong_message_is_answered_with_what_was_expected(stage):
    asks = stage.controller
    for address, values, at, line in (
        ("/samplernn/left/temperature", ("hot",), "/samplernn/left/error", "expected a number from 0.01 to 5"),
        ("/samplernn/nobody/gain", (1.0,), "/samplernn/error", "no instance nobody, expected one of 1, left, 2"),
        ("/samplernn/1/tempperature", (1.0,), "/samplernn/error", "no command tempperature, did you mean temperature?"),
        ("/mixer/1/gain", (1.0,), "/samplernn/error", "expected /samplernn/<name or number>/<command>"),
        ("/samplernn/[/gain", (1.0,), "/samplernn/error", "[ has no ]"),
        ("/samplernn/subscribe", ("phone.local", 9000), "/samplernn/error", "expected a port"),
        ("/samplernn/subscribe", (70000,), "/samplernn/error", "port is 70000"),
    ):
        asks.send(address, *values)
        (answer,) = asks.heard(until=at)[-1][1]
        assert line in answer


def test_subscribers_hear_everything_once_and_then_what_changes(stage):
    one, two = stage.controllers(2)
    one.send("/samplernn/subscribe")
    at_first = dict(one.heard(until="/samplernn/2/generate"))
    for command in COMMANDS.values():
        if command.query or command.told:
            assert f"/samplernn/left/{command.name}" in at_first
    two.send("/samplernn/1/temperature", 0.5)
    assert one.heard(until="/samplernn/left/temperature")[-1][1] == (0.5,)
    stage.left.handle("generate", 1)
    assert one.heard(until="/samplernn/left/generate")[-1][1] == (1,)
    assert not two.heard(0.1), "who has not subscribed hears nothing"

    two.send("/samplernn/refresh")
    assert two.heard(until="/samplernn/1/temperature")[-1][1] == (0.5,)
    two.send("/samplernn/subscribe", "127.0.0.1", one.port)
    wait_for(lambda: stage.server.subscribers == [("127.0.0.1", one.port)])
    one.send("/samplernn/unsubscribe")
    wait_for(lambda: not stage.server.subscribers)


def test_answers_go_to_the_port_that_was_told(stage):
    hand, ear = stage.controllers(2)
    hand.send("/samplernn/subscribe", float(ear.port))  # a controller that has no ints
    ear.heard(until="/samplernn/2/generate")
    hand.send("/samplernn/left/gain", 0.5)
    assert ear.heard(until="/samplernn/left/gain")[-1][1] == (0.5,)


def test_each_address_comes_at_most_thirty_times_a_second_and_last_comes_the_last_value(stage):
    ear, hand = stage.controllers(2)
    ear.send("/samplernn/subscribe")
    ear.ask("/samplernn/2/models")  # all that came before is heard
    heard, last = [], ("/samplernn/left/gain", (0.125,))
    listening = threading.Thread(target=lambda: heard.extend(ear.heard(until=lambda said: said[-1] == last)))
    listening.start()
    begin = time.monotonic()
    end = begin + 1
    for i in itertools.count():
        hand.send("/samplernn/left/gain", 1 + i % 1000 / 1000)
        hand.send("/samplernn/left/temperature")
        if time.monotonic() > end:
            break
        time.sleep(0.001)
    hand.send("/samplernn/left/gain", 0.125)
    listening.join()
    most = 2 + 30 * (time.monotonic() - begin)
    values = [v for address, v in heard if address == "/samplernn/left/gain"]
    assert 2 < len(values) <= most
    assert len(hand.heard(0.1)) <= most + 3, "answers too"


def test_a_button_subscribes_when_pressed_and_not_when_let_go(stage):
    stage.controller.send("/samplernn/subscribe", 1.0)
    stage.controller.heard(until="/samplernn/left/gain")
    stage.controller.send("/samplernn/unsubscribe")
    wait_for(lambda: not stage.server.subscribers)
    stage.controller.ask("/samplernn/2/models")  # all that came before is heard
    stage.controller.send("/samplernn/subscribe", 0.0)
    assert not stage.controller.heard(0.2)
    assert not stage.server.subscribers


def test_dead_subscribers_drop_out():
    stage = Stage(lease=0.5)
    try:
        gone, silent, alive = stage.controllers(3)
        for controller in (gone, silent):
            controller.send("/samplernn/subscribe")
        wait_for(lambda: len(stage.server.subscribers) == 2)
        gone.close()  # from now on its port refuses
        stage.left.handle("gain", 0.5)
        wait_for(lambda: stage.server.subscribers == [("127.0.0.1", silent.port)])
        for _ in keeping_on(silent, "/samplernn/subscribe", 0.8, 0.5):
            silent.send("/samplernn/1/gain", 0.5)  # any packet shows that it lives
        assert stage.server.subscribers
        end = time.monotonic() + 30
        while stage.server.subscribers:
            assert time.monotonic() < end
            alive.send("/samplernn/1/gain", 0.5)  # what others of its host send does not
            time.sleep(0.1)
    finally:
        stage.close()


# ---------------------------------------------------------------- time


def test_a_hosts_clock_is_known_to_the_sample_though_its_callbacks_are_late():
    rng = random.Random(1)
    for ppm in (0, 60, -60):
        clock, rate, begin, next_look, errors = HostClock(), 48000 * (1 + ppm * 1e-6), 10**15, 0.0, []
        for block in range(round(12 * rate / 128)):
            ns = begin + round(
                block * 128 / rate * 1e9 + abs(rng.gauss(0, 40e3)) + (5e6 if rng.random() < 0.005 else 0)
            )
            if ns < next_look:
                continue
            next_look = ns + rng.uniform(15e6, 25e6)
            clock.observe(128 * (block + 1), ns, 48000)
            if ns > begin + 4e9:
                when = ns + 300_000_000
                errors.append((clock.frame_at(when) or 0) - 128 - (when - begin) / 1e9 * rate)
        assert max(errors) - min(errors) < 3, ppm


def play_with(stage, act, seconds):
    """A performer at a host of its own plays; what `act` sends is in what it played -> that, and the instance."""
    performer = Performer()
    host = NativeHost(performer.ring, round(seconds * 48000))
    instance = stage.instances.add(performer, "timed")
    try:
        host.start()
        performer.handle("load", "small")
        wait_for(lambda: performer.state.model)
        performer.handle("generate")
        time.sleep(0.5)
        act()
        host.join()
        return host.out, instance, performer.stream.stats()
    finally:
        stage.instances.remove(instance)
        performer.close()


def test_a_timetag_is_met_to_the_sample_and_blocks_nothing(stage):
    def attempt():
        times: list[float] = []

        def act():
            times.extend(time.time() + 0.2 + 0.05 * i for i in range(6))
            for i, when in reversed(list(enumerate(times))):
                stage.controller.send_at(when, message("/samplernn/timed/gain", i % 2))
            sent = time.monotonic()
            assert stage.controller.ask("/samplernn/timed/temperature") == (1.0,)
            assert time.monotonic() - sent < 0.2, "what waits blocks nothing"

        out, instance, stats = play_with(stage, act, 1.9)
        changes = gain_changes(out, 9600)[:6]
        assert np.abs(np.diff(changes) - 2400).max() <= 1
        assert stats["late"] == 0
        offset = time.time_ns() - time.monotonic_ns()
        expected = [instance.clock.frame_at(round(when * 1e9) - offset) for when in times]
        assert np.abs(changes - expected).max() <= 2
        assert not stage.server.counts["late"]

    in_real_time(attempt)


def test_a_timetag_in_the_past_applies_at_once_and_is_counted_late(stage):
    def attempt():
        sent: list[int] = []

        def act():
            performer = stage.instances.all[-1].performer
            sent.extend((performer.now, performer.stream.stats()["late"]))
            stage.controller.send_at(time.time() - 1, message("/samplernn/timed/gain", 0))

        out, instance, stats = play_with(stage, act, 1.2)
        change = gain_changes(out, 9600)[0]
        assert 0 <= change - sent[0] <= 0.022 * 48000
        assert stats["late"] == sent[1] + 1
        assert stats["worst_late"] <= 960

    in_real_time(attempt)
    assert stage.server.counts["late"]
    assert "too late: is the clock of 127.0.0.1 right?" in stage.lines[0]


def test_a_timetag_of_next_week_is_a_wrong_clock(stage):
    stage.controller.send_at(time.time() + 7 * 86400, message("/samplernn/1/gain", 0.5))
    wait_for(lambda: stage.left.state.gain == 0.5)
    assert "set the clock of 127.0.0.1" in stage.lines[0]


# ---------------------------------------------------------------- a stage network


def test_only_names_are_reached_by_osc(stage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.safetensors").write_bytes(b"x")
    (tmp_path / "here.wav").write_bytes(b"x")
    told = []
    stage.left.watch(lambda *event: told.append(event))
    for words in (
        ("load", "/etc/passwd"),
        ("load", "../small"),
        ("load", "here.safetensors"),
        ("load", "~"),
        ("load", ".."),
        ("load", "small/small.safetensors"),
        ("load", "small\nx"),
        ("seed", "/etc/passwd"),
        ("seed", "../here.wav"),
        ("seed", "a\\b"),
        ("load2", "/etc/passwd"),
        ("load", "--ckpt_dir", "/etc"),
        ("snapshot", "save", "../mine.safetensors"),
        ("record", "start", "../mine.wav"),
    ):
        stage.controller.send(f"/samplernn/1/{words[0]}", *words[1:])
    stage.settle()
    assert stage.server.counts["wrong"] == 14
    assert not [event for event in told if event[0] != "warning"]
    stage.controller.send("/samplernn/1/record", "start", "mine")
    assert stage.controller.ask("/samplernn/1/record") == ("start",)
    assert (Path(stage.folder.name) / "recordings" / "mine.wav").exists()
    stage.controller.send("/samplernn/1/load", "small")
    wait_for(lambda: stage.left.state.model == "small")


def test_a_port_in_use_is_named(stage):
    with pytest.raises(SopiError, match=rf"port {stage.server.port} is in use by another program, choose another"):
        Server(stage.instances, stage.server.port)
    with pytest.raises(SopiError, match="no such port"):
        Server(stage.instances, 70000)
    with pytest.raises(SopiError, match="8.8.8.8 is no address of this machine"):
        Server(stage.instances, 0, "8.8.8.8")


def test_it_listens_to_this_machine_only_unless_told(stage):
    assert stage.server.host == "127.0.0.1"
    other = Server(stage.instances, 0, "0.0.0.0")
    other.close()


def test_noise_is_counted_reported_seldom_and_survived(stage):
    packets, began = list(fuzzed(3000)), time.monotonic()
    for i, packet in enumerate([*packets, bytes(60000), *[nested(900, b"/a\0\0")] * 20]):
        stage.controller.send_raw(packet)
        if i % 100 == 99:
            time.sleep(0.005)
    stage.controller.send("/samplernn/left/gain", 0.3125)
    wait_for(lambda: stage.left.state.gain == 0.3125)
    assert stage.server.counts["malformed"] > 1000
    assert stage.server.counts["wrong"] > 100
    assert len(stage.lines) <= (2 + (time.monotonic() - began) / REPORT) * len(stage.server.counts)
    assert all("\n" not in line and line.isprintable() for line in stage.lines)


def test_what_makes_something_anew_is_done_only_so_often_and_the_last_counts(stage):
    for i in range(400):
        stage.controller.send("/samplernn/1/seed", "no-such-sound")
        stage.controller.send("/samplernn/2/top-k", i)
    stage.controller.send("/samplernn/1/load", "small")
    stage.controller.send("/samplernn/left/gain", 0.3125)
    wait_for(lambda: stage.left.state.gain == 0.3125)
    wait_for(lambda: stage.performers[1].state.top_k == 399)
    wait_for(lambda: stage.left.state.model == "small")
    assert stage.server.counts["fast"] > 500
    assert stage.server.counts["wrong"] < 60
    assert any("more than 20 seed a second: of those the last one counts" in line for line in stage.lines)


def test_a_flood_does_not_touch_the_sound(stage):
    """A short form of tests/bench/osc.py."""

    def attempt():
        def act():
            words = [str(stage.server.port), "0.6", "20000", "/samplernn/timed/temperature"]
            subprocess.run([sys.executable, FLOOD, *words], check=True, stdout=subprocess.DEVNULL)

        handled = stage.server.counts["messages"]
        out, _, stats = play_with(stage, act, 1.6)
        assert stats["underruns"] == 0
        assert stage.server.counts["messages"] - handled > 1000
        sounding = np.flatnonzero(out)
        assert np.diff(sounding).max() < 480

    in_real_time(attempt)
    stage.controller.send("/samplernn/left/gain", 0.3125)
    wait_for(lambda: stage.left.state.gain == 0.3125)


# ---------------------------------------------------------------- OSCQuery and Zeroconf


def get(stage, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{stage.server.query_port}{path}", timeout=3) as response:
        return json.load(response) if response.status == 200 else None


def test_controllers_find_everything_by_oscquery(stage):
    info = get(stage, "/?HOST_INFO")
    assert (info["OSC_PORT"], info["OSC_TRANSPORT"]) == (stage.server.port, "UDP")
    whole = get(stage, "/")
    instances = whole["CONTENTS"]["samplernn"]["CONTENTS"]
    assert set(instances) == {"1", "left", "2"}
    for name, command in COMMANDS.items():
        node = instances["left"]["CONTENTS"][name]
        assert node["FULL_PATH"] == f"/samplernn/left/{name}"
        assert node["DESCRIPTION"] == command.help
        assert node["ACCESS"] == (3 if command.query or command.told else 2)
        assert len(node["TYPE"]) == len(node.get("RANGE", ["impulse"])) == len(node.get("VALUE", node["TYPE"]))

    stage.controller.send("/samplernn/left/temperature", 0.75)
    stage.settle()
    temperature = get(stage, "/samplernn/1/temperature")
    assert (temperature["TYPE"], temperature["VALUE"]) == ("f", [0.75])
    assert temperature["RANGE"] == [{"MIN": 0.01, "MAX": 5}]
    assert get(stage, "/samplernn/1/temperature?VALUE") == {"VALUE": [0.75]}
    assert get(stage, "/samplernn/2/generate")["RANGE"] == [{"VALS": [0, 1]}]
    assert get(stage, "/samplernn/1/stop?VALUE") is None
    for path, status in (("/samplernn/3", 404), ("/samplernn/1/temperature/x", 404), ("/?COLOUR", 400)):
        with pytest.raises(urllib.error.HTTPError) as error:
            get(stage, path)
        assert error.value.code == status


def test_who_asks_slowly_or_nonsense_keeps_nobody_from_asking(stage):
    with socket.create_connection(("127.0.0.1", stage.server.query_port)) as slow:
        slow.sendall(b"GET / HT")
        assert get(stage, "/?HOST_INFO")
    with socket.create_connection(("127.0.0.1", stage.server.query_port)) as nonsense:
        nonsense.sendall(bytes(range(1, 256)) * 10 + b"\r\n\r\n")
        nonsense.recv(1000)
    assert get(stage, "/?HOST_INFO")


def test_osc_works_where_oscquery_cannot_have_its_port(stage):
    lines: list[str] = []
    server = Server(stage.instances, 0, report=lines.append, query=stage.server.query_port)
    try:
        assert f"TCP port {stage.server.query_port} can't be had for OSCQuery" in lines[0]
        assert server.query_port == 0
        controller = Controller(server.port)
        assert controller.ask("/samplernn/1/gain") == (1.0,)
        controller.close()
    finally:
        server.close()


def test_zeroconf_says_where_it_is(stage):
    found = {}
    browser = zeroconf.Zeroconf(interfaces=["127.0.0.1"])
    announced = Server(stage.instances, 0, announce=True)
    try:
        heard = lambda zeroconf, service_type, name, state_change: found.update({name: service_type})  # noqa: E731
        zeroconf.ServiceBrowser(browser, list(KINDS), handlers=[heard])
        ours = f"samplernn {announced.port} on "
        for kind, port in zip(KINDS, (announced.port, announced.query_port)):
            wait_for(lambda kind=kind: any(n.startswith(ours) and k == kind for n, k in list(found.items())), 15)
            name = next(n for n, k in found.items() if n.startswith(ours) and k == kind)
            info = browser.get_service_info(kind, name, 5000)
            assert info is not None
            assert (info.port, info.parsed_addresses()) == (port, ["127.0.0.1"])
    finally:
        announced.close()
        browser.close()


# ---------------------------------------------------------------- layouts


def test_the_layouts_in_docs_are_the_command_tables():
    folder = Path(__file__).parents[1] / "docs" / "osc"
    how = "run sopi osc-layouts --overwrite"
    assert (folder / "open-stage-control.json").read_text() == layouts.open_stage_control(), how
    assert (folder / "vanilla.pd").read_text() == layouts.vanilla_patch(), how
    made = zlib.decompress(layouts.touchosc())
    assert zlib.decompress((folder / "touchosc.tosc").read_bytes()) == made, how


def test_what_the_layouts_send_is_understood(stage):
    """What each widget sends at the ends of its range, and pressed and let go."""
    stage.left.handle("load", "small")
    wait_for(lambda: stage.left.state.model)
    sent = []
    for widget in json.loads(layouts.open_stage_control("left"))["content"]["widgets"]:
        if "range" in widget:
            sent += [(widget["address"], widget["range"][end]) for end in ("min", "max")]
        elif widget["type"] == "switch":
            sent += [(widget["address"], value) for value in widget["values"]]
        elif widget["type"] == "button":
            sent += [(widget["address"], widget["on"])]
    document = ElementTree.fromstring(zlib.decompress(layouts.touchosc("left")))
    for osc in document.iter("osc"):
        if osc.findtext("send") == "1":
            partials = osc.findall("arguments/partial")
            convert = {"FLOAT": float, "INTEGER": int, "STRING": str}
            kinds = [convert[p.findtext("conversion", "")] for p in partials]
            turned = partials[0].findtext("type") == "VALUE"
            for end in ("scaleMin", "scaleMax") if turned else ("value",):
                values = tuple(kind(p.findtext(end)) for kind, p in zip(kinds, partials))
                sent.append((osc.findtext("path/partial/value"), *values))
    sent = list(dict.fromkeys(sent))
    addresses = {address for address, *_ in sent}
    for name in ("generate", "temperature", "seed", "reset"):
        assert f"/samplernn/left/{name}" in addresses
    for address, *arguments in sent:
        stage.controller.send(address, *arguments)
    wait_for(lambda: stage.server.counts["messages"] == len(sent))
    assert not stage.lines


def test_touchosc_has_generate_first_models_snapshots_dice_and_a_number_beside_each_fader():
    document = ElementTree.fromstring(zlib.decompress(layouts.touchosc()))
    nodes = [n for n in document.iter("node") if n.get("type") != "LABEL"]

    def value(node, key):
        return next((p.findtext("value") for p in node.iter("property") if p.findtext("key") == key), "")

    names = [value(n, "name") for n in nodes if n.get("type") in ("BUTTON", "FADER")]
    assert names[:3] == ["generate", "reset", "dice"]
    assert {"load tabla", "load voice", "store 1", "recall 8"} <= set(names)
    assert "math.random" in next(value(n, "script") for n in nodes if value(n, "name") == "dice")
    shown = {path.text for osc in document.iter("osc") if osc.findtext("receive") == "1" for path in osc.iter("value")}
    assert "/samplernn/1/error" in shown
    labels = {value(n, "name") for n in document.iter("node") if n.get("type") == "LABEL"}
    faders = [value(n, "name") for n in nodes if n.get("type") == "FADER"]
    assert len(faders) > 10
    assert {f"{name} number label" for name in faders} <= labels

"""A stranger on the network costs nothing: what forged, dead, slow and mistaken senders of OSC get and do not get."""

from __future__ import annotations

import gc
import socket
import threading
import time
import weakref

import pytest
from osc_client import Controller, message
from osc_stage import Stage, keeping_on, wait_for
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message import OscMessage
from pythonosc.udp_client import SimpleUDPClient

from sopilib import SopiError
from sopilib.live import Performer
from sopilib.osc import Instances, Server
from sopilib.osc.port import Port, addresses_of
from sopilib.osc.strangers import MOST, MOST_KEPT, Strangers

pytestmark = pytest.mark.usefixtures("pd_models")

SUBSCRIBE = message("/samplernn/subscribe").dgram


@pytest.fixture
def stage():
    """Everybody here counts as this machine's own."""
    made = Stage()
    yield made
    made.close()


@pytest.fixture
def network():
    """Nobody here counts as this machine's own: what comes from the loopback address is treated as another machine."""
    made = Stage(local=())
    yield made
    made.close()


class Ear:
    """A socket that counts what comes."""

    def __init__(self, port, host="127.0.0.1"):
        self.server = (host, port)
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.port = self.socket.getsockname()[1]

    def send(self, packet):
        self.socket.sendto(packet, self.server)

    def packets(self, enough=lambda found: found, seconds=30.0):
        """What comes until that is enough."""
        found: list[bytes] = []
        end = time.monotonic() + seconds
        while not enough(found) and (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                found.append(self.socket.recv(65536))
            except (TimeoutError, ConnectionError):
                continue
        return found

    def rest(self):
        """What comes for a moment: only to see that nothing does."""
        return self.packets(lambda found: False, 0.25)

    def hears(self, *addresses):
        """Whether something comes at all these addresses."""
        wanted = set(addresses)
        found = self.packets(lambda found: wanted <= {OscMessage(p).address for p in found})
        return wanted <= {OscMessage(p).address for p in found}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.socket.close()


# ---------------------------------------------------------------- subscribing


def test_changes_go_to_nobody_but_the_host_that_asks(stage):
    with Ear(stage.server.port) as victim:
        for host in ("192.0.2.77", "127.0.0.2", "victim.example"):
            stage.controller.send("/samplernn/subscribe", host, victim.port)
            (line,) = stage.controller.heard(until="/samplernn/error")[-1][1]
            assert "changes go only to the host that asks for them, expected a port of 127.0.0.1" in line
            assert not stage.server.subscribers


def test_a_subscription_off_this_machine_is_one_small_packet_until_it_is_confirmed(network):
    with Ear(network.server.port) as forged:
        forged.send(SUBSCRIBE)
        network.left.handle("gain", 0.5)
        packets = forged.packets()
        assert not forged.rest()
        assert len(packets[0]) <= len(SUBSCRIBE)
        assert OscMessage(packets[0]).address == "/samplernn/confirm"
        assert not network.server.subscribers


def test_never_more_bytes_go_out_than_came_in_before_somebody_speaks_again(network):
    asks = (
        message("/samplernn/refresh").dgram,
        message("/samplernn/1/models").dgram,
        message("/samplernn/1/status").dgram,
        message("/samplernn/*/*").dgram,
        message("/samplernn/1/temperature", "hot").dgram,
        b"/*/subscribe\0\0\0\0",
        b"noise",
    )
    for ask in asks:
        with Ear(network.server.port) as forged:
            forged.send(ask)
            assert sum(map(len, forged.rest())) <= len(ask), ask


def test_sending_the_number_back_confirms(network):
    hand, ear = Ear(network.server.port), Ear(network.server.port)
    with hand, ear:
        hand.send(message("/samplernn/subscribe", ear.port).dgram)
        (number,) = OscMessage(ear.packets()[0]).params
        assert not ear.rest()
        ear.send(message("/samplernn/confirm", float(number)).dgram)
        wait_for(lambda: network.server.subscribers == [("127.0.0.1", ear.port)])
        assert ear.hears("/samplernn/left/temperature", "/samplernn/2/generate")
        network.left.handle("gain", 0.25)
        assert ear.hears("/samplernn/left/gain")


def test_a_wrong_number_ends_what_it_would_have_confirmed(network):
    with Ear(network.server.port) as hand, Ear(network.server.port) as guesser:
        hand.send(SUBSCRIBE)
        (number,) = OscMessage(hand.packets()[0]).params
        guesser.send(message("/samplernn/confirm", number + 1).dgram)
        guesser.send(message("/samplernn/confirm", number).dgram)
        guesser.send(message("/samplernn/left/gain", 0.5).dgram)
        wait_for(lambda: network.left.state.gain == 0.5)  # what came before it was handled
        assert not network.server.subscribers


def test_speaking_again_confirms_too(network):
    with Ear(network.server.port) as hand:
        hand.send(SUBSCRIBE)
        assert len(hand.packets()) == 1
        hand.send(message("/samplernn/left/gain", 0.5).dgram)
        assert hand.hears("/samplernn/left/gain", "/samplernn/2/temperature")


def test_who_speaks_again_gets_the_answers_that_were_kept(network):
    with Ear(network.server.port) as hand:
        hand.send(message("/samplernn/1/temperature").dgram)
        assert not hand.rest(), "an answer is longer than the question"
        hand.send(message("/samplernn/1/gain").dgram)
        answers = hand.packets(lambda found: len(found) == 2)
        assert {OscMessage(p).address for p in answers} == {"/samplernn/1/temperature", "/samplernn/1/gain"}


def test_a_lease_ends_and_only_packets_of_that_address_renew_it():
    stage = Stage(lease=0.6)
    try:
        one, two, other = stage.controllers(3)
        for controller in (one, two):
            controller.send("/samplernn/subscribe")
        wait_for(lambda: len(stage.server.subscribers) == 2)
        for _ in keeping_on(one, "/samplernn/subscribe", 1.2, 0.6):
            one.send("/samplernn/renewed")  # any packet: this one isn't even understood
            other.send("/samplernn/1/gain", 0.5)
        wait_for(lambda: stage.server.subscribers == [("127.0.0.1", one.port)])
    finally:
        stage.close()


def test_subscribing_again_keeps_the_subscription_and_floods_nobody(stage):
    ear = stage.controllers(1)[0]
    ear.send("/samplernn/subscribe")
    ear.heard(until=lambda said: len(said) > 24)
    ear.ask("/samplernn/2/models")  # all that came before is heard
    ear.send("/samplernn/subscribe")
    assert not [a for a, _ in ear.heard(0.2) if "temperature" in a]
    assert len(stage.server.subscribers) == 1


def test_forged_senders_fill_no_memory_and_take_no_place():
    strangers = Strangers(local=())
    for i in range(5 * MOST):
        sender = (f"198.51.100.{i % 250}", i)
        strangers.hear(sender, 44, 1.0)
        for k in range(5 * MOST_KEPT):
            strangers.keep(sender, f"/a/{k}", (1,))
    assert len(strangers._addresses) <= MOST
    assert max(len(a.kept) for a in strangers._addresses.values()) <= MOST_KEPT
    assert Strangers().is_local("127.1.2.3")
    assert Strangers().is_local("::1")
    assert not Strangers().is_local("192.168.1.20")


def test_a_hundred_forged_subscribers_leave_room_for_the_one_who_confirms(network):
    forged = [Ear(network.server.port) for _ in range(100)]
    try:
        for ear in forged:
            ear.send(SUBSCRIBE)
        with Ear(network.server.port) as hand:
            hand.send(SUBSCRIBE)
            (number,) = OscMessage(hand.packets()[0]).params
            hand.send(message("/samplernn/confirm", number).dgram)
            wait_for(lambda: network.server.subscribers == [("127.0.0.1", hand.port)])
    finally:
        for ear in forged:
            ear.socket.close()


def test_the_address_of_the_network_is_no_loopback_address(stage):
    """This machine's own address in its network, where it has one: it is treated as any other of the network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.200", 9))  # sends nothing
            own = probe.getsockname()[0]
        except OSError:
            own = "127.0.0.1"
    if own.startswith("127."):
        pytest.skip("this machine has no address in a network")
    server = Server(stage.instances, 0, own, report=stage.lines.append, query=0)
    try:
        with Ear(server.port, own) as hand:
            hand.send(SUBSCRIBE)
            assert len(hand.packets() + hand.rest()) == 1
    finally:
        server.close()


# ---------------------------------------------------------------- what is wrong is told, and nothing else is lost


@pytest.mark.parametrize(
    "error",
    [
        OSError(36, "File name too long"),
        UnicodeEncodeError("utf-8", "\udce9", 0, 1, "surrogates not allowed"),
        MemoryError(),
        RecursionError("maximum recursion depth exceeded"),
        KeyError("x"),
        SopiError("expected something else"),
    ],
)
def test_any_failure_is_one_error_reply_and_the_rest_of_the_bundle_is_handled(stage, monkeypatch, error):
    performer = stage.left
    right = performer.perform

    def perform(selector, *atoms, **options):
        if selector == "seed":
            raise error
        return right(selector, *atoms, **options)

    monkeypatch.setattr(performer, "perform", perform)
    bundle = OscBundleBuilder(IMMEDIATELY)
    for part in (message("/samplernn/left/seed", 1), message("/samplernn/left/gain", 0.25)):
        bundle.add_content(part)
    stage.controller.send_raw(bundle.build().dgram)
    said = stage.controller.heard(until="/samplernn/left/error")
    said += stage.controller.heard(0.1)
    assert [a for a, _ in said] == ["/samplernn/left/error"]
    assert said[0][1][0].startswith("/samplernn/left/seed: ")
    assert len(said[0][1][0]) > len("/samplernn/left/seed: ")
    assert "\n" not in said[0][1][0]
    assert performer.state.gain == 0.25


def test_a_name_of_three_hundred_letters_is_as_any_missing_file(stage):
    bundle = OscBundleBuilder(IMMEDIATELY)
    for words in (("load",), ("seed",), ("record", "start"), ("snapshot", "load"), ("snapshot", "save")):
        bundle.add_content(message(f"/samplernn/left/{words[0]}", *words[1:], "x" * 300))
    bundle.add_content(message("/samplernn/left/gain", 0.25))
    stage.controller.send_raw(bundle.build().dgram)
    wait_for(lambda: stage.left.state.gain == 0.25)
    stage.controller.heard(until="/samplernn/left/error")


@pytest.mark.parametrize(
    ("packet", "line"),
    [
        (b"/samplernn/1/gain\0\0\0,b\0\0\0\0\0\4abcd", "type 'b'"),
        (b"/samplernn/1/gain\0\0\0,[f]\0\0\0\0\0\0\0\0", "type '['"),
        (b"not osc at all!!", "neither with / nor with #bundle"),
    ],
)
def test_who_sends_a_blob_an_array_or_noise_is_told(stage, packet, line):
    stage.controller.send_raw(packet)
    (said,) = stage.controller.heard(until="/samplernn/error")[-1][1]
    assert line in said


def test_a_report_that_fails_stops_nothing(stage, capsys):
    def report(line):
        raise BrokenPipeError(32, "Broken pipe")

    server = Server(stage.instances, 0, report=report, query=stage.server.query_port)  # a port that is taken: reported
    controller = Controller(server.port)
    try:
        for _ in range(3):
            controller.send_raw(b"noise")
        assert controller.ask("/samplernn/1/gain") == (1.0,)
    finally:
        controller.close()
        server.close()
    assert "BrokenPipeError" in capsys.readouterr().err


def test_one_performer_at_fault_does_not_silence_the_others(stage, monkeypatch):
    broken, ear = stage.instances.all[0], stage.controllers(1)[0]
    monkeypatch.setattr(broken, "look_at_clock", lambda: 1 / 0)
    ear.send("/samplernn/subscribe")
    ear.ask("/samplernn/2/models")  # all that came before is heard
    stage.controller.send("/samplernn/2/gain", 0.5)
    assert ear.heard(until="/samplernn/2/gain")[-1][1] == (0.5,)


# ---------------------------------------------------------------- localhost


def has_ipv6_loopback():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
            s.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_localhost_is_heard_whichever_address_it_means(stage):
    for host in ("127.0.0.1", "::1") if has_ipv6_loopback() else ("127.0.0.1",):
        value = 0.25 if host == "::1" else 0.5
        SimpleUDPClient(host, stage.server.port, family=socket.AF_UNSPEC).send_message("/samplernn/left/gain", value)
        wait_for(lambda value=value: stage.left.state.gain == value)


@pytest.mark.skipif(not has_ipv6_loopback(), reason="this machine has no ::1")
def test_who_subscribes_by_ipv6_hears_what_changes_and_drops_out_when_gone(stage):
    with Ear(stage.server.port, "::1") as ear:
        ear.send(SUBSCRIBE)
        assert ear.hears("/samplernn/left/temperature", "/samplernn/2/generate")
        stage.left.handle("gain", 0.25)
        assert ear.hears("/samplernn/left/gain")
    stage.left.handle("gain", 0.5)
    wait_for(lambda: not stage.server.subscribers)


@pytest.mark.skipif(not has_ipv6_loopback(), reason="this machine has no ::1")
def test_a_port_that_is_another_programs_at_the_other_loopback_is_told():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as taken:
        taken.bind(("::1", 0))
        port = Port("127.0.0.1", taken.getsockname()[1])
        assert port.addresses == ["127.0.0.1"]
        assert "what is sent to localhost may go there" in port.taken
        port.close()


def test_only_loopback_addresses_are_added_to_what_was_asked_for():
    assert addresses_of("192.168.1.5") == ["192.168.1.5"]
    assert addresses_of("0.0.0.0") == ["0.0.0.0", "::1"]
    assert addresses_of("127.0.0.1") == addresses_of("localhost") == ["127.0.0.1", "::1"]


# ---------------------------------------------------------------- ends


def test_a_deleted_performer_is_kept_by_nothing_in_osc(stage):
    performer = Performer(folder=stage.folder.name)
    instance = stage.instances.add(performer, "gone")
    ear = stage.controllers(1)[0]
    ear.send("/samplernn/subscribe")
    for i in range(300):  # more than may go: the last one waits
        stage.controller.send("/samplernn/gone/top-k", i)
        stage.controller.send("/samplernn/gone/seed", "no-such-sound")
    stage.controller.send_at(time.time() + 30, message("/samplernn/gone/gain", 0.5))
    assert stage.controller.ask("/samplernn/gone/temperature") == (1.0,)
    gone = weakref.ref(performer), weakref.ref(instance)
    gc.collect()
    gc.disable()
    try:
        stage.instances.remove(instance)
        performer.close()
        del performer, instance
        wait_for(lambda: gone[0]() is None and gone[1]() is None)
    finally:
        gc.enable()
    assert stage.controller.ask("/samplernn/1/temperature") == (1.0,)


def test_closing_takes_less_than_a_second_though_a_message_hangs(monkeypatch):
    stage = Stage()
    hanging, release = threading.Event(), threading.Event()

    def perform(*words, **options):
        hanging.set()
        release.wait(20)

    try:
        monkeypatch.setattr(stage.left, "perform", perform)
        stage.controller.send("/samplernn/left/gain", 0.5)
        assert hanging.wait(5)
        done = threading.Event()
        threading.Thread(target=lambda: [step() for step in (stage.server.close, done.set)], daemon=True).start()
        assert done.wait(5), "closing waits for the message"
        again = Server(Instances(), stage.server.port, query=0)
        again.close()
    finally:
        release.set()
        stage.close()


def test_nobody_on_the_network_makes_the_callback_wait_for_the_sound(stage):
    stage.controller.send("/samplernn/1/freewheel", 1)
    stage.settle()
    assert not stage.left.freewheel
    assert any("it is the host that decides this" in line for line in stage.lines)
    assert stage.left.handle("freewheel", 1)
    assert stage.left.freewheel
    assert stage.left.handle("freewheel", 0)

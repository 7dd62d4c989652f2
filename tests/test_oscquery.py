"""OSCQuery over real connections: what controllers read and hear, what nobody can set, and what slow, dead, mistaken
and curious clients cost: nothing."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import subprocess
import sys
import threading
import time
import weakref
from contextlib import ExitStack

import aiohttp
import pytest
from osc_client import Controller
from osc_stage import Stage, wait_for
from pythonosc.osc_message import OscMessage

from sopilib import needed
from sopilib.live import Performer
from sopilib.osc import Instances, Server, connections, port
from sopilib.osc.origin import is_own_name, is_same_origin

pytestmark = pytest.mark.usefixtures("pd_models")


@pytest.fixture
def stage():
    made = Stage()
    yield made
    made.close()


def ask(stage, request, host="127.0.0.1"):
    """Sends the bytes of a request -> everything that comes back until the server closes."""
    with socket.create_connection((host, stage.server.query_port), timeout=8) as s:
        s.sendall(request)
        found = b""
        while chunk := s.recv(65536):
            found += chunk
    return found


def get(stage, path="/", host="localhost", **headers):
    """-> status, headers, body"""
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head, _, body = ask(stage, "\r\n".join([*lines, "", ""]).encode()).partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    return int(first.split()[1]), {k.lower(): v for k, _, v in (line.partition(": ") for line in rest)}, body


def talk(stage, conversation, **options):
    """Runs a coroutine with an open WebSocket, the whole for 10 s at most."""

    async def run():
        url = f"ws://127.0.0.1:{stage.server.query_port}/"
        async with aiohttp.ClientSession() as session, session.ws_connect(url, **options) as ws:
            return await conversation(ws)

    return asyncio.run(asyncio.wait_for(run(), 10))


async def osc(ws, address):
    """-> the values of the next OSC message at this address."""
    while True:
        message = OscMessage(await ws.receive_bytes(timeout=3))
        if message.address == address:
            return tuple(message.params)


async def listen(ws, path, command="LISTEN"):
    await ws.send_str(json.dumps({"COMMAND": command, "DATA": path}))


# ---------------------------------------------------------------- who may read


def test_a_web_page_of_another_server_reads_nothing(stage):
    port = stage.server.query_port
    for origin in ("http://evil.example", "null", f"https://localhost:{port}", "http://localhost:1", "file://"):
        status, headers, body = get(stage, host=f"localhost:{port}", Origin=origin)
        assert status == 403
        assert b"samplernn" not in body
        assert "access-control-allow-origin" not in headers
    status, headers, body = get(stage, host=f"localhost:{port}", Origin=f"http://localhost:{port}")
    assert status == 200
    assert "access-control-allow-origin" not in headers
    assert headers["cross-origin-resource-policy"] == "same-origin"


def test_a_name_that_was_made_to_point_here_is_misdirected(stage):
    for host in ("evil.example", "evil.example:9000", "localhost.evil.example", "", "[", "127.0.0.1.evil.example"):
        status, _, body = get(stage, host=host)
        assert status == (421 if host != "[" else status)
        assert status >= 400
        assert b"CONTENTS" not in body
    for host in ("127.0.0.1", "localhost:9000", "[::1]:9000", "192.168.1.20", "LOCALHOST.", socket.gethostname()):
        assert get(stage, host=host)[0] == 200


def test_websockets_of_other_pages_are_refused_too(stage):
    async def nothing(ws):
        return None

    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        talk(stage, nothing, origin="http://evil.example")
    assert error.value.status == 403
    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        talk(stage, nothing, headers={"Host": "evil.example"})
    assert error.value.status == 421
    talk(stage, nothing, origin=f"http://127.0.0.1:{stage.server.query_port}")


def test_names_and_origins():
    assert is_own_name("::1")
    assert is_own_name(f"{socket.gethostname().split('.')[0].lower()}.local")
    assert not is_own_name("")
    assert is_same_origin("http://localhost", "localhost:80")
    assert is_same_origin("http://[::1]:9000", "[::1]:9000")
    assert not is_same_origin("http://localhost:9000", "127.0.0.1:9000")
    assert not is_same_origin("http://", "")
    assert not is_same_origin("http://localhost:99999", "localhost")


def test_it_answers_at_both_loopback_addresses(stage):
    assert stage.server.query_port
    try:
        status = ask(stage, b"GET /?HOST_INFO HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n", "::1")
    except OSError:
        pytest.skip("this machine has no ::1")
    assert status.startswith(b"HTTP/1.1 200")


# ---------------------------------------------------------------- reading and listening


def test_host_info_says_what_can_be_done(stage):
    info = json.loads(get(stage, "/?HOST_INFO")[2])
    assert info["OSC_PORT"] == stage.server.port
    for name in ("ACCESS", "VALUE", "RANGE", "DESCRIPTION", "TYPE", "LISTEN", "PATH_CHANGED"):
        assert info["EXTENSIONS"][name] is True


def test_each_attribute_can_be_asked_for(stage):
    path = "/samplernn/left/temperature"
    node = json.loads(get(stage, path)[2])
    for name in ("FULL_PATH", "TYPE", "ACCESS", "VALUE", "RANGE", "DESCRIPTION"):
        assert json.loads(get(stage, f"{path}?{name}")[2]) == {name: node[name]}
    assert get(stage, f"{path}?CONTENTS")[0] == 204
    assert get(stage, f"{path}?COLOUR")[0] == 400
    assert get(stage, "/samplernn/nobody")[0] == 404


def test_listening_gives_the_present_value_and_then_each_change(stage):
    async def conversation(ws):
        await listen(ws, "/samplernn/left/gain")
        assert await osc(ws, "/samplernn/left/gain") == (1.0,)
        stage.left.handle("gain", 0.25)
        assert await osc(ws, "/samplernn/left/gain") == (0.25,)
        stage.left.handle("temperature", 0.5)  # nobody listens to that
        await listen(ws, "/samplernn/2/generate")
        message = OscMessage(await ws.receive_bytes(timeout=3))
        assert (message.address, message.params) == ("/samplernn/2/generate", [0])
        await listen(ws, "/samplernn/left/gain", "IGNORE")
        await listen(ws, "/samplernn/left/latency")
        await osc(ws, "/samplernn/left/latency")  # what was sent before it is done
        stage.left.handle("gain", 0.5)
        stage.performers[1].handle("generate", 1)
        message = OscMessage(await ws.receive_bytes(timeout=3))
        assert (message.address, message.params) == ("/samplernn/2/generate", [1])

    talk(stage, conversation)


def test_it_is_said_when_instances_come_go_or_are_renamed(stage):
    async def conversation(ws):
        await listen(ws, "/samplernn/left/gain")
        await osc(ws, "/samplernn/left/gain")  # it is connected
        for change in (
            lambda: stage.instances.rename(stage.instances.all[1], "right"),
            lambda: stage.instances.remove(stage.instances.all[1]),
        ):
            change()
            assert await ws.receive_json(timeout=3) == {"COMMAND": "PATH_CHANGED", "DATA": "/samplernn"}

    talk(stage, conversation)
    assert set(json.loads(get(stage, "/samplernn")[2])["CONTENTS"]) == {"1", "left"}


def test_nothing_is_set_over_its_websocket(stage):
    from sopilib.osc.packet import encode

    async def conversation(ws):
        await ws.send_bytes(encode("/samplernn/left/gain", 0.25))
        message = await ws.receive(timeout=3)
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert message.data == aiohttp.WSCloseCode.UNSUPPORTED_DATA
        assert "nothing is set here, send OSC to UDP port" in message.extra

    talk(stage, conversation)
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        headers = "Host: localhost\r\nConnection: close\r\nContent-Length: 0"
        said = ask(stage, f"{method} /samplernn/left/gain HTTP/1.1\r\n{headers}\r\n\r\n".encode())
        assert said.startswith(b"HTTP/1.1 405")
    assert stage.left.state.gain == 1.0


def test_nonsense_over_its_websocket_changes_nothing(stage):
    async def conversation(ws):
        for text in ("", "[]", "{", '{"COMMAND": "LISTEN"}', '{"COMMAND": "LISTEN", "DATA": 5}', "[" * 2000):
            await ws.send_str(text)
        await listen(ws, "/samplernn/nobody/gain")
        await listen(ws, "/samplernn/left")
        await listen(ws, "/samplernn/left/gain", "OBEY")
        await listen(ws, "/samplernn/left/gain")
        assert await osc(ws, "/samplernn/left/gain") == (1.0,)

    talk(stage, conversation)

    async def too_long(ws):
        await ws.send_str("x" * 100_000)
        return (await ws.receive(timeout=3)).type

    assert talk(stage, too_long) in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    assert not stage.lines


# ---------------------------------------------------------------- what strangers cost


def drip(port, stop):
    """A client that sends a byte at a time, and never a whole request."""
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.sendall(b"GET / HTTP/1.1\r\nX: ")
        while not stop.wait(0.2):
            try:
                s.sendall(b"a")
            except OSError:
                return


def test_closing_takes_less_than_a_second_whatever_clients_do():
    """`osc 0` in Pd, while one client drips, one has connected and says nothing, one listens and never reads, and one
    doesn't take its answer."""
    stage = Stage()
    stop = threading.Event()
    try:
        with ExitStack() as stack:
            stack.callback(stop.set)
            threading.Thread(target=drip, args=(stage.server.query_port, stop), daemon=True).start()
            connect = lambda: stack.enter_context(socket.create_connection(("127.0.0.1", stage.server.query_port)))  # noqa: E731
            connect()
            listener = connect()
            upgrade = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            upgrade += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            listener.sendall(upgrade.encode())
            connect().sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
            time.sleep(0.5)
            done = threading.Event()
            threading.Thread(target=lambda: [step() for step in (stage.server.close, done.set)], daemon=True).start()
            assert done.wait(5), "closing waits for a client"
            assert stage.server._web is not None
            wait_for(lambda thread=stage.server._web._thread: not thread.is_alive())
            with pytest.raises(OSError):
                socket.create_connection(("127.0.0.1", stage.server.query_port), timeout=1)
    finally:
        stage.close()


def test_a_hundred_slow_and_dead_clients_keep_nobody_from_asking(stage):
    with ExitStack() as stack:
        for i in range(100):
            s = stack.enter_context(socket.create_connection(("127.0.0.1", stage.server.query_port)))
            s.sendall(b"GET / HTTP/1.1\r\nHo"[: i % 19])
        assert get(stage, "/?HOST_INFO")[0] == 200
        assert stage.controller.ask("/samplernn/1/gain") == (1.0,)


def test_slow_clients_are_let_go(stage, monkeypatch):
    monkeypatch.setattr(connections, "PATIENCE", 0.3)
    stop = threading.Event()
    slow = threading.Thread(target=drip, args=(stage.server.query_port, stop), daemon=True)
    slow.start()
    try:
        wait_for(lambda: not slow.is_alive())
    finally:
        stop.set()


def test_a_client_that_never_takes_its_answers_is_let_go(stage, monkeypatch):
    monkeypatch.setattr(connections, "PATIENCE", 0.3)
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", stage.server.query_port))
        s.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
        wait_for(lambda: not stage.server._web._connections._since)


def test_more_connections_than_there_may_be_push_out_the_idle_ones(stage, monkeypatch):
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 8)
    with ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(socket.create_connection(("127.0.0.1", stage.server.query_port)))
        assert get(stage, "/?HOST_INFO")[0] == 200
        assert len(stage.server._web._connections._since) <= 8


def test_long_requests_are_refused(stage):
    for request in (
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    ):
        try:
            assert ask(stage, request).startswith(b"HTTP/1.0 400") or ask(stage, request).startswith(b"HTTP/1.1 400")
        except ConnectionError:  # it closed before all of it was sent
            pass
    assert get(stage, "/?HOST_INFO")[0] == 200


def test_nonsense_writes_no_line(stage, capfd):
    for noise in (
        bytes(range(256)) * 4,
        b"\x16\x03\x01\x02\x00\x01",
        b"GET\r\n\r\n",
        b"GET /%ff%00?%zz HTTP/9.9\r\n\r\n",
    ):
        try:
            ask(stage, noise)
        except ConnectionError:
            pass
    assert get(stage, "/?HOST_INFO")[0] == 200
    assert not stage.lines
    assert capfd.readouterr() == ("", "")


def test_a_hundred_listeners_hear_and_osc_goes_on(stage):
    async def run():
        url = f"ws://127.0.0.1:{stage.server.query_port}/"
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            sockets = [await session.ws_connect(url) for _ in range(100)]
            for ws in sockets:
                await listen(ws, "/samplernn/left/gain")
            stage.controller.send("/samplernn/left/gain", 0.25)
            for ws in sockets:
                while await osc(ws, "/samplernn/left/gain") != (0.25,):
                    pass
            assert await asyncio.to_thread(stage.controller.ask, "/samplernn/1/gain") == (0.25,)
            for ws in sockets:
                await ws.close()

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_listener_keeps_no_deleted_performer(stage):
    performer = Performer(folder=stage.folder.name)
    instance = stage.instances.add(performer, "gone")

    async def conversation(ws):
        nonlocal performer, instance
        await listen(ws, "/samplernn/gone/gain")
        await osc(ws, "/samplernn/gone/gain")
        gone = weakref.ref(performer)
        stage.instances.remove(instance)
        performer.close()
        performer = instance = None  # type: ignore[assignment]
        while gone() is not None:
            await asyncio.sleep(0.01)

    gc.collect()
    gc.disable()
    try:
        talk(stage, conversation)
    finally:
        gc.enable()


# ---------------------------------------------------------------- without


def test_osc_goes_on_without_the_extra_and_one_sentence_says_so(stage, monkeypatch):
    monkeypatch.setitem(sys.modules, "sopilib.osc.web", None)
    lines: list[str] = []
    server = Server(stage.instances, 0, report=lines.append)
    controller = Controller(server.port)
    try:
        how = needed.pip("sopilib[web]")
        assert lines == [f"osc {server.port}: there is no OSCQuery without the extra web: {how}"]
        assert server.query_port == 0
        assert controller.ask("/samplernn/1/gain") == (1.0,)
    finally:
        controller.close()
        server.close()


def test_osc_is_imported_without_a_web_library():
    words = "import sys, sopilib.osc; sys.exit('aiohttp' in sys.modules)"
    subprocess.run([sys.executable, "-c", words], check=True)


def test_any_free_port_is_one_that_oscquery_can_have_too(monkeypatch):
    """The system gives the UDP number of a TCP port that another program listens at: the next number is taken."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        number, bound, asked = other.getsockname()[1], port.bound, []

        def first_that_one(kind, host, wanted):
            if kind == socket.SOCK_DGRAM and wanted == 0:
                asked.append(host)
                wanted = number if len(asked) == 1 else 0
            return bound(kind, host, wanted)

        monkeypatch.setattr(port, "bound", first_that_one)
        server = Server(Instances(), 0)
        try:
            assert len(asked) > 1 and server.query_port == server.port != number
        finally:
            server.close()

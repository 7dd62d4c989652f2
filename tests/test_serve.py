"""`sopi serve`: the instrument without Pd, as one starts and ends it, and vanilla Pd that plays it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import soundfile
from osc_client import Controller, free_port
from osc_stage import wait_for
from pd_host import Patch

from sopilib.cli import main
from sopilib.osc import layouts

pytestmark = pytest.mark.usefixtures("pd_models")
SOPI = [sys.executable, "-c", "import sys; from sopilib.cli import main; sys.exit(main())"]


@contextmanager
def serve(*words: str, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A running `sopi serve`, from when its port is open."""
    process = subprocess.Popen(
        [*SOPI, "serve", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("OSC at"):
                break
        else:
            pytest.fail("it ended at once")
        yield process
    finally:
        process.kill()
        process.wait()


def interrupt(process: subprocess.Popen[str]) -> str:
    """Ctrl-C -> what it still said."""
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    return said


def test_two_models_play_into_a_file_until_ctrl_c(tmp_path: Path) -> None:
    port, out = free_port(), tmp_path / "out.wav"
    names = ("--name", "left", "--name", "right")
    with serve("small", "other", *names, "--osc", str(port), "--audio", "file", str(out)) as process:
        controller = Controller(port)
        for label in ("left", "2"):
            while not controller.ask(f"/samplernn/{label}/models"):
                pass
        controller.send("/samplernn/*/generate", 1)
        controller.send("/samplernn/right/gain", 0.25)
        assert controller.ask("/samplernn/2/gain") == (0.25,)
        wait_for(lambda: out.stat().st_size > 2 * 48000 * 2 * 3)  # two seconds, 24 bits
        controller.close()
        said = interrupt(process)
    assert "left: loaded small 16000" in said
    assert "right: loaded other 16000" in said
    sound, rate = soundfile.read(out)
    assert rate == 48000
    assert sound.shape[1] == 2
    assert len(sound) > 1.4 * rate
    assert sound[-rate // 2 :].std() > 0.01


def test_it_plays_on_a_sound_card_without_python_in_the_callback(jack_server: dict[str, str]) -> None:
    """JACK's dummy driver is the card; PortAudio finds it."""
    port = free_port()
    words = ("small", "--osc", str(port), "--audio", "device", "system", "--generate", "--latency", "50")
    with serve(*words, environment=jack_server) as process:
        controller = Controller(port)
        listed = subprocess.run(["jack_lsp"], capture_output=True, text=True, env=jack_server).stdout
        assert "PortAudio" in listed
        controller.send("/samplernn/subscribe")
        controller.send("/samplernn/1/report", 100)
        end = time.monotonic() + 60
        while not any(a == "/samplernn/1/level" and v[0] > -60 for a, v in controller.heard(0.2)):
            assert time.monotonic() < end, "it does not sound"
        controller.close()
        interrupt(process)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nobody", "--audio", "none"], "no model of that name"),
        (["small", "--audio", "tape"], "expected device, device NAME, file OUT.wav or none"),
        (["small", "--audio", "file", "no/such/folder/x.wav"], "expected a name such as out.wav"),
        (["small", "--audio", "file", "x.doc"], "expected a name such as out.wav"),
        (["small", "--audio", "device", "nothing like it"], "--audio file OUT.wav needs none"),
        (["small", "--audio", "none", "--latency", "1"], "--latency is 1, expected 2 to 500 ms"),
        (["small", "--audio", "none", "--rate", "1"], "--rate is 1, expected"),
        (["small", "--audio", "none", "--channels", "0"], "--channels is 0"),
        (["small", "--audio", "none", "--name", "a b"], "can't be a name in OSC"),
        (["small", "--audio", "none", "--name", "a", "--name", "b"], "2 names for 1 models"),
        (["small", "--audio", "none", "--host", "1.2.3.4"], "is no address of this machine"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["serve", *words]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_port_in_use_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert main(["serve", "small", "--audio", "none", "--osc", str(port)]) == 1
    assert f"port {port} is in use by another program" in capsys.readouterr().err


def test_vanilla_pd_plays_it_and_shows_what_changes(tmp_path: Path) -> None:
    port, back = free_port(), free_port()
    text = layouts.vanilla_patch().replace(" 9000;", f" {port};").replace(" 9001;", f" {back};")
    (tmp_path / "vanilla.pd").write_text(text.replace("\\$0-", "its-"))
    hand = Patch()
    hand.at(700, "1.25", hand.obj("s its-temperature"))
    hand.at(800, "symbol other", hand.obj("s its-load-out"))
    hand.print(hand.obj("r its-gain"), 0, "shown")
    go = hand.wait_for_go()
    hand.quit(1000)
    hand.write(tmp_path / "hand.pd")
    with serve("small", "--osc", str(port), "--audio", "none") as process:
        command = ["pd", "-nogui", "-noprefs", "-noaudio", "-stderr", "-open", "vanilla.pd", "-open", "hand.pd"]
        pd = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            controller = Controller(port)
            wait_for(lambda: controller.ask("/samplernn/1/temperature") == (1.25,))
            controller.send("/samplernn/1/gain", 0.375)
            controller.ask("/samplernn/1/gain")
            with socket.create_connection(("127.0.0.1", go)) as s:
                s.sendall(b"go;")
                said, _ = pd.communicate(timeout=60)
            controller.send("/samplernn/refresh")
            model = controller.heard(until="/samplernn/1/model")[-1][1]
            controller.close()
        finally:
            pd.kill()
        interrupt(process)
    assert "error" not in said
    assert [line for line in said.splitlines() if line.startswith("shown: ")][-1] == "shown: set 0.375"
    assert model == ("other", 16000)


def test_vanilla_pd_shows_the_true_state_numbers_and_errors_after_a_restart_of_the_server(tmp_path: Path) -> None:
    port, back = free_port(), free_port()
    text = layouts.vanilla_patch().replace(" 9000;", f" {port};").replace(" 9001;", f" {back};")
    (tmp_path / "vanilla.pd").write_text(text.replace("\\$0-", "its-").replace("metro 5000", "metro 200"))
    eye = Patch()
    for name in ("gain", "gain-number", "guard", "line"):
        eye.print(eye.obj(f"r its-{name}"), 0, name)
    wrong = eye.obj("s its-voice-out")
    eye.chain(eye.obj("loadbang"), eye.obj("metro 1000"), eye.msg("symbol nonsense"), wrong)
    eye.write(tmp_path / "eye.pd")
    said: list[str] = []
    command = ["pd", "-nogui", "-noprefs", "-noaudio", "-stderr", "-open", "vanilla.pd", "-open", "eye.pd"]

    def shown(line: str) -> Callable[[], bool]:
        return lambda: line in said

    with serve("small", "--osc", str(port), "--audio", "none") as process:
        pd = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert pd.stdout is not None
        reader = threading.Thread(target=lambda: said.extend(line.strip() for line in pd.stdout or ()))
        reader.start()
        try:
            controller = Controller(port)
            controller.send("/samplernn/1/gain", 0.375)
            controller.send("/samplernn/1/guard", "warn")
            wait_for(shown("gain: set 0.375"), 60)
            wait_for(shown("gain-number: set 0.375"), 60)
            wait_for(shown("guard: set 1"), 60)
            wait_for(lambda: any(line.startswith("line: set") and "nonsense" in line for line in said), 60)
            controller.close()
            interrupt(process)
            said.clear()
            with serve("small", "--osc", str(port), "--audio", "none"):
                for line in ("gain: set 1", "gain-number: set 1", "guard: set 0"):
                    wait_for(shown(line), 60)
        finally:
            pd.kill()
            reader.join()

"""The numbered examples of pd/examples, each played in real Pd: it sounds, and does what its text says."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import soundfile
from pd_example import EXAMPLES, Example, at, live_until, sounds


def test_every_example_has_a_number_of_its_own_and_a_test() -> None:
    numbers = [path.name[:2] for path in EXAMPLES.glob("[0-9]*.pd")]
    assert len(numbers) == len(set(numbers))
    mine = Path(__file__).read_text()
    assert all(f"def test_{number}_" in mine for number in numbers)


def test_01_a_knob(tmp_path: Path) -> None:
    example = Example("01", tmp_path)
    example.print_status()
    example.press(500, "hsl", "1.7")
    sound, result = example.play(1500)
    assert sounds(sound[at(200) : at(500)])
    assert "temperature 1.7 50" in result.printed("status")


def test_02_an_envelope(tmp_path: Path) -> None:
    heard = []
    for message in ("temperature env [0.5", "temperature env [1.6", "temperature 1"):
        example = Example("02", tmp_path)
        example.press(100, message)
        heard.append(example.play(700)[0])
        assert sounds(heard[-1])
    assert not any(np.array_equal(heard[-1], sound) for sound in heard[:-1])


def test_03_call_and_response(tmp_path: Path) -> None:
    example = Example("03", tmp_path)
    example.press(500, "tgl", "1")
    example.press(1500, "tgl", "0")
    sound, result = example.play(2500)
    assert sounds(sound[at(200) : at(500)])
    assert not sound[at(600) : at(1500)].any(), "while it hears, it is silent"
    assert result.printed("hears") == ["1 silence", "0 silence"]
    assert sound[at(1600) :].any(), "it answers"


def test_04_a_keyboard_of_seeds(tmp_path: Path) -> None:
    example = Example("04", tmp_path)
    for ms, key in ((500, 5), (1500, 9), (2500, 5)):
        example.press(ms, "hradio", str(key))
    sound, _ = example.play(3400)
    first, other, again = (sound[at(ms + 100) : at(ms + 900)] for ms in (500, 1500, 2500))
    assert sounds(first)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_05_a_drum_machine_beside_it(tmp_path: Path) -> None:
    example = Example("05", tmp_path)
    example.press(100, "tgl", "1")
    for ms in (1300, 3000):
        example.press(ms, "hradio", "3")
    sound, _ = example.play(4900)
    first, again = sound[at(2130) : at(2900)], sound[at(4130) : at(4900)]  # after the crossfade
    assert sounds(first)
    assert np.array_equal(first, again), "whenever it was pressed, its music begins where the bar does"
    assert not np.array_equal(sound[at(2000) : at(2100)], sound[at(4000) : at(4100)])
    example = Example("05", tmp_path)
    example.press(100, "tgl", "1")
    kick, _ = example.play(2300, "*~ 0.4")
    beats = [
        ms for ms in range(0, 2300, 100) if np.abs(kick[at(ms) : at(ms + 5)]).max() > 0.01 and not kick[at(ms) - 1]
    ]
    assert beats == [100, 600, 1100, 1600, 2100]


def test_06_a_choir_of_clones(tmp_path: Path) -> None:
    heard = []
    for seed_of_one in (False, True):
        example = Example("06", tmp_path)
        if seed_of_one:
            example.press(200, "hradio", "2")
        heard.append(example.play(400, "clone")[0])
        assert sounds(heard[-1])
    assert np.array_equal(heard[0][: at(200)], heard[1][: at(200)])
    assert not np.array_equal(heard[0], heard[1])


def test_07_two_models_under_one_fader(tmp_path: Path) -> None:
    heard = []
    for fader in (0.0, 1.0):
        example = Example("07", tmp_path)
        example.print_status()
        example.press(300, "hsl", str(fader))
        sound, result = example.play(700)
        assert sounds(sound[at(400) :])
        assert any(line.startswith("loaded2 piano") for line in result.printed("status"))
        heard.append(sound)
    assert np.array_equal(heard[0][: at(300)], heard[1][: at(300)])
    assert not np.array_equal(heard[0][at(400) :], heard[1][at(400) :])


def test_08_freeze_and_snapshots_as_a_composition(tmp_path: Path) -> None:
    example = Example("08", tmp_path)
    example.press(100, "bng")
    example.print_status()
    sound, result = example.play(4600)
    assert sounds(sound)
    told = result.printed("status")
    assert {"snapshot store 1", "freeze 180", "freeze 0"} <= set(told)
    loop = sound[at(2900) : at(3900)]
    assert np.allclose(loop[: at(500)], loop[at(180) : at(680)], atol=1e-6), "the last 180 ms are looped"


def test_09_chopping_arrays(tmp_path: Path) -> None:
    example = Example("09", tmp_path)
    example.print_status()
    example.press(100, "bng", nth=0)
    example.press(2300, "hradio", "3")
    sound, result = example.play(3200)
    primed = [line for line in result.printed("status") if line.startswith("primed")]
    assert len(primed) == 1
    assert primed[0].endswith(" 250")
    assert sounds(sound[at(2500) :])


def test_10_an_osc_phone(tmp_path: Path) -> None:
    example = Example("10", tmp_path)
    example.print_status()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    example.patch.lines[0] = example.patch.lines[0].replace("0.0.0.0", "127.0.0.1").replace(" 9000", f" {port}")
    example.press(0, "play", "1")
    example.press(100, "osc")
    for ms in range(500, 60_000, 500):
        example.press(ms, "hsl", "1.3")
    live_until(example, "status: temperature 1.3")


def test_11_a_score_that_renders_itself(tmp_path: Path) -> None:
    example = Example("11", tmp_path)
    example.press(0, "play", "1")
    example.press(300, "bng")
    example.print_status()
    line = live_until(example, "rendered: ")
    (made,) = (tmp_path / "recordings").glob("*.wav")
    sound, rate = soundfile.read(made)
    assert made.name in line
    assert abs(len(sound) / rate - 4.5) < 0.05, "the piece is four and a half seconds"
    assert sounds(sound)


def test_12_hello_from_python(tmp_path: Path) -> None:
    example = Example("12", tmp_path)
    example.print_status()
    example.press(100, "tgl", "1")
    example.press(600, "reload.")
    sound, result = example.play(1500)
    steps = [float(line.split()[1]) for line in result.printed("status") if line.startswith("temperature ")]
    assert sounds(sound)
    assert len(set(steps)) >= 4
    assert all(0.6 <= step <= 1.5 for step in steps)


def test_13_temperature_as_a_signal(tmp_path: Path) -> None:
    heard = []
    for depth in (0.4, 0.0):
        example = Example("13", tmp_path)
        example.press(0, "hsl", str(depth), nth=1)
        heard.append(example.play(500)[0])
        assert sounds(heard[-1])
    assert not np.array_equal(heard[0], heard[1])
    example = Example("13", tmp_path)
    signal, _ = example.play(2100, "+~ 1")
    assert np.isclose(signal.min(), 0.6, atol=0.01)
    assert np.isclose(signal.max(), 1.4, atol=0.01)

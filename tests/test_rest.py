"""`rest`: where a voice has been quiet it draws at another temperature. And the setting that a model's file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from instruction_sets import SETS
from performing import lines
from stream_player import Playing, render, start

import sopilib
from sopilib import Config, Engine, Model, SopiError, checkpoint, cli
from sopilib.live import Performer
from sopilib.native import _native

RATE = 16000
COLD, REST, LEVEL = 0.25, 1.4, -20.0


def model(seed: int = 1, play: dict[str, Any] | None = None, **changes: Any) -> Model:
    """One whose codes lie around silence: at a low temperature it is quiet, at a high one not always."""
    values: dict[str, Any] = {"frame_sizes": [4, 16], "dim": 32, "mlp_dim": 32, "q_type": "mu-law-centred"}
    made = Model.random(Config(**{**values, "sample_rate": RATE, "emphasis": [0.85], **changes}), seed)
    last = [name for name in made.weights if name.startswith("sample.layer") and name.endswith("bias")][-1]
    made.weights[last] -= (0.04 * np.abs(np.arange(256) - 128)).astype(np.float32)
    made.about = {} if play is None else {"play": play}
    return made


def engine(of: Model, seed: int = 0, **options: Any) -> Engine:
    made = Engine(of, **{"precision": "int8", **options})
    made.reset(seed)
    return made


def quiet(sound: np.ndarray, level: float) -> np.ndarray:
    """Of each sample, whether the 512 before it are quieter."""
    squares = np.rint(np.clip(sound, -1, 1) * np.float32(32767)).astype(np.int64) ** 2
    sums = np.concatenate([[0], np.cumsum(squares)])
    before = np.arange(len(sound))
    return sums[before] - sums[np.maximum(0, before - 512)] < round(512 * 32767**2 * 10 ** (level / 10))


def resting(of: Model, n: int, seed: int = 0, level: float = LEVEL, **options: Any) -> np.ndarray:
    """Codes [n], sample by sample: each at the temperature that the sound before it asks for."""
    made, sound = engine(of, seed, **options), np.zeros(0, np.float32)
    memory, codes = of.silence(1), np.zeros((1, 0), np.int32)
    for _ in range(n):
        hot = quiet(np.append(sound, np.float32(0)), level)[-1]
        newest = made.generate(1, REST if hot else COLD)
        codes = np.append(codes, newest, 1)
        sound = np.append(sound, of.decode(newest, memory)[0])
    return codes


def test_where_a_voice_has_been_quiet_it_draws_at_the_temperature_of_rest() -> None:
    of = model()
    expected = resting(of, 2500)
    hot = quiet(of.decode(expected)[0], LEVEL)
    assert 100 < hot.sum() < 2400  # both happen
    np.testing.assert_array_equal(engine(of).generate(2500, COLD, rest=REST, rest_level=LEVEL), expected)
    assert (engine(of).generate(2500, COLD) != expected).any()


def test_it_is_the_same_for_any_split_number_of_threads_and_voices_and_instruction_set() -> None:
    of, found = model(), []
    for name in SETS:
        for threads, pieces in ((1, (900,)), (3, (1, 5, 400, 494))):
            made = engine(of, voices=2, threads=threads, instruction_set=name)
            rest = np.array([REST, 0.0])
            found.append(np.concatenate([made.generate(n, COLD, rest=rest, rest_level=LEVEL) for n in pieces], 1))
    for codes in found:
        np.testing.assert_array_equal(codes, found[0])
    np.testing.assert_array_equal(found[0][:1], engine(of).generate(900, COLD, rest=REST, rest_level=LEVEL))
    np.testing.assert_array_equal(found[0][1:], engine(of, voices=2).generate(900, COLD)[1:])  # its own


def test_the_reference_rests_as_the_native_engine_does() -> None:
    of = model()
    found = []
    for backend in ("native", "torch"):
        made = engine(of, backend=backend, precision="f32")
        made.generate(600, COLD, rest=REST, rest_level=LEVEL)
        found.append(made.state()["recent"])
    np.testing.assert_array_equal(found[0], found[1])


def test_what_is_quiet_goes_on_with_a_state_and_is_made_of_the_history_without_it() -> None:
    of = model()
    for backend in ("native", "torch"):
        made = engine(of, backend=backend, precision="f32")
        made.generate(700, 1.0)
        state = made.state()
        sound = np.rint(of.decode(engine(of, precision="f32").generate(700, 1.0))[0] * np.float32(32767))
        np.testing.assert_array_equal(state["recent"][0], sound[-512:])
        other = engine(of, backend=backend, precision="f32")
        other.set_state(state)
        np.testing.assert_array_equal(
            other.generate(200, COLD, rest=REST, rest_level=LEVEL),
            made.generate(200, COLD, rest=REST, rest_level=LEVEL),
        )
        other.set_state({name: value for name, value in state.items() if name not in ("recent", "emphasis")})
        recent = other.state()["recent"][0]
        assert not recent[:-16].any()
        np.testing.assert_array_equal(recent[-16:], np.rint(of.decode(state["history"])[0] * np.float32(32767)))


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"rest": -1.0}, r"rest is -1.0, expected 0 \(off\) or a temperature"),
        ({"rest_level": 3.0}, "rest_level is 3.0, expected -90 to 0 dB"),
        ({"rest": [1.0, 1.0]}, r"rest has shape \(2,\), expected a number or \(1,\)"),
    ],
)
def test_a_wrong_rest_is_one_sentence(given: dict[str, Any], line: str) -> None:
    with pytest.raises(SopiError, match=line):
        engine(model()).generate(1, **given)


# ---------------------------------------------------------------- played


def test_the_stream_rests_voice_by_voice_with_blends_and_python_engines_too() -> None:
    of = model()
    expected = of.decode(engine(of).generate(1500, COLD, rest=REST, rest_level=LEVEL))[0]
    knobs = [(0, "temperature", COLD), (0, "rest", REST), (0, "rest-level", LEVEL)]
    blend = _native.Blend(engine(of).source, engine(of).source)
    for source in (engine(of).source, blend, _native.PySource(engine(of))):
        sound = render(1500, [*knobs, *start(source)], rate=RATE)
        np.testing.assert_array_equal(sound[400:], expected[80:1180])
    with Playing(rate=RATE, channels=2) as playing:
        playing.stream.post("temperature", 0, COLD)
        playing.stream.post("rest", 0, REST, voice=0)
        playing.stream.post("rest-level", 0, LEVEL)
        both = playing.render(1500, start(engine(of, voices=2).source))
    np.testing.assert_array_equal(both[0, 400:], expected[80:1180])
    own = of.decode(engine(of, voices=2).generate(1500, COLD))[1]
    np.testing.assert_array_equal(both[1, 400:], own[80:1180])


OWN = {"temperature": 0.25, "rest": 1.4, "rest-level": -20.0, "min-p": 0.01}


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SOPI_MODELS", str(tmp_path))
    for name, play in (("plain", None), ("own", OWN), ("odd", {"temperature": 99, "min-p": "much", "x": 1})):
        (tmp_path / name).mkdir()
        checkpoint.save(model(play=play), tmp_path / name / f"{name}.safetensors")
    return tmp_path


def performer(told: list[Any], **options: Any) -> Performer:
    made = Performer(freewheel=True, precision="int8", status=lambda *event: told.append(event), **options)
    made.host(RATE, 64)
    return made


def test_rest_is_a_message_for_all_voices_or_one_and_is_kept_with_the_patch(models: Path) -> None:
    told: list[Any] = []
    one = performer(told, voices=2)
    for message in (("rest", 1.2), ("rest", 1.1, -25), ("voice", 2, "rest", 0.9, -40), ("rest",), ("rest-level",)):
        assert one.handle(*message)
    assert lines(told, "rest") == [1.2, 1.1, 1.1]
    assert lines(told, "rest-level") == [-25, -25]
    assert lines(told, "voice") == [(2, "rest", 0.9), (2, "rest-level", -40)]
    settings = one.settings()
    assert (settings["rest"], settings["rest-level"]) == (1.1, -25)
    other = performer(told)
    other.restore(settings)
    assert (other.state["rest"], other.state["rest-level"]) == (1.1, -25)
    assert not one.handle("rest", 6)
    assert lines(told, "error") == ["rest: temperature is 6, expected a number from 0 to 5"]
    one.close()
    other.close()


def test_a_models_own_setting_holds_until_a_message_sets_it(models: Path) -> None:
    told: list[Any] = []
    one = performer(told)
    one.handle("load", "own")
    assert {name: one.state[name] for name in OWN} == OWN
    assert one.settings()["own"] == "temperature rest rest-level min-p"
    assert not set(OWN) & set(one.settings())
    one.handle("generate")
    made = one.read(2000)[0]
    expected = model().decode(engine(sopilib.load("own")).generate(1800, 0.25, min_p=0.01, rest=1.4, rest_level=-20.0))
    np.testing.assert_array_equal(made[400:], expected[0, 80:1680])
    one.handle("load", "plain")  # whose file says nothing
    assert one.state["temperature"] == 1
    assert one.settings()["temperature"] == 1
    assert "own" not in one.settings()
    one.handle("min-p", 0)
    one.handle("load", "own")
    assert one.state["min-p"] == 0
    assert one.settings()["own"] == "temperature rest rest-level"
    one.handle("temperature", 0.7)
    assert one.settings()["own"] == "rest rest-level"
    again = performer(told)
    again.restore(one.settings())
    assert {name: again.state[name] for name in OWN} == {**OWN, "temperature": 0.7, "min-p": 0}
    assert not lines(told, "error")
    one.close()
    again.close()


def test_a_patch_that_sends_a_temperature_is_as_it_was(models: Path) -> None:
    told: list[Any] = []
    one = performer(told)
    for message in (("temperature", 1), ("rest", 0), ("min-p", 0), ("load", "own"), ("generate",)):
        one.handle(*message)
    made = one.read(1500)[0]
    one.close()
    expected = model().decode(engine(model()).generate(1500))
    np.testing.assert_array_equal(made[400:], expected[0, 80:1180])


def test_what_is_no_setting_in_a_file_is_left_aside(models: Path) -> None:
    assert sopilib.load("odd").play == {}
    assert sopilib.load("own").play == OWN
    np.testing.assert_array_equal(engine(sopilib.load("own")).generate(50), engine(sopilib.load("plain")).generate(50))


def test_sopi_generate_plays_a_model_at_its_own_setting_unless_told_otherwise(models: Path) -> None:
    import soundfile

    def made(name: str, *options: str) -> np.ndarray:
        assert (
            cli.main(["generate", name, "-o", str(models / "x.wav"), "--seconds", "0.2", "--overwrite", *options]) == 0
        )
        sound: np.ndarray = soundfile.read(models / "x.wav")[0]
        return sound

    asked = ["--temperature", "0.25", "--rest", "1.4", "--rest-level", "-20", "--min-p", "0.01"]
    np.testing.assert_array_equal(made("own"), made("plain", *asked))
    np.testing.assert_array_equal(made("own", "--temperature", "1", "--rest", "0", "--min-p", "0"), made("plain"))
    assert (made("own") != made("plain")).any()

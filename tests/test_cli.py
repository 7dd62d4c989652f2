"""The `sopi` command does what the README says, and its errors are one line."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from instruction_sets import SETS

import sopilib
from sopilib import Config, Model, checkpoint, library, shipped
from sopilib.cli import main
from sopilib.cli.bench import bound

ROOT = Path(__file__).parents[1]


def test_a_package_without_all_models_says_which_are_missing_and_how_to_get_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {path.name for path in (ROOT / "models").iterdir()} == set(library.COME_ALONG)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "tabla").symlink_to(ROOT / "models" / "tabla")
    monkeypatch.setattr(shipped, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["models"]) == 0
    said = capsys.readouterr().out
    how = f"comes with sopilib's wheel and not with this package: put its folder models/drums into {tmp_path}/models\n"
    assert f"\ndrums            missing: {how}" in said
    assert "tabla            missing" not in said
    assert main(["info", "drums"]) == 1
    assert capsys.readouterr().err == f"sopi info: drums: {how}"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small.safetensors"
    checkpoint.save(Model.random(Config(frame_sizes=[4, 16], dim=16, sample_rate=8000)), path)
    return path


def test_models_and_info_say_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    said = capsys.readouterr().out
    assert "tabla" in said
    of_tabla = r"<Model tabla: .*, 16000 Hz, .*>\n +6\.4 MB, [0-9.e+]+ times real time here, one voice on one core\n"
    assert re.search(of_tabla + r" +licence: CC0-1\.0", said)
    assert main(["info", "tabla"]) == 0
    said = capsys.readouterr().out
    for words in ("sample_rate: 16000", "held_out_bits", "licence", "CC0"):
        assert words in said
    for line in (
        "\ncoding: mu-law-centred 256, emphasis 0.85, 16000 Hz\n",
        "\ntraining: 4400 steps of 32 x 1024 samples, 144 M in all, in 48 minutes\n",
        "\nheld out: 60 s, 1.913 bits per sample in f32, 1.914 in int8, 1.923 in int4 (-8.017 density bits)\n",
        "\nstillness: moves by less than 6 dB for 2.7 s at most\n",
    ):
        assert line in said
    assert main(["info", "voice"]) == 0
    said = capsys.readouterr().out
    assert "\ncoding: mu-law-centred 256, emphasis 0.85, 16000 Hz\n" in said
    assert "\nplayed: temperature 0.9, rest 1, rest-level -30\n" in said
    assert "\nwent on from: voice_with_emphasis, 14500 steps" in said


def test_info_of_a_file_that_says_strange_things_says_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Model.random(Config(frame_sizes=[4, 16], dim=16, sample_rate=8000))
    model.about = {
        "training": {"steps": "many", "held_out_bits": {}},
        "from": [],
        "play": 3,
        "stillness": {"below": "x"},
    }
    checkpoint.save(model, tmp_path / "odd.safetensors")
    assert main(["info", str(tmp_path / "odd.safetensors")]) == 0
    said = capsys.readouterr().out
    assert "coding: mu-law 256, no emphasis, 8000 Hz\n\nconfig:" in said


def test_generate_makes_a_sound_file_that_hears_its_seed(small: Path, tmp_path: Path) -> None:
    def make(name: str, *options: str) -> np.ndarray:
        assert main(["generate", str(small), "-o", str(tmp_path / name), "--seconds", "0.5", *options]) == 0
        audio, rate = soundfile.read(tmp_path / name)
        assert (rate, len(audio)) == (8000, 4000)
        return audio

    first = make("a.wav", "--seed", "5")
    np.testing.assert_array_equal(make("b.wav", "--seed", "5", "--threads", "2"), first)
    assert (make("c.wav", "--seed", "6") != first).any()
    assert (make("k.wav", "--seed", "5", "--top-k", "3") != first).any()
    assert (make("d.wav", "--seed", "5", "--prime", str(tmp_path / "c.wav")) != first).any()


def test_bench_gives_figures(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    how = ["--seconds", "0.02", "--runs", "2", "--precision", "int8,f32", "--voices", "1,3", "--threads", "1,2"]
    assert main(["bench", str(small), *how, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(r["voices"], r["threads"], r["precision"]) for r in rows] == [
        (voices, threads, precision) for voices in (1, 3) for threads in (1, 2) for precision in ("int8", "f32")
    ]
    for r in rows:
        assert r["slowest"] <= r["real_time"] <= r["fastest"]
        assert r["block_ms"]["p50"] <= r["block_ms"]["p99.9"] <= r["block_ms"]["max"]
        assert r["gb_per_second"] > 0 and r["bandwidth_gb_per_second"] > 0 and r["times_torch"] > 0
        assert 0 < r["giga_products_per_second"] < r["peak_giga_products_per_second"]
        assert 0 < r["share_of_products"] < 1 and r["bound"] > 0
    assert rows[1]["kb_per_sample"] > rows[0]["kb_per_sample"], "f32 moves more than int8"
    assert main(["bench", str(small), "--seconds", "0.02", "--runs", "1", "--markdown"]) == 0
    assert "| small " in capsys.readouterr().out


def test_bench_computes_with_the_instructions_that_it_is_told(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    how = ["bench", str(small), "--seconds", "0.02", "--runs", "1"]
    assert main([*how, "--set", ",".join(SETS), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [r["instruction_set"] for r in rows] == SETS
    assert main([*how, "--set", "plain,abacus"]) != 0
    assert "'abacus': not known or not in this processor" in capsys.readouterr().err


def test_the_bound_is_the_speed_with_products_at_their_peak() -> None:
    # of 100 s of work for 400 s of sound 75 s go into products, which at their peak take 15 s
    assert bound(4, 0.75, 0.15) == pytest.approx(400 / (25 + 15))
    for multiplying in (0.1, 0.5, 1):
        assert bound(4, multiplying, multiplying) == pytest.approx(4), "they are at their peak already"
        assert bound(4, multiplying, multiplying / 2) > 4


def test_ctrl_c_keeps_what_bench_has_measured(
    small: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []

    def references(*_: object) -> dict[int, object]:
        class Pressed:
            threads = 1

            def samples_per_second(self, seconds: float) -> float:
                runs.append(seconds)
                if len(runs) == 2:
                    raise KeyboardInterrupt
                return 1.0

        return {1: Pressed()}

    monkeypatch.setattr("sopilib.cli.bench.references", references)
    assert main(["bench", str(small), "--seconds", "0.05", "--json"]) == 130
    said = capsys.readouterr()
    assert "stopped, this is what was measured until then" in said.err
    assert len(json.loads(said.out)["rows"]) == 1


def test_bench_needs_no_torch(small: Path) -> None:
    script = (
        "import sys; sys.modules['torch'] = None\n"
        f"from sopilib.cli import main; main(['bench', {str(small)!r}, '--seconds', '0.02', '--runs', '1'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, capture_output=True, text=True)
    assert "torch is not installed" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["info", "nothing-like-it"], "no such model file"),
        (["generate", "nothing-like-it"], "no model of that name"),
        (["generate", "tabla", "--seconds", "0", "-o", "x.wav"], "nothing to write"),
        (["generate", "tabla", "--temperature", "0"], "temperature"),
        (["generate", "tabla", "--top-p", "0"], "top-p: share is 0, expected a number from 0.001 to 1"),
        (["generate", "tabla", "--precision", "int3"], "precision"),
        (["generate", "tabla", "--prime", "nowhere.wav"], "nowhere.wav: no such file"),
        (["play", "nowhere.pd"], "no such patch"),
        (["play", "--pd", "no-such-pd"], "no such program"),
    ],
)
def test_errors_are_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_playing_needs_no_torch() -> None:
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "import sopilib, sopilib.live\n"
        "engine = sopilib.Engine(sopilib.load('tabla')); engine.generate(100)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_the_version_names_the_commit_the_instructions_and_the_external(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert said.startswith(f"sopi {sopilib.__version__}")
    assert "\nengine: " in said and "sopi.pd_" in said


def test_doctor_finds_everything_here_but_a_sound_card(capsys: pytest.CaptureFixture[str], pd_program: str) -> None:
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    for part in ("native engine", "Pure Data", "pyext external", "models"):
        assert f"ok       {part}" in said


def test_any_pd_finds_the_external_with_our_flags(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], pd_program: str
) -> None:
    assert main(["pd-flags"]) == 0
    flags = capfd.readouterr().out
    (tmp_path / "mine.pd").write_text(
        "#N canvas 0 0 450 300 12;\n#X obj 20 20 loadbang;\n#X msg 20 50 models;\n#X obj 20 80 samplernn~;\n"
        "#X obj 60 120 print said;\n#X connect 0 0 1 0;\n#X connect 1 0 2 0;\n#X connect 2 1 3 0;\n"
    )
    command = [pd_program, "-nogui", "-noaudio", "-batch", "-stderr", *shlex.split(flags), "-open", "mine.pd"]
    done = subprocess.run([*command, "-send", "pd quit"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "couldn't create" not in done.stderr


def test_play_renders_where_nobody_listens(tmp_path: Path, pd_program: str) -> None:
    out = tmp_path / "a folder" / "played.wav"
    assert main(["play", "--render", str(out), "--seconds", "3"]) == 0
    audio, rate = soundfile.read(out)
    assert rate == 48000
    assert abs(len(audio) / rate - 3) < 0.1
    assert np.sqrt((audio[rate:] ** 2).mean()) > 0.01
    picture = out.with_suffix(".png")
    assert picture.read_bytes().startswith(b"\x89PNG")


# ---------------------------------------------------------------- nothing of the user's is overwritten


def writers(small: Path, out: Path) -> dict[str, list[str]]:
    """For each command that writes one file, the words that write `out`."""
    old = Path(__file__).parent / "fixtures" / "prism" / "gru_mulaw"
    return {
        "generate": ["generate", str(small), "--seconds", "0.1", "-o", str(out)],
        "import": ["import", str(old), "-o", str(out)],
    }


@pytest.mark.parametrize("command", ["generate", "import"])
def test_a_file_of_another_kind_is_never_replaced(
    command: str, small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "thesis.wav"
    out.write_text("years of work")
    for more in ([], ["--overwrite"]):
        assert main([*writers(small, out)[command], *more]) == 1
        assert "expected the name of a new file" in capsys.readouterr().err.splitlines()[-1]
        assert out.read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.wav"]


@pytest.mark.parametrize(("command", "name"), [("generate", "take.wav"), ("import", "old.safetensors")])
def test_a_file_of_the_same_kind_is_replaced_only_when_that_is_asked_for(
    command: str, name: str, small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / name
    words = writers(small, out)[command]
    assert main(words) == 0
    out.touch()
    before = out.read_bytes(), out.stat().st_ino
    assert main(words) == 1
    assert "expected another name, or --overwrite to replace it" in capsys.readouterr().err.splitlines()[-1]
    assert (out.read_bytes(), out.stat().st_ino) == before
    assert main([*words, "--overwrite"]) == 0
    assert out.stat().st_ino != before[1]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_rendering_replaces_no_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str], pd_program: str) -> None:
    out = tmp_path / "played.wav"
    soundfile.write(out, np.zeros(10), 8000)
    assert main(["play", "--render", str(out), "--seconds", "1"]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert soundfile.info(out).frames == 10


def test_layouts_replace_no_file_that_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["osc-layouts", str(tmp_path)]) == 0
    assert main(["osc-layouts", str(tmp_path)]) == 0, "the same again is no loss"
    (tmp_path / "vanilla.pd").write_text("my own patch")
    assert main(["osc-layouts", str(tmp_path)]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "vanilla.pd").read_text() == "my own patch"
    assert main(["osc-layouts", str(tmp_path), "--overwrite"]) == 0

"""Takes made offline: one or a hundred, each the same for any division, resumed, made again, and bad orders told."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
from small_disk import no_file_above

from sopilib import Config, Engine, Model, SopiError, checkpoint
from sopilib.cli import main
from sopilib.live import Performer
from sopilib.live import score as scores
from sopilib.live.score import Line, Score
from sopilib.render import plan as plans
from sopilib.render.means import Means, best
from sopilib.render.order import Order, listed, order

RATE = 8000


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small.safetensors"
    checkpoint.save(Model.random(Config(frame_sizes=[4, 16], dim=16, sample_rate=RATE)), path)
    return path


@pytest.fixture
def generate(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Runs sopi generate in a folder of its own -> its exit status and what it said."""

    def run(*words: object, model: Path | None = small) -> tuple[int, str]:
        capsys.readouterr()
        status = main(["generate", *([str(model)] if model else []), *map(str, words)])
        said = capsys.readouterr()
        return status, said.out + said.err

    return run


def sounds(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: soundfile.read(path)[0] for path in sorted(folder.glob("*.wav"))}


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# ---------------------------------------------------------------- what takes are


def test_a_voice_with_a_seed_of_its_own_plays_as_if_it_were_the_only_one() -> None:
    model = Model.random(Config(frame_sizes=[4, 16], dim=16, sample_rate=RATE))
    for backend in ("native", "torch"):
        together = Engine(model, 3, backend)
        together.reset([7, 2**64 - 1, 0])
        made = together.generate(50, np.array([[0.8], [1.0], [1.2]]))
        for voice, (seed, temperature) in enumerate(((7, 0.8), (2**64 - 1, 1.0), (0, 1.2))):
            alone = Engine(model, 1, backend)
            alone.reset(seed)
            np.testing.assert_array_equal(made[voice], alone.generate(50, temperature)[0])
    with pytest.raises(SopiError, match="2 seeds, expected one for each of 3 voices"):
        Engine(model, 3).reset([1, 2])


def test_every_take_is_the_same_sound_for_any_division(generate, tmp_path: Path) -> None:
    order = ["--takes", 5, "--seconds", 0.3, "--seed", 3, "--temperature", "0.8", "Env([0.7,1.05],[0.2],[-2])"]
    made = []
    for voices, threads in ((1, 1), (2, 2), (5, 1)):
        folder = tmp_path / f"{voices}"
        assert generate(*order, "--voices", voices, "--threads", threads, "-o", folder)[0] == 0
        made.append(contents(folder))
    assert made[0] == made[1] == made[2]
    assert list(made[0]) == [*(f"take-00{n}.wav" for n in range(1, 6)), "takes.html", "takes.json"]
    assert generate(
        "--seconds", 0.3, "--seed", 5, "--temperature", "Env([0.7, 1.05], [0.2], [-2])", "-o", tmp_path / "a.wav"
    )
    np.testing.assert_array_equal(soundfile.read(tmp_path / "a.wav")[0], sounds(tmp_path / "1")["take-003.wav"])


def test_takes_have_the_seeds_and_temperatures_of_their_lists(generate, tmp_path: Path) -> None:
    assert (
        generate("-n", 3, "--seed", "9,4", 7, "--temperature", "0.9", "1.1", "--seconds", 0.1, "-o", tmp_path / "t")[0]
        == 0
    )
    described = json.loads((tmp_path / "t" / "takes.json").read_text())
    assert [(t["seed"], t["settings"]["temperature"]) for t in described["takes"]] == [(9, 0.9), (4, 1.1), (7, 1.1)]
    assert listed(["0.9,", "Env([0.7, 1.05],", "[4],[-2])", "1"]) == ["0.9", "Env([0.7, 1.05], [4],[-2])", "1"]
    assert listed(["env [1 2] [3]", "0.5"]) == ["env [1 2] [3]", "0.5"]


def test_a_description_holds_no_paths_times_or_hosts_and_reads_back(generate, small: Path, tmp_path: Path) -> None:
    assert generate("-n", 2, "--seconds", 0.1, "-o", tmp_path / "t")[0] == 0
    text = (tmp_path / "t" / "takes.json").read_text()
    assert str(tmp_path) not in text and str(small.parent) not in text
    plan = plans.read(tmp_path / "t" / "takes.json")
    assert plan.to_json() == text.encode()
    assert (plan.model, len(plan.takes)) == ("small", 2)


def test_a_take_made_longer_is_the_same_as_far_as_it_went(generate, small: Path, tmp_path: Path) -> None:
    clap = tmp_path / "clap.wav"
    soundfile.write(clap, np.random.default_rng(0).uniform(-0.5, 0.5, 5000), 11025)
    assert generate("-n", 3, "--seconds", 0.5, "--prime", clap, "-o", tmp_path / "t")[0] == 0
    clap.unlink()
    again = ["--again", tmp_path / "t" / "takes.json", 2, "--seconds", 1.5, "-o", tmp_path / "longer.wav"]
    assert generate(*again)[0] == 0
    longer = soundfile.read(tmp_path / "longer.wav")[0]
    assert len(longer) == 1.5 * RATE
    np.testing.assert_array_equal(longer[: RATE // 2], sounds(tmp_path / "t")["take-002.wav"])


def test_takes_go_on_from_a_part_of_a_sound_or_from_a_folder_one_each(generate, small: Path, tmp_path: Path) -> None:
    model, chance = checkpoint.load(small), np.random.default_rng(1)
    (tmp_path / "claps").mkdir()
    for name, n in (("a.wav", 4000), ("b.wav", 3991), ("c.wav", 1200)):
        soundfile.write(tmp_path / "claps" / name, chance.uniform(-0.5, 0.5, n), RATE, "FLOAT")

    def expected(name: str, start: int, end: int, seed: int) -> np.ndarray:
        heard = soundfile.read(tmp_path / "claps" / name, dtype="float32")[0][start:end]
        heard = np.concatenate([np.zeros(-len(heard) % 16, np.float32), heard])
        engine = Engine(model)
        engine.reset(seed)
        engine.prime(model.encode(heard)[None])
        return model.decode(engine.generate(800))[0]

    order = ["--seconds", 0.1, "--bits", "float", "-o"]
    assert generate("--prime", tmp_path / "claps", "--voices", 3, *order, tmp_path / "each")[0] == 0
    made = list(sounds(tmp_path / "each").values())[-3:]
    for take, (name, seed) in zip(made, (("a.wav", 0), ("b.wav", 1), ("c.wav", 2))):
        np.testing.assert_array_equal(take, expected(name, 0, 4000, seed))
    part = ["--prime", tmp_path / "claps" / "b.wav", "--prime-from", 0.25, "--prime-seconds", 0.125]
    assert generate(*part, *order, tmp_path / "part.wav")[0] == 0
    np.testing.assert_array_equal(soundfile.read(tmp_path / "part.wav")[0], expected("b.wav", 2000, 3000, 0))
    prisms = ["--seed", tmp_path / "claps" / "b.wav", "--seed_offset", 2000]
    assert generate(*prisms, *order, tmp_path / "prisms.wav")[0] == 0
    np.testing.assert_array_equal(soundfile.read(tmp_path / "prisms.wav")[0], expected("b.wav", 2000, 4000, 0))


def test_a_sound_that_is_shorter_than_a_frame_is_heard_and_that_is_told(generate, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "tick.wav", np.full(5, 0.5), RATE)
    order = ["--seconds", 0.1, "--prime", tmp_path / "tick.wav", "-o"]
    status, said = generate(*order, tmp_path / "out.wav")
    warning, *others = said.splitlines()
    assert status == 0 and len(others) == 1
    assert "tick.wav: 0.6 ms are heard of it, less than the model's frame of 2.0 ms" in said, warning
    assert generate("--seconds", 0.1, "-o", tmp_path / "other.wav")[0] == 0
    assert (soundfile.read(tmp_path / "out.wav")[0] != soundfile.read(tmp_path / "other.wav")[0]).any()
    soundfile.write(tmp_path / "nothing.wav", np.zeros(0), RATE)
    status, said = generate("--seconds", 0.1, "--prime", tmp_path / "nothing.wav", "-o", tmp_path / "x.wav")
    assert status == 1 and "nothing.wav: is 0.0 s long, and has no sound" in said and said.count("\n") == 1


# ---------------------------------------------------------------- how files are written


@pytest.mark.parametrize(("bits", "subtype"), [("16", "PCM_16"), ("24", "PCM_24"), ("float", "FLOAT")])
def test_files_have_the_rate_bits_and_length_that_were_asked_for(
    bits: str, subtype: str, generate, tmp_path: Path
) -> None:
    out = tmp_path / "take.wav"
    assert generate("--seconds", 0.3331, "--rate", 44100, "--bits", bits, "-o", out)[0] == 0
    info = soundfile.info(out)
    assert (info.samplerate, info.subtype, info.frames) == (44100, subtype, round(0.3331 * 44100))


def test_all_takes_are_normalised_by_one_gain(generate, tmp_path: Path) -> None:
    order = [
        "-n",
        3,
        "--seconds",
        0.4,
        "--temperature",
        0.5,
        1,
        1.5,
        "--bits",
        "float",
        "--fade-in",
        100,
        "--fade-out",
        100,
    ]
    assert generate(*order, "-o", tmp_path / "plain")[0] == 0
    assert generate(*order, "--normalise", -6, "-o", tmp_path / "even")[0] == 0
    plain, even = (np.stack(list(sounds(tmp_path / name).values())) for name in ("plain", "even"))
    assert np.abs(even).max() == pytest.approx(10 ** (-6 / 20), rel=1e-6)
    np.testing.assert_allclose(even, plain * (np.abs(even).max() / np.abs(plain).max()), rtol=1e-5, atol=1e-7)
    assert np.abs(plain[:, [0, -1]]).max() < 1e-4 < np.abs(plain).max()


# ---------------------------------------------------------------- scores


def test_a_score_sounds_as_its_messages_do_live(generate, small: Path, tmp_path: Path) -> None:
    score = tmp_path / "ramps.csv"
    score.write_text("time,message\n0,temperature 0.7\n0.1,temperature,1.2,100\n0.25,gain 0.3 50\n")
    order = ["-n", 2, "--seed", 5, "--seconds", 0.5, "--score", score, "--rate", 16000, "--bits", "float"]
    assert generate(*order, "-o", tmp_path / "t")[0] == 0
    lines = (
        Line(0, "temperature", (0.7,)),
        Line(1600, "temperature", (1.2, 100)),
        Line(4000, "gain", (0.3, 50)),
    )
    same = Score(lines, {"model": str(small), "seed": 6}, rate=16000.0)
    live = np.concatenate(list(scores.perform(same, 0.5)), axis=1)[0]
    np.testing.assert_array_equal(sounds(tmp_path / "t")["take-002.wav"], live)
    scores.write(same, tmp_path / "same.json")
    again = scores.read(tmp_path / "same.json")
    assert again == same and again.folder == tmp_path


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[30, "tempo-rubato 3"]]', "message 1: no message 'tempo-rubato'"),
        ('[[30, "temperature 0.9"], [31, "temperature 70"]]', "message 2: temperature: temperature is 70, expected"),
        ('[["soon", "temperature 1"]]', "its time is 'soon', expected a number of seconds"),
        ('{"messages": 5}', "no list of messages"),
        (
            '{"settings": {"temprature": 0.9}, "messages": []}',
            "no setting 'temprature', expected model, load2 or one of",
        ),
        ("[[", "is no score"),
        ("[[0, true]]", "message 1: message is True"),
        ('[[1e308, "temperature 1"]]', "its time is 1e+308, expected a number of seconds"),
        ('[[0, ["temperature", 1%s]]]' % ("0" * 400), "message 1: temperature: temperature is 1000"),
        ('{"settings": {"latency": "short"}, "rate": 8000, "frames": 9, "messages": []}', "latency: ms is 'short'"),
    ],
    ids=lambda text: text[:30],
)
def test_a_wrong_score_is_one_sentence_with_its_line(text: str, says: str, generate, tmp_path: Path) -> None:
    score = tmp_path / "wrong.json"
    score.write_text(text)
    status, said = generate("--score", score, "-o", tmp_path / "out.wav")
    assert status == 1 and says in said and said.count("\n") == 1 and "wrong.json" in said


def test_a_score_that_was_written_down_needs_no_more_words(generate, small: Path, tmp_path: Path) -> None:
    lines = (Line(500, "temperature", (1.2, 100)), Line(3000, "seed", (8,)))
    written = Score(lines, {"model": small.name, "latency": 20, "seed": 3}, rate=11025.0, begin=0, frames=6000)
    shutil.copy(small, tmp_path)
    scores.write(written, tmp_path / "evening.json")
    order = ["--score", tmp_path / "evening.json", "--bits", "float", "-o", tmp_path / "out.wav"]
    assert generate(*order, model=None)[0] == 0
    live = np.concatenate(list(scores.perform(scores.read(tmp_path / "evening.json"))), axis=1)[0]
    made, rate = soundfile.read(tmp_path / "out.wav", dtype="float32")
    assert (rate, len(made)) == (11025, 6000)
    np.testing.assert_array_equal(made, live)


def test_what_was_written_down_live_sounds_again_as_it_did(generate, small: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        shutil.copy(small, tmp_path / f"{name}.safetensors")
    performer, made = Performer(freewheel=True, folder=tmp_path), []
    performer.host(11025, 64)
    for messages, frames in (
        ((("score", "start", "evening.json"), ("load", "first.safetensors"), ("seed", 9), ("generate",)), 1000),
        ((("temperature", 1.2, 100),), 2000),
        ((("load", "second.safetensors"),), 2000),
    ):
        for selector, *atoms in messages:
            assert performer.perform(selector, *atoms, t=performer.now)
        made.append(performer.read(frames))
    assert performer.perform("score", "stop", t=performer.now)
    performer.close()
    for path in tmp_path.glob("*.safetensors"):
        shutil.copy(path, tmp_path / "recordings")
    order = ["--score", tmp_path / "recordings" / "evening.json", "--bits", "float", "-o", tmp_path / "out.wav"]
    assert generate(*order, model=None)[0] == 0
    np.testing.assert_array_equal(soundfile.read(tmp_path / "out.wav")[0], np.concatenate(made, axis=1)[0])


def test_the_scores_on_the_page_are_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "takes.md").read_text()
    (tmp_path / "evening.csv").write_text(re.findall(r"((?:    [0-9][^\n]*,[^\n]*\n)+)", page)[0].replace("    ", ""))
    (tmp_path / "evening.json").write_text(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0])
    as_lines, as_json = (scores.read(tmp_path / f"evening.{kind}") for kind in ("csv", "json"))
    assert as_lines.messages == (
        Line(30.0, "temperature", (1.2, 4000)),
        Line(34.5, "load2", ("drums",)),
        Line(35.0, "blend", (0.5, 10000)),
        Line(60.0, "kick"),
    )
    assert as_json.messages == (as_lines.messages[0], Line(1656000, "load2", ("drums",)))
    assert [line.frame(48000) for line in as_json.messages] == [line.frame(48000) for line in as_lines.messages[:2]]


# ---------------------------------------------------------------- how they are made


def test_the_fastest_way_is_the_one_that_is_done_first(small: Path) -> None:
    made = {Means(1, 2): 10.0, Means(8, 2): 40.0, Means(16, 2): 50.0, Means(32, 2): 51.0}
    assert best(64, made) == Means(16, 2), "hardly slower than 32, and less is lost when it is broken off"
    assert best(16, made) == Means(8, 2), "with 16 or more voices an engine would have nothing to do"
    engine, takes = Engine(checkpoint.load(small)), [plans.Take(n, n, 1e6) for n in range(1, 4)]
    plan = order(Order(takes=3, seconds=1e6), engine, plans.Sound(), "take")
    for threads in (1, 2, 12):
        way = Means.chosen(engine, plan, takes, threads, 0)
        assert 1 <= way.voices <= 3 and 1 <= way.engines * way.threads <= threads
    assert Means.chosen(engine, plan, takes, 4, 2) == Means(2, 2)


# ---------------------------------------------------------------- broken off

KILLS = """
import os, random, signal, sys, time
from sopilib.cli import main

def run(words, kill_after=None):
    \"\"\"In a process of its own -> how it ended, and after how many seconds.\"\"\"
    begin = time.monotonic()
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(main(words))
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1], time.monotonic() - begin

unbroken, broken, *words = sys.argv[1:]
ended, took = run([*words, "-o", unbroken])
assert ended == 0
chance, killed = random.Random(), 0
for _ in range(10):
    ended, _ = run([*words, "-o", broken], chance.uniform(0, took / 3))
    killed += ended == signal.SIGKILL
ended, _ = run([*words, "-o", broken])
assert ended == 0
print(killed)
"""


@pytest.mark.parametrize("how", [(), ("--normalise", "--rate", "11025", "--fade-out", "50")])
def test_killed_ten_times_and_started_again_it_makes_what_an_unbroken_run_makes(
    how: tuple[str, ...], small: Path, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "clap.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 2000), RATE)
    words = ["generate", str(small), "-n", "24", "--seconds", "1.5", "--voices", "3", "--threads", "2", *how]
    words += ["--prime", str(tmp_path / "clap.wav")]
    done = subprocess.run(
        [sys.executable, "-c", KILLS, str(tmp_path / "unbroken"), str(tmp_path / "broken"), *words],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 2, "some of them must have been killed at their work"
    assert len(contents(tmp_path / "unbroken")) == 27
    assert contents(tmp_path / "broken") == contents(tmp_path / "unbroken")
    assert not list(tmp_path.rglob(".*"))


def started(words: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sopilib.cli", "generate", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def until(condition, patience: float = 60) -> None:
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.02)


def test_ctrl_c_keeps_what_is_made_and_says_so_and_nobody_else_works_there(
    generate, small: Path, tmp_path: Path
) -> None:
    one, many = tmp_path / "one.wav", tmp_path / "many"
    alone = started([str(small), "--seconds", "36000", "-o", str(one)])
    even = started([str(small), "--seconds", "36000", "--normalise", "-o", str(tmp_path / "even.wav")])
    takes = started([str(small), "-n", "1000", "--seconds", "20", "--voices", "2", "--threads", "1", "-o", str(many)])
    until(lambda: any(path.stat().st_size > 20_000 for path in tmp_path.glob("one.wav*")))
    until(lambda: any(path.stat().st_size > 20_000 for path in tmp_path.glob(".even.wav/*")))
    until(lambda: (many / "take-001.wav").exists())
    status, second = generate("-n", 1000, "--seconds", 20, "-o", many)
    assert status == 1 and f"sopi generate works there already (process {takes.pid}" in second
    for process in (alone, takes, even):
        process.send_signal(signal.SIGINT)
    said = [process.communicate(timeout=240)[0] for process in (alone, takes, even)]
    assert [process.returncode for process in (alone, takes, even)] == [130, 130, 130], said
    assert "broken off after" in said[0] and said[0].count("\n") == 1
    assert soundfile.info(one).frames > 1000
    assert "even.wav: broken off after" in said[2]
    assert np.abs(soundfile.read(tmp_path / "even.wav")[0]).max() == pytest.approx(10 ** (-1 / 20), abs=1e-4)
    assert "of 1000 takes are there, and the same line goes on with the others" in said[1] and said[1].count("\n") == 1
    assert not list(tmp_path.rglob("*.part")) and not (tmp_path / ".even.wav").exists()
    assert {len(sound) for sound in sounds(many).values()} == {20 * RATE}


def test_how_far_it_is_stands_in_one_line_of_the_terminal(small: Path, tmp_path: Path) -> None:
    terminal, its_end = pty.openpty()
    command = [sys.executable, "-m", "sopilib.cli", "generate", str(small), "-n", "3", "--seconds", "2"]
    with subprocess.Popen([*command, "-o", str(tmp_path / "t")], stdout=subprocess.DEVNULL, stderr=its_end):
        os.close(its_end)
        said = b""
        with suppress(OSError):  # what Linux says when the other end is closed
            while piece := os.read(terminal, 1000):
                said += piece
    os.close(terminal)
    lines = said.decode().split("\r")
    assert re.fullmatch(r"[0-3] of 3 takes, [0-9.]+ s of sound a second, [0-9]+ s left", lines[0].strip()), said
    assert not lines[-1].strip(), "it is wiped out when all are made"


def test_a_finished_folder_is_left_as_it_is_and_may_get_more_takes(generate, tmp_path: Path) -> None:
    order, folder = ["--seconds", 0.2, "-o", tmp_path / "t"], tmp_path / "t"
    assert generate("-n", 2, *order)[0] == 0
    before = contents(folder)
    assert "2 takes of 0.2 s at 8000 Hz, 0 made now" in generate("-n", 2, *order)[1]
    assert contents(folder) == before
    assert generate("-n", 3, *order)[0] == 0
    assert {name: digest for name, digest in contents(folder).items() if name in before and "takes." not in name} == {
        name: digest for name, digest in before.items() if "takes." not in name
    }
    assert len(sounds(folder)) == 3
    (folder / "take-002.wav").unlink()
    assert "1 made now" in generate("-n", 3, *order)[1]
    assert contents(folder)["take-002.wav"] == before["take-002.wav"]


def test_takes_replace_no_others_unless_that_is_asked_for(generate, tmp_path: Path) -> None:
    order, folder = ["-n", 2, "--seconds", 0.2, "-o", tmp_path / "t"], tmp_path / "t"
    assert generate(*order)[0] == 0
    before = contents(folder)
    status, said = generate(*order, "--temperature", 0.5)
    assert status == 1 and said.count("\n") == 1
    assert "of take 1 temperature is 0.5, there 1.0" in said and "--overwrite to replace them" in said
    assert contents(folder) == before
    assert generate(*order, "--temperature", 0.5, "--overwrite")[0] == 0
    assert all(contents(folder)[name] != digest for name, digest in before.items())
    (tmp_path / "mine").mkdir()
    soundfile.write(tmp_path / "mine" / "take-002.wav", np.zeros(10), RATE)
    status, said = generate(*order[:-1], tmp_path / "mine")
    assert status == 1 and "take-002.wav: there is such a file already" in said
    assert list(contents(tmp_path / "mine")) == ["take-002.wav"]


def test_a_full_disk_is_one_sentence_and_finished_takes_stay(generate, tmp_path: Path) -> None:
    order, folder = ["--seconds", 1, "-o", tmp_path / "t"], tmp_path / "t"
    assert generate("-n", 2, *order)[0] == 0
    before = contents(folder)
    with no_file_above(10_000):
        status, said = generate("-n", 6, *order)
    assert status == 1 and "File too large" in said and said.count("\n") == 1
    assert "; 2 of 6 takes are there, and the same line goes on with the others" in said
    assert {n: d for n, d in contents(folder).items() if n.startswith("take-")} == {
        n: d for n, d in before.items() if n.startswith("take-")
    }
    assert "4 made now" in generate("-n", 6, *order)[1]
    assert len(sounds(folder)) == 6


def test_a_folder_that_cant_be_written_is_one_sentence(generate, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for out in ("file/takes", "file/out.wav", "file"):
        status, said = generate("-n", 1 + ("wav" not in out), "--seconds", 0.1, "-o", tmp_path / out)
        assert status == 1 and said.count("\n") == 1, said
        assert "Not a directory" in said or "File exists" in said


# ---------------------------------------------------------------- bad orders


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-n", "0"], "0 takes, expected 1 to"),
        (["--seconds", "0"], "nothing to write"),
        (["--seconds", "604800", "-o", "w.flac"], "GB of disk are needed"),
        (["--seconds", "604800", "-o", "w.wav"], "4 GB that such a file holds, expected .flac"),
        (["-n", "5", "--seed", "1", "2"], "2 seeds for 5 takes, expected one to count on from, or 5"),
        (["--seed", "12x"], "12x: no such file"),
        (["--temperature", "hot"], "temperature is 'hot', expected a number from 0.01 to 5"),
        (["-n", "2", "--temperature", "0.9", "Env([1],[2])"], "1 levels, 1 times"),
        (["--bits", "float", "-o", "x.flac"], "FLAC has no floats"),
        (["-o", "x.mp3"], "could not be written as .mp3"),
        (["--prime", "x.wav", "--prime-from", "-1"], "x.wav: is to be heard from -1 s on, expected 0 or more"),
        (["--prime", "x.wav", "--prime-seconds", "0"], "from 0 s on, and 0 s of it, expected"),
        (["--frame_sizes", "16", "64", "--dim", "1024"], "--frame-sizes, --dim: leave it out, the model says it"),
    ],
)
def test_a_bad_order_is_one_sentence(words: list[str], says: str, generate, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    status, said = generate(*words)
    assert status == 1 and says in said and said.count("\n") == 1, said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": "sopilib takes 9"}, "format is sopilib takes 9, expected 'sopilib takes 1'"),
        ({"takes": []}, "is damaged"),
        ({"takes": [{"number": 1, "seed": -1}]}, "is damaged: KeyError 'seconds'"),
        ({"model": {"name": "small"}}, "is damaged: KeyError 'fingerprint'"),
        ({"takes": {"heard": {"sound": "../../mine.wav"}}}, "'../../mine.wav' is no name of a file beside the takes"),
        ({"takes": {"file": "../mine-001.wav"}}, "'../mine-001.wav' is no name of a file beside the takes"),
        ({"takes": {"settings": {"temperature": 99}}}, "temperature is 99, expected a number from 0.01 to 5"),
        ({"takes": {"seconds": "long"}}, "is damaged: ValueError"),
        ({"takes": {"seconds": 10**400}}, "is damaged: OverflowError"),
        ({"takes": {"number": 0}}, "is damaged: the numbers of its takes"),
        ({"sound": {"rate": "high"}}, "is damaged: TypeError"),
        ({"engine": {}}, "is damaged: the engine has no backend"),
    ],
)
def test_a_description_that_is_wrong_is_one_sentence(change: dict, says: str, generate, tmp_path: Path) -> None:
    assert generate("-n", 1, "--seconds", 0.1, "-o", tmp_path / "t")[0] == 0
    path = tmp_path / "t" / "takes.json"
    said = json.loads(path.read_text())
    if isinstance(change.get("takes"), dict):
        change = {"takes": [{**said["takes"][0], **change["takes"]}]}
    path.write_text(json.dumps({**said, **change}))
    status, answer = generate("--again", path, 1, "-o", tmp_path / "again.wav")
    assert status == 1 and says in answer and answer.count("\n") == 1, answer
    assert generate("--again", tmp_path / "none.json", 1)[1].count("none.json: No such file") == 1


def test_the_takes_of_another_model_are_told(generate, small: Path, tmp_path: Path) -> None:
    assert generate("-n", 2, "--seconds", 0.1, "-o", tmp_path / "t")[0] == 0
    other = tmp_path / "other.safetensors"
    checkpoint.save(Model.random(Config(frame_sizes=[4, 16], dim=16, sample_rate=RATE), seed=1), other)
    status, said = generate("--again", tmp_path / "t" / "takes.json", 1, model=other)
    assert status == 1 and "is another model than the small" in said and said.count("\n") == 1
    status, said = generate("--again", tmp_path / "t" / "takes.json", 3)
    assert status == 1 and "there is no take 3, expected one from 1 to 2" in said

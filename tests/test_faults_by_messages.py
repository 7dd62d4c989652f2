"""What went wrong in 0.1.0 as a player met it: by messages alone, where the old version dies, hangs or falls silent.

Each test is a small program of its own, so that one which ends the process ends nothing else, and it uses only what
both versions have: `Performer`, its messages and `read`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BEGIN = f"""
import os, sys, threading, time
import numpy as np
import sopilib
from sopilib.live import Performer
MODELS = {str(ROOT / "models")!r}
SMALL = sopilib.Config(frame_sizes=[4, 16], dim=16, mlp_dim=16, emb_size=8)

def performer(**options):
    told = []
    p = Performer(**{{"freewheel": True, "status": lambda *event: told.append(event), **options}})
    p.host(48000, 64)
    p.told = told
    return p

def say(p, *lines, t=None):
    for line in lines:
        words = [float(w) if w.replace(".", "").isdigit() else w for w in line.split()]
        assert p.handle(words[0], *words[1:], t=p.now if t is None else t), (line, p.told[-1:])

def small(folder, *seeds):
    for seed in seeds:
        path = f"{{folder}}/model{{seed}}.safetensors"
        sopilib.checkpoint.save(sopilib.Model.random(SMALL, seed=seed), path)
    return [f"{{folder}}/model{{seed}}.safetensors" for seed in seeds]

def rms(sound):
    return float(np.sqrt(np.mean(np.square(sound))))

import sopilib.checkpoint
"""


def runs(program: str, folder: Path, timeout: float = 60) -> None:
    """The program ends well. `FOLDER` in it is a folder of its own."""
    text = BEGIN + program.replace("FOLDER", repr(str(folder))) + "\nprint('well')\n"
    done = subprocess.run([sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0 and done.stdout.endswith("well\n"), (done.returncode, done.stdout, done.stderr[-2000:])


def test_guard_off_at_the_moment_when_it_goes_back_leaves_the_music_on(tmp_path: Path) -> None:
    runs(
        """
def play(off):
    # the drums fall silent at this temperature; -> the frame at which the trap was told
    p = performer()
    say(p, f"load {MODELS}/drums", "seed 5", "guard reprime", "generate")
    noticed = None
    for position in range(0, 6 * 48000, 64):
        if position == 72000: say(p, "temperature 0.5")
        if position == off: say(p, "guard off", "temperature 1")
        p.read(64)
        if off is None:
            p.poll()
            if any(e[0] == "trap" for e in p.told): noticed = noticed or position
    after = rms(p.read(48000))
    p.close()
    return noticed, after

noticed, _ = play(None)
for by in range(-1024, -448, 64):
    assert play(noticed + by)[1] > 1e-3, by
""",
        tmp_path,
        timeout=120,
    )


def test_an_engine_in_python_that_fails_while_it_listens_is_told_and_ends_nothing(tmp_path: Path) -> None:
    runs(
        """
def broken(self, codes, *more): raise RuntimeError("out of tune")
(path,) = small(FOLDER, 1)
p = performer(backend="torch")
say(p, f"load {path}", "generate")
p.read(9600)
sopilib.Engine.prime = broken
say(p, "listen 1 old")
p.read(4800, np.zeros((1, 4800), np.float32))
assert rms(p.read(4800, np.zeros((1, 4800), np.float32))) > 1e-3
p.poll()
assert any(e[0] == "error" and "out of tune" in e[1] for e in p.told), p.told
""",
        tmp_path,
    )


def test_a_morph_to_what_does_not_fit_is_refused_and_the_music_goes_on(tmp_path: Path) -> None:
    runs(
        """
first, second = small(FOLDER, 1, 2)
p = performer()
say(p, f"load {first}", f"load2 {second}", "generate")
p.read(9600)
say(p, "snapshot store 1")
p.read(4800)
say(p, "blend-mode logits")
p.read(4800)
p.handle("snapshot", "morph", 1, 100)
p.read(4800)
assert rms(p.read(9600)) > 1e-3
p.poll()
assert any(e[0] == "error" for e in p.told) and not any("engine stopped" in str(e) for e in p.told), p.told
""",
        tmp_path,
    )


def test_what_the_torch_backend_can_not_do_is_refused_and_the_music_goes_on(tmp_path: Path) -> None:
    runs(
        """
(path,) = small(FOLDER, 1)
p = performer(backend="torch", voices=2)
say(p, f"load {path}", "generate")
p.read(4800)
p.handle("voice", 2, "seed", 5)
p.read(4800)
assert (np.sqrt(np.mean(np.square(p.read(4800)), axis=1)) > 1e-3).all()
p.poll()
assert any(e[0] == "error" for e in p.told) and not any("engine stopped" in str(e) for e in p.told), p.told
""",
        tmp_path,
    )


def test_a_second_model_is_heard_after_voices_has_changed(tmp_path: Path) -> None:
    runs(
        """
first, second = small(FOLDER, 1, 2)
p = performer(outputs=2)
say(p, f"load {first}", f"load2 {second}", "blend 1", "generate")
p.read(9600)
assert rms(p.read(9600)[0]) > 1e-3
say(p, "voices 2")
p.read(9600)
assert all(rms(voice) > 1e-3 for voice in p.read(9600))
""",
        tmp_path,
    )


def test_a_fade_out_ends_though_the_sound_runs_out_meanwhile(tmp_path: Path) -> None:
    runs(
        """
(path,) = small(FOLDER, 1)
p = performer(freewheel=False)

def paced(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        p.read(64)
        time.sleep(64 / 48000)

say(p, f"load {path}", "fade 200", "generate")
end = time.monotonic() + 20
while not p.stream.stats()["generating"] and time.monotonic() < end: paced(0.05)
assert p.stream.stats()["generating"]
paced(0.2)
say(p, "stop")
paced(0.1)
p.read(48000) # a second at once: the host reads past what was made, and past the end of the fade
end = time.monotonic() + 10
while p.stream.stats()["generating"] and time.monotonic() < end: paced(0.05)
assert not p.stream.stats()["generating"]
""",
        tmp_path,
    )


def test_two_threads_may_close_at_once(tmp_path: Path) -> None:
    runs(
        """
for _ in range(60):
    p = performer()
    p.read(64)
    together, ended = threading.Barrier(8), []
    def close():
        together.wait()
        ended.append(p.stream.close(5.0))
    closing = [threading.Thread(target=close, daemon=True) for _ in range(8)]
    for c in closing: c.start()
    for c in closing: c.join(10)
    assert ended == [True] * 8, ended
""",
        tmp_path,
    )


def test_a_fork_while_it_plays_ends_at_once_and_leaves_the_sound(tmp_path: Path) -> None:
    runs(
        """
import warnings
warnings.simplefilter("ignore")
(path,) = small(FOLDER, 1)
p = performer()
say(p, f"load {path}", "generate")
p.read(9600)
began = time.monotonic()
child = os.fork()
if child == 0:
    sys.exit(0) # as a program ends: with all that is registered for it
end = time.monotonic() + 10
while os.waitpid(child, os.WNOHANG) == (0, 0):
    if time.monotonic() > end:
        os.kill(child, 9)
        raise AssertionError("the child hangs")
    time.sleep(0.01)
assert time.monotonic() - began < 0.4, "the child waited for threads that it has not"
assert rms(p.read(9600)) > 1e-3
""",
        tmp_path,
    )


def test_a_blend_to_one_side_and_back_is_the_same_however_it_is_read(tmp_path: Path) -> None:
    runs(
        """
first, second = small(FOLDER, 1, 2)

def play(block, wait):
    p = performer()
    say(p, f"load {first}", f"load2 {second}", "seed 3", "generate", t=0)
    messages, out = [(9600, "blend 1 33.3"), (24000, "blend 0.5 10")], []
    for position in range(0, 48000, block):
        while messages and messages[0][0] <= position: say(p, messages[0][1], t=messages.pop(0)[0])
        if wait and position % 4800 == 0: time.sleep(0.004)
        out.append(p.read(block))
    p.close()
    return np.concatenate(out, 1)

ways = [play(*way) for way in ((64, False), (64, True), (480, False), (4800, True), (960, False), (64, True))]
assert all(np.array_equal(ways[0], way) for way in ways)
""",
        tmp_path,
    )


def test_an_error_is_told_though_two_thousand_messages_came_too_late(tmp_path: Path) -> None:
    runs(
        """
(path,) = small(FOLDER, 1)
p = performer(backend="torch")
say(p, f"load {path}", "generate")
p.read(9600)
def broken(self, *a, **k): raise RuntimeError("out of tune")
sopilib.Engine.generate = broken
with p.lock if hasattr(p, "lock") else p._lock: # so that nothing is told meanwhile
    for k in range(2000): p.stream.post("gain", 0, 1.0) if hasattr(p.stream, "post") else p.stream.gain(0, 1.0)
    p.stream.read(9600, None)
p.poll()
assert any(e[0] == "error" and "out of tune" in e[1] for e in p.told), p.told
""",
        tmp_path,
    )

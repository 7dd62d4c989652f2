"""What went wrong in 0.1.0 as a player met it: by messages alone, where the old version dies, hangs or falls silent.

Each test is a small program of its own, so that one which ends the process ends nothing else, and it uses only what
both versions have: `Performer`, its messages, `read` and `ring`. A program that hangs is ended, and says where it hung.
What the old version did is said where a test begins. No test asks how fast something is done, except the fork's, of
which only the fastest of many counts.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import is_caught
import pytest

ROOT = Path(__file__).resolve().parents[1]
BEGIN = f"""
import faulthandler, os, sys, threading, time
faulthandler.dump_traceback_later(50, exit=True)
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

def lines(p, kind):
    return [event[1] for event in list(p.told) if event[0] == kind]

def paced(p, condition, seconds=20):
    # plays in real time until the condition holds
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        p.read(64)
        time.sleep(64 / 48000)
    assert condition(), p.told[-5:]

import sopilib.checkpoint
"""


def runs(program: str, folder: Path, timeout: float = 60) -> None:
    """The program ends well. `FOLDER` in it is a folder of its own."""
    text = BEGIN + program.replace("FOLDER", repr(str(folder))) + "\nprint('well')\n"
    done = subprocess.run([sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0 and done.stdout.endswith("well\n"), (done.returncode, done.stdout, done.stderr[-2000:])


def test_guard_off_at_the_moment_when_it_goes_back_leaves_the_music_on(tmp_path: Path) -> None:
    """The old version followed a null pointer: what was to be primed again outlived the guard."""
    is_caught.file(tmp_path)
    runs(
        f"SEED = {is_caught.SEED}"
        """
def begin():
    # a voice that is well, and is caught at this temperature
    p = performer()
    say(p, f"load {FOLDER}/is-caught.safetensors", f"seed {SEED}", "guard reprime", "generate", t=0)
    say(p, "temperature 0.5", t=72000)
    return p

p = begin()
while "trap" not in [event[0] for event in p.told]:
    p.read(64)
    p.poll()
    assert p.now < 6 * 48000, "it is no longer caught: choose another seed"
noticed = p.now
p.close()
for by in range(-960, -576, 64): # the stream is ahead of the host, and a message takes 20 ms: some lie 2 ms after it
    p = begin()
    say(p, "guard off", "temperature 1", t=noticed + by)
    p.read(noticed + by + 9600)
    assert rms(p.read(24000)) > 1e-3, by
    p.poll()
    assert not lines(p, "error"), p.told
    p.close()
""",
        tmp_path,
    )


def test_an_engine_in_python_that_fails_while_it_listens_is_told_and_ends_nothing(tmp_path: Path) -> None:
    """The old version aborted: what the engine raised left the stream's thread."""
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
    """The old version said that the engine stopped, and was silent."""
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


def test_a_morph_to_what_is_not_stored_yet_is_refused_and_the_music_goes_on(tmp_path: Path) -> None:
    """The old version said that the engine stopped, and was silent."""
    runs(
        """
(path,) = small(FOLDER, 1)
p = performer()
say(p, f"load {path}", "generate")
p.read(4800)
say(p, "snapshot store 1", t=p.now + 48000) # it will be taken in a second
p.handle("snapshot", "morph", 1, 100)
p.read(9600)
assert rms(p.read(4800)) > 1e-3
p.poll()
assert len(lines(p, "error")) == 1 and "engine stopped" not in lines(p, "error")[0], p.told
p.read(48000)
p.handle("snapshot", "morph", 1, 100) # now it is
p.read(9600)
assert rms(p.read(4800)) > 1e-3
p.poll()
assert len(lines(p, "error")) == 1, p.told
""",
        tmp_path,
    )


def test_guard_reprime_with_the_torch_backend_is_refused_and_the_music_goes_on(tmp_path: Path) -> None:
    """The old version said that the engine stopped, and was silent."""
    runs(
        """
slow = sopilib.Config(frame_sizes=[4, 16], dim=16, mlp_dim=16, emb_size=8, sample_rate=2000)
sopilib.checkpoint.save(sopilib.Model.random(slow, seed=1), f"{FOLDER}/slow.safetensors")
p = performer(backend="torch")
say(p, f"load {FOLDER}/slow.safetensors", "generate")
p.read(4800)
p.handle("guard", "reprime")
p.read(96000)
assert rms(p.read(4800)) > 1e-3
p.poll()
assert len(lines(p, "error")) == 1 and "engine stopped" not in lines(p, "error")[0], p.told
""",
        tmp_path,
    )


def test_what_the_torch_backend_can_not_do_is_refused_and_the_music_goes_on(tmp_path: Path) -> None:
    """The old version said that the engine stopped, and was silent."""
    runs(
        """
(path,) = small(FOLDER, 1)
p = performer(backend="torch", voices=2)
say(p, f"load {path}", "generate")
p.read(2400)
p.handle("voice", 2, "seed", 5)
p.read(1200)
assert (np.sqrt(np.mean(np.square(p.read(1200)), axis=1)) > 1e-3).all()
p.poll()
assert any(e[0] == "error" for e in p.told) and not any("engine stopped" in str(e) for e in p.told), p.told
""",
        tmp_path,
    )


def test_a_second_model_is_heard_after_voices_has_changed(tmp_path: Path) -> None:
    """The old version was silent at blend 1."""
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
    """The old version faded for ever: it made sound that nobody heard, and did nothing about a further stop."""
    runs(
        """
(path,) = small(FOLDER, 1)
p = performer(freewheel=False)

def generating():
    return p.stream.stats()["generating"]

say(p, f"load {path}", "fade 2000", "generate")
paced(p, generating)
say(p, "stop")
before = p.now
paced(p, lambda: p.now > before + 4800) # it fades
for _ in range(3): p.read(48000) # three seconds at once: the host reads past what was made, and past the fade's end
paced(p, lambda: not generating())
say(p, "fade 5", "generate")
paced(p, lambda: rms(p.read(64)) > 1e-3)
say(p, "stop")
paced(p, lambda: not generating() and rms(p.read(64)) == 0)
""",
        tmp_path,
    )


def test_two_threads_may_close_at_once(tmp_path: Path) -> None:
    """In the old version some of them raised EINVAL, or hung."""
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
    """The old version's child waited half a second for the threads of its parent."""
    runs(
        """
import signal, warnings
warnings.simplefilter("ignore")
faulthandler.cancel_dump_traceback_later() # a child could not end it: an alarm does that
(path,) = small(FOLDER, 1)
p = performer()
say(p, f"load {path}", "generate")
p.read(9600)
took = []
while len(took) < 20 and min(took, default=1) > 0.4: # it waited half a second, each time
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        signal.alarm(15)
        sys.exit(0) # as a program ends: with all that is registered for it
    assert os.waitpid(child, 0)[1] == 0, "the child hung"
    took.append(time.monotonic() - began)
    assert rms(p.read(9600)) > 1e-3
assert min(took) < 0.4, "the child waits for threads that it has not"
""",
        tmp_path,
    )


def test_a_blend_to_one_side_and_back_is_the_same_however_it_is_read(tmp_path: Path) -> None:
    """In the old version it depended on the size of blocks where the model that was not heard went on."""
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
    """In the old version what nobody reads filled the queue of events, and there was no room for the error."""
    runs(
        """
def broken(self, *a, **k): raise RuntimeError("out of tune")

def busy(kind, *values):
    # while a watcher is called nothing else is told: nobody polls
    if kind == "models":
        for _ in range(2000): p.handle("gain", 1, t=0)
        p.read(4800)
        sopilib.Engine.generate = broken
        p.read(4800)

(path,) = small(FOLDER, 1)
p = performer(backend="torch")
say(p, f"load {path}", "generate")
p.read(9600)
p.watch(busy)
say(p, "models")
p.poll()
assert any("out of tune" in line for line in lines(p, "error")), p.told[-5:]
""",
        tmp_path,
    )


def test_a_host_may_take_more_at_once_than_the_ring_holds(tmp_path: Path) -> None:
    """In the old version such a host waited for ever, and what it put in was written past the end of the ring."""
    runs(
        """
import ctypes, subprocess
with open("host.c", "w") as file:
    file.write('#include "ring.h"\\n')
    file.write("uint32_t capacity(sopi_ring *r) { return r->capacity; }")
    file.write("void take(sopi_ring *r, float *o, uint32_t n) { float *out[] = {o}; sopi_ring_read(r, out, 1, n, 0); }")
    file.write("void put(sopi_ring *r, const float *i, uint32_t n) { sopi_ring_write(r, &i, 1, n); }")
include = os.path.dirname(sopilib.__file__) + "/native"
subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-I", include, "host.c", "-o", "./host.so"], check=True)
host = ctypes.CDLL(os.path.abspath("host.so"))
pointer = ctypes.pythonapi.PyCapsule_GetPointer
pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]

def of(capsule):
    return ctypes.c_void_p(pointer(capsule, b"sopilib.ring.1"))

def at(sound):
    return sound.ctypes.data_as(ctypes.c_void_p)

def begin():
    p = performer()
    say(p, f"load {path}", "seed 3", "generate", t=0)
    return p

(path,) = small(FOLDER, 1)
p, q = begin(), begin()
n = 2 * host.capacity(of(p.ring)) + 777
taken, given = np.zeros((1, n), np.float32), np.ones(4 * host.capacity(of(p.input)), np.float32)
host.take(of(p.ring), at(taken), n)
assert np.array_equal(taken, q.read(n)), "the same sound as in small blocks"
host.put(of(p.input), at(given), len(given))
assert rms(p.read(9600)) > 1e-3
""",
        tmp_path,
    )


# ---------------------------------------------------------------- in the background


def test_what_is_stored_while_snapshots_are_saved_does_not_lose_the_file(tmp_path: Path) -> None:
    """In the old version the slots changed under the writer: it died, and there was neither a file nor an error."""
    runs(
        """
import glob
(path,) = small(FOLDER, 1)
p = performer(freewheel=False, folder=FOLDER)
say(p, f"load {path}", "generate")
paced(p, lambda: lines(p, "loaded"))
say(p, "snapshot store 1", "snapshot save slots") # it waits until the slot is filled, which takes 20 ms of sound
for slot in range(2, 12):
    time.sleep(0.02)
    say(p, f"snapshot store {slot}")
paced(p, lambda: "save" in lines(p, "snapshot") or lines(p, "error"), 10)
assert not lines(p, "error") and glob.glob(f"{FOLDER}/slots*"), p.told
""",
        tmp_path,
    )


def test_sixty_loads_at_once_do_not_pile_up(tmp_path: Path) -> None:
    """In the old version each had a thread, and all of them read their files at once: 1.25 GB."""
    runs(
        """
paths = small(FOLDER, 1, 2)
gate, count, inside, most = threading.Event(), threading.Lock(), [0], [0]
load = sopilib.checkpoint.load

def slow(*a, **k):
    with count:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
    gate.wait(30)
    try: return load(*a, **k)
    finally:
        with count: inside[0] -= 1

sopilib.checkpoint.load = slow
p = performer(freewheel=False)
before = threading.active_count()
for k in range(60): say(p, f"load {paths[k % 2]}")
threads = threading.active_count() - before
gate.set()
paced(p, lambda: "model2" in lines(p, "loaded"))
assert threads <= 2 and most[0] <= 2, (threads, most)
""",
        tmp_path,
    )


@pytest.mark.parametrize(
    "raises",
    ["raise SystemExit('enough')", "raise asyncio.CancelledError", "sys.stderr = Gone(); raise ValueError('once')"],
    ids=["exit", "cancelled", "no console"],
)
def test_a_status_callback_that_fails_once_is_called_again(tmp_path: Path, raises: str) -> None:
    """In the old version the thread that tells ended, and nothing that happened was told any more."""
    runs(
        f"""
import asyncio, io

class Gone(io.StringIO):
    def write(self, text): raise BrokenPipeError("the console is gone")

failed, after = [], []

def status(kind, *values):
    if failed: after.append(kind)
    elif threading.current_thread() is not threading.main_thread():
        failed.append(kind)
        {raises}

(path,) = small(FOLDER, 1)
p = performer(freewheel=False)
p.watch(status)
paced(p, lambda: failed)
say(p, f"load {{path}}", "generate", "report 50")
paced(p, lambda: after.count("level") > 1)
sys.stderr = sys.__stderr__
""",
        tmp_path,
    )

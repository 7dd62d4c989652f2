"""Ring mode: audio and messages of an object that never make Pd's thread wait for Python."""

from pathlib import Path

import pytest
from pyext_host import Patch, Pd, read_wav, starting


def ramp(path: Path) -> list[int]:
    return [round(frame[0] * 65536) for frame in read_wav(path)]


def is_ramp(samples: list[int]) -> bool:
    return all((b - a) % 65536 == 1 for a, b in zip(samples, samples[1:], strict=False))


def player(patch: Patch, arguments: str = "1") -> int:
    box = patch.obj(f"pyext~ 1 2 0 1 ringed player {arguments}")
    patch.inlet(box, 1, "in")
    patch.inlet(box, 0, "control")
    patch.prints(box, 1, "out")
    return box


def test_audio_is_the_rings_sample_for_sample(pd: Pd, tmp_path: Path) -> None:
    patch = Patch()
    patch.record(player(patch), 1, tmp_path / "out.wav", 200)
    pd.run(patch, ms=220)
    samples = ramp(tmp_path / "out.wav")
    assert len(samples) > 9000 and samples[0] < 128
    assert is_ramp(samples)


def test_a_rebuild_of_the_dsp_graph_changes_no_sample(pd: Pd, tmp_path: Path) -> None:
    patch = Patch()
    patch.record(player(patch), 1, tmp_path / "out.wav", 200)
    patch.obj("pyext~ 1 1 1 1 objects witness")
    patch.subpatch("inside")
    for i in range(5):
        patch.send(20 + 30 * i, "pd-inside obj 10 10 osc~ 440")
        patch.send(30 + 30 * i, "pd-inside clear")
    lines = pd.run(patch, ms=220)
    assert len(starting(lines, "dsp is built")) > 5
    samples = ramp(tmp_path / "out.wav")
    assert len(samples) > 9000
    assert is_ramp(samples)


def test_messages_carry_their_exact_host_frame_off_pds_thread(pd: Pd) -> None:
    patch = Patch()
    player(patch)
    patch.send(10.5, "in hello 1")
    patch.send(50.125, "in 5")
    patch.send(60, "to-player 7 8")
    lines = pd.run(patch)
    assert starting(lines, "message", "bound") == [
        "message 504 hello 1 elsewhere",
        "message 2406 5 elsewhere",
        "bound 2880 7 8",
    ]
    assert starting(lines, "out:") == ["out: list hello 1", "out: 5"]


def test_with_dsp_off_the_frame_is_that_of_the_next_block(pd: Pd) -> None:
    patch = Patch()
    player(patch)
    patch.send(10.5, "in a")
    patch.send(20, "pd dsp 1")
    patch.send(40, "pd dsp 0")
    patch.send(47.3, "in b")
    patch.send(50, "in host")
    lines = pd.run(patch, dsp=False)
    assert starting(lines, "message")[0].split()[:2] == ["message", "0"]
    frame = int(starting(lines, "message")[1].split()[1])
    assert frame % 64 == 0 and 900 < frame < 1000
    assert starting(lines, "host") == ["host 0 64 48000.0"]


def test_ticks_come_at_their_logical_time(pd: Pd) -> None:
    patch = Patch()
    box = player(patch, "1 100")
    trigger, timer = patch.obj("t b"), patch.obj("timer")
    patch.connect(box, 2, trigger, 0)
    patch.connect(trigger, 0, timer, 1)
    patch.connect(patch.start, 0, timer, 0)
    patch.prints(timer, 0, "tick")
    lines = pd.run(patch, ms=50)
    times = [float(line.split()[1]) for line in starting(lines, "tick:")]
    expected = [i * 100 / 48 for i in range(len(times))]
    assert len(times) >= 22
    assert all(abs(t - e) < 1e-3 for t, e in zip(times[1:], expected[1:], strict=True))


def test_in_freewheel_a_message_is_handled_before_the_next(pd: Pd) -> None:
    patch = Patch()
    player(patch)
    order = patch.msg("sleep 50")
    after = patch.msg("after")
    patch.connect(order, 0, patch.obj("s in"), 0)
    patch.connect(after, 0, patch.obj("print pd"), 0)
    delay, both = patch.obj("del 10"), patch.obj("t b b")
    patch.connect(patch.start, 0, delay, 0)
    patch.connect(delay, 0, both, 0)
    patch.connect(both, 1, order, 0)
    patch.connect(both, 0, after, 0)
    lines = pd.run(patch)
    assert starting(lines, "slept", "pd:") == ["slept 50", "pd: after"]


def test_in_freewheel_answers_that_come_back_do_not_block(pd: Pd) -> None:
    patch = Patch()
    box = player(patch)
    route = patch.obj("route 1 2 3")
    patch.connect(box, 1, route, 0)
    for i in range(2):
        again = patch.msg(f"reply {i + 2}")
        patch.connect(route, i, again, 0)
        patch.connect(again, 0, box, 1)
    patch.send(10, "in reply 1")
    lines = pd.run(patch)
    assert starting(lines, "reply", "out") == ["reply 1", "out: 1", "reply 2", "out: 2", "reply 3", "out: 3"]


def test_rings_can_be_changed_from_any_thread_and_are_freed(pd: Pd) -> None:
    patch = Patch()
    player(patch)
    patch.send(10, "in later")
    patch.send(300, "in destroyed")
    lines = pd.run(patch, ms=400, batch=False)
    assert starting(lines, "destroyed") == ["destroyed 1"]


def test_a_wrong_capsule_is_refused_in_one_line(pd: Pd) -> None:
    patch = Patch()
    player(patch)
    patch.send(10, "in wrong")
    refused = starting(pd.run(patch), "refused")
    assert len(refused) == 1 and "sopilib.ring.1" in refused[0]


def test_a_buffer_can_be_used_from_the_worker(pd: Pd) -> None:
    patch = Patch()
    player(patch)
    patch.obj("array define tune 10")
    patch.send(10, "in array tune")
    assert starting(pd.run(patch), "array") == ["array 10 [0.0, 0.0, 0.0]", "array 20 [0.0, 5.0, 6.0]"]


def test_deleting_the_object_runs_del_on_the_worker(pd: Pd) -> None:
    patch = Patch()
    patch.subpatch("inside", "pyext~ 1 2 0 1 ringed player 1")
    patch.send(20, "pd-inside clear")
    assert starting(pd.run(patch, ms=300, batch=False), "deleted") == ["deleted elsewhere"]


def test_reload_makes_new_rings(pd: Pd) -> None:
    patch = Patch()
    player(patch)
    patch.send(20, "control reload 1 0")
    patch.send(40, "in host")
    patch.send(50, "in destroyed")
    lines = pd.run(patch)
    assert starting(lines, "deleted", "host") == ["deleted pd", "host 1 64 48000.0"]


def test_signal_inlets_go_to_the_input_ring(pd: Pd, tmp_path: Path) -> None:
    patch = Patch()
    box = patch.obj("pyext~ 1 1 2 2 ringed listener")
    for i, value in enumerate((0.25, 0.5)):
        patch.connect(patch.obj(f"sig~ {value}"), 0, box, i)
    patch.inlet(box, 2, "in")
    patch.record(box, 2, tmp_path / "out.wav", 50)
    patch.send(20, "in heard 640 2")
    lines = pd.run(patch)
    assert starting(lines, "heard") == ["heard [[0.25, 0.25], [0.5, 0.5]]"]
    frames = read_wav(tmp_path / "out.wav", 2)
    assert is_ramp([round(a * 65536) for a, _ in frames]) and is_ramp([round(b * 65536) for _, b in frames])


@pytest.mark.alone
def test_audio_goes_on_while_python_is_busy_or_stuck(pd: Pd, tmp_path: Path) -> None:
    """In real time, beside a thread of Python code and calls that keep the GIL for 200 ms."""
    patch = Patch()
    patch.record(player(patch, "0 0 960"), 1, tmp_path / "out.wav", 1500)
    keeper = patch.obj("pyext 1 1 busy keeper 0.2")
    patch.inlet(keeper, 1, "keeper")
    patch.send(100, "keeper start")
    for ms in (300, 600, 900):
        patch.send(ms, "in hello")
    lines = pd.run(patch, ms=1700, batch=False)
    samples = ramp(tmp_path / "out.wav")
    assert len(samples) > 60000
    assert is_ramp(samples)
    assert len(starting(lines, "message")) == 3

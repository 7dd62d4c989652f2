"""What may go wrong in a stream: it is told, the sound goes on or comes back, and the process lives."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from stream_player import ENGINE, MODEL, Playing, PySource, Sine, engine, render, start

from sopilib import Config, Engine, Model
from sopilib.engine import Engine as AnyEngine
from sopilib.native._native import Guard, Snapshot

HERE = Path(__file__).resolve().parent
QUIET = Engine(
    Model.random(Config(frame_sizes=[4, 16], dim=32, mlp_dim=32, sample_rate=16000), seed=1), precision="int8"
)


class Silent(Sine):
    """An engine that is caught in silence."""

    def generate(self, n, temperature, **sampling):
        self.at += n
        return self.model.encode(np.zeros((1, n), np.float32))


def told(playing, kind):
    return [value for _, what, value in playing.stream.events() if what == kind]


def in_a_process(code):
    """Runs code, in which what tests use is imported; its exit status is 0 and it says nothing on stderr."""
    head = f"import sys, threading, time\nsys.path.insert(0, {str(HERE)!r})\n"
    head += "from stream_player import *\nfrom test_stream_faults import *\n"
    done = subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(code)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---------------------------------------------------------------- exceptions in the producer


def stuck():
    """A model at so low a temperature, of so few likely codes, that it repeats itself."""
    fresh = QUIET.clone()
    fresh.reset(0)
    return fresh


@pytest.mark.parametrize("later", range(16, 480, 48))
def test_guard_off_right_after_a_trap_is_noticed_leaves_the_sound_on(later):
    out = in_a_process(f"""
    with Playing(rate=16000) as playing:
        out = playing.render(16000, [
            *start(stuck().source), (0, "top-k", 1), (0, "guard", Guard(2, 16000, 1)),
        ])
        for _ in range(400):
            playing.render(160)
            traps = told(playing, "trap")
            if traps: break
        assert traps
        playing.render({later})
        playing.stream.post("guard", playing.stream.now - 320)
        playing.render(16000)
        assert told(playing, "error") == []
    print("alive")
    """)
    assert out == "alive\n"


def test_guard_off_while_a_voice_goes_back_to_where_it_was_well_leaves_the_sound_on():
    """Until it is caught the guard has found it well, so it really goes back."""
    out = in_a_process("""
    import is_caught
    well = Engine(is_caught.model(), precision="int8")
    rate, end = 16000, 6 * 16000

    def play(guard, off=None):
        # -> the sound of six seconds, and the host frames at which a trap was noticed
        source = well.clone()
        source.reset(is_caught.SEED)
        with Playing(rate=rate) as playing:
            commands = [*start(source.source), (0, "guard", guard), (24000, "temperature", 0.5)]
            if off is not None: commands += [(off, "guard", None), (off, "temperature", 1.0)]
            sound = playing.render(end, commands)[0]
            events = playing.stream.events()
            assert not [e for e in events if e[1] in ("error", "refused")], events
            return sound, [at for at, kind, value in events if kind == "trap"]

    caught, (trap, *_) = play(Guard(0, rate, 1))
    free, (again, *_) = play(Guard(2, rate, 1))
    assert again == trap and trap > 3 * rate
    assert np.array_equal(free[:trap], caught[:trap])
    assert np.abs(free[trap : trap + 8000] - caught[trap : trap + 8000]).max() > 0.01, "it went back"
    for later in range(-32, 240, 32):
        off = trap + later - 320 # a message takes 20 ms
        sound, _ = play(Guard(2, rate, 1), off)
        assert np.array_equal(sound[: trap + min(later, 0)], free[: trap + min(later, 0)])
        assert np.abs(sound[-rate:]).max() > 0.01, later
    print("alive")
    """)
    assert out == "alive\n"


def test_a_model_that_cannot_listen_is_told_and_the_old_sound_goes_on():
    class Deaf(Sine):
        def prime(self, codes):
            raise RuntimeError("deaf")

    with Playing(rate=16000) as playing:
        playing.render(1600, start(PySource(Sine())))
        edges = np.linspace(-1, 1, 4095, dtype=np.float32)
        playing.stream.post("listen", playing.stream.now, playing.stream.listener(PySource(Deaf()), edges), index=3)
        for _ in range(100):
            playing.stream.read(64, np.ones((1, 64), np.float32))
        assert told(playing, "refused") == ["RuntimeError: deaf"]
        assert np.abs(playing.render(1600)).max() > 0.4


def test_a_snapshot_that_does_not_fit_or_is_not_taken_is_refused_and_the_sound_goes_on():
    other = Engine(
        Model.random(Config(frame_sizes=[2, 8], dim=16, mlp_dim=16, sample_rate=16000), seed=4), precision="int8"
    )
    for do in ("morph", "recall"):
        with Playing(rate=16000) as playing:
            misfit, empty = Snapshot(), Snapshot()
            playing.render(3200, [*start(other.source), (800, "store", misfit)])
            assert misfit.filled
            playing.render(3200, [(playing.stream.now, "swap", engine().source)])
            as_it_was = playing.stream.now
            for snapshot in (misfit, empty):
                playing.stream.post(do, playing.stream.now, snapshot)
                sound = playing.render(3200)
                assert np.abs(sound[:, -1600:]).max() > 0
            refused = told(playing, "refused")
            assert ["another model" in refused[0], "not taken yet" in refused[1]] == [True, True]
            assert as_it_was > 0


def test_what_a_backend_cannot_do_is_refused_and_the_sound_goes_on():
    torch = AnyEngine(MODEL, backend="torch")
    torch.reset(0)
    with Playing(rate=16000) as playing:
        playing.render(1600, start(PySource(torch)))
        now = playing.stream.now
        playing.stream.post("seed", now, 3, voice=0)
        playing.stream.post("guard", now, Guard(2, 16000, 1))
        playing.stream.post("kick", now, 0.5)
        playing.stream.post("store", now, Snapshot())
        out = playing.render(3200)
        assert len(told(playing, "refused")) == 4
        assert np.abs(out[:, 1600:]).max() > 0


# ---------------------------------------------------------------- state that goes with another


def test_a_fade_out_across_an_underrun_ends_and_start_and_stop_are_heard_again():
    with Playing(rate=16000, freewheel=False) as playing:
        playing.render(1600, [*start(PySource(Sine())), (0, "fade", 200)], speed=1)
        playing.stream.post("play", playing.stream.now, False)
        playing.render(1600, speed=1)
        for _ in range(100):  # at once: the host is far ahead of the producer
            playing.stream.read(64)
        time.sleep(0.1)
        playing.render(16000, speed=1)
        assert not playing.stream.stats()["generating"]
        playing.stream.post("fade", playing.stream.now, 5)
        playing.stream.post("play", playing.stream.now, True)
        assert np.abs(playing.render(9600, speed=1)).max() > 0.4
        playing.stream.post("play", playing.stream.now, False)
        playing.render(9600, speed=1)
        assert np.abs(playing.render(1600, speed=1)).max() == 0


def test_a_ramp_takes_its_time_when_the_host_changes_its_rate():
    def level_at(seconds, change):
        with Playing(rate=16000) as playing:
            playing.render(1600, start(PySource(Sine())))
            playing.stream.post("gain", playing.stream.now, 0.0, 1000)
            playing.render(1600)
            if change:
                playing.stream.host(32000, 64)
            rate = 32000 if change else 16000
            out = playing.render(round((seconds - 0.1) * rate))
            return np.abs(out[:, -rate // 20 :]).max()

    assert level_at(0.6, True) == pytest.approx(level_at(0.6, False), abs=0.05)


# ---------------------------------------------------------------- no split of the work decides anything


def test_where_a_blended_out_model_goes_on_does_not_depend_on_when_the_producer_ran():
    def take(block):
        with Playing(rate=16000, block=block, latency=0.02) as playing:
            second = ENGINE.clone()
            second.reset(9)
            return playing.render(
                24000,
                [
                    *start(engine().source),
                    (0, "second", second.source),
                    (2000, "blend", 1.0, 100),
                    (9000, "blend", 0.2, 50),
                    (15003, "blend", 0.0, 33),
                    (20000, "blend", 0.5, 10),
                ],
            )[0]

    expected = take(64)
    for block in (1, 7, 16, 250, 1000):
        assert np.array_equal(expected, take(block)), block


def test_when_the_guard_acts_does_not_depend_on_when_the_producer_ran():
    def take(block):
        commands = [*start(stuck().source), (0, "top-k", 1), (0, "guard", Guard(2, 16000, 1))]
        return render(90000, commands, rate=16000, block=block)

    expected = take(64)
    for block in (7, 250, 1000):
        assert np.array_equal(expected, take(block)), block


def test_a_new_latency_is_that_of_the_signal_inlet_from_the_message_s_own_time_on():
    chance = np.random.default_rng(0)
    signal = chance.uniform(0.1, 2, (2, 24000)).astype(np.float32)

    def take(block):
        with Playing(rate=16000, block=block) as playing:
            for name, t, value in (("swap", 0, playing.stream.player(engine().source)), ("play", 0, True)):
                playing.stream.post(name, t, value)
            out, posted = [], False
            for at in range(0, 24000, block):
                if at >= 8000 and not posted:
                    playing.stream.post("latency", 8000, 60)
                    posted = True
                out.append(playing.stream.read(block, np.ascontiguousarray(signal[:, at : at + block])))
            return np.concatenate(out, 1)[0]

    expected = take(8)
    for block in (16, 40, 80):
        assert np.array_equal(expected, take(block)), block


# ---------------------------------------------------------------- events


def test_what_must_be_told_finds_room_however_often_the_sound_was_late():
    class Failing(Sine):
        def generate(self, n, temperature, **sampling):
            if self.at > 16000:
                raise RuntimeError("out of tune")
            return super().generate(n, temperature, **sampling)

    with Playing(rate=16000) as playing:
        playing.render(8000, start(PySource(Failing())))
        for t in range(3000):
            playing.stream.post("gain", t, 1.0)
        playing.render(16000)
        assert playing.stream.stats()["late"] == 3000
        assert told(playing, "error") == ["RuntimeError: out of tune"]


def test_events_that_found_no_room_are_counted():
    with Playing(rate=16000) as playing:
        playing.render(1600, start(PySource(Sine())))
        for _ in range(1000):
            playing.stream.post("kick", playing.stream.now, 0.5)
        playing.render(1600)
        events = playing.stream.events()
        assert sum(kind == "refused" for _, kind, _ in events) + events[-1][2] == 1000
        assert events[-1][1] == "lost"


# ---------------------------------------------------------------- ends


def test_two_threads_may_close_a_stream_at_once():
    in_a_process("""
    import faulthandler
    faulthandler.dump_traceback_later(20, exit=True)
    for _ in range(200):
        stream = Stream(freewheel=True)
        stream.start()
        ends = []
        threads = [threading.Thread(target=lambda: ends.append(stream.close(2.0))) for _ in range(4)]
        for t in threads: t.start()
        for t in threads: t.join()
        assert ends == [True] * 4
    """)


def test_a_child_made_by_fork_ends_at_once_and_the_parent_plays_on():
    in_a_process("""
    import os, signal
    with Playing(rate=16000) as playing:
        playing.render(1600, start(PySource(Sine())))
        for _ in range(20):
            child = os.fork()
            if child == 0:
                signal.alarm(5)
                playing.stream.close(5.0)
                sys.exit(0)
            _, status = os.waitpid(child, 0)
            assert status == 0, status
            assert np.abs(playing.render(1600)).max() > 0.4
    """)


@pytest.mark.parametrize("freewheel", [True, False])
def test_blocks_larger_than_the_ring_are_defined(freewheel):
    in_a_process(f"""
    import ctypes, signal
    from stream_host import NativeHost
    signal.alarm(30)
    stream = Stream(1, 0.02, {freewheel}, 0.1)
    stream.start()
    stream.host(16000, 64)
    post(stream, "swap", 0, PySource(Sine()))
    stream.post("play", 0, True)
    host = NativeHost(stream.ring, 3 * 65536, 16000, 65536)
    host.start()
    host.join()
    assert np.abs(host.out).max() <= 0.51
    if {freewheel}: assert np.abs(host.out[-1000:]).max() > 0.4
    assert stream.close()
    """)


# ---------------------------------------------------------------- recordings


def test_a_recording_is_ended_without_holding_up_python(tmp_path):
    """A thread that waits for its turn gets it only if the one that ends the recording lets go of Python meanwhile:
    nobody is interrupted here within a minute."""
    in_a_process(f"""
    turns = 0
    def take_turns():
        global turns
        while True:
            turns += 1
            time.sleep(0)

    with Playing(rate=16000, freewheel=False) as playing:
        playing.render(1600, start(PySource(Sine())))
        playing.stream.post("swap", playing.stream.now) # no music in Python: it would want its turn too
        playing.render(1600, speed=1)
        sys.setswitchinterval(60)
        threading.Thread(target=take_turns, daemon=True).start()
        given = []
        for take in range(20):
            recorder = playing.stream.record({str(tmp_path)!r} + f"/take{{take}}.wav", 0)
            recorder.end(playing.stream.now)
            before = turns
            del recorder # waits for its thread, which looks every 20 ms
            given.append(turns - before)
        assert max(given) > 0, given
    """)
    takes = sorted(tmp_path.iterdir())
    assert len(takes) == 20
    assert all(take.stat().st_size > 4 * 1600 for take in takes)


def test_a_recording_never_takes_the_place_of_a_file(tmp_path):
    (tmp_path / "take.wav").write_text("mine")
    with Playing(rate=16000) as playing:
        playing.render(1600)
        with pytest.raises(RuntimeError, match="exists"):
            playing.stream.record(str(tmp_path / "take.wav"), 0)
    assert (tmp_path / "take.wav").read_text() == "mine"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_is_told():
    # the file must be a new one, so a full disk is played by a limit on its size
    in_a_process("""
    import resource, signal, tempfile
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
    with Playing(rate=16000) as playing:
        playing.render(1600, start(PySource(Sine())))
        recorder = playing.stream.record(tempfile.mkdtemp() + "/take.wav", 0)
        playing.render(32000)
        for _ in range(400):
            if recorder.ended: break
            time.sleep(0.01)
        assert recorder.ended and "large" in recorder.failure, recorder.failure
    """)

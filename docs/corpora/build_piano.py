"""Nine public-domain piano pieces, played by an algorithm from the scores in music21 with an MIT-licensed soundfont.

usage: build_piano.py SOUNDFONT OUT_DIR      needs: music21 mido numpy scipy soundfile; fluidsynth and sox on PATH

Seeded: with music21 10, fluidsynth 2.3 and sox 14.4 the files are byte-identical from run to run.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import mido
import numpy as np
import soundfile
from music21 import corpus
from scipy.signal import butter, fftconvolve, sosfiltfilt

RATE = 16000
PIECES = [  # in music21's corpus, quarter notes a minute
    ("schumann_clara/polonaise_op1n1", 100),
    ("schumann_clara/polonaise_op1n2", 96),
    ("schumann_clara/polonaise_op1n3", 96),
    ("schumann_clara/polonaise_op1n4", 100),
    ("joplin/maple_leaf_rag", 84),
    ("cpebach/h186", 92),
    ("mozart/k545/movement1_exposition", 126),
    ("schoenberg/opus19/movement2", 60),
    ("schoenberg/opus19/movement6", 50),
]
HIGH_PASS = butter(2, 28, "high", fs=RATE, output="sos")


def notes(score):
    """Sorted (onset, duration, pitch, velocity): quarter notes, MIDI number, 0 to 1. Repeats expanded, ties merged."""
    found = []
    for part in score.expandRepeats().parts:
        for e in part.stripTies().flatten().notes:
            if not e.duration.isGrace:
                velocity = e.volume.getRealized()
                found += [(float(e.offset), float(e.quarterLength), p.midi, velocity) for p in e.pitches]
    return sorted(found)


def smooth_walk(rng, n):
    """float [n]: noise smoothed over eight quarter notes."""
    window = np.hanning(17) / np.hanning(17).sum()
    return np.convolve(rng.normal(0, 1, n + 16), window, "valid")[:n]


def perform(played, bpm, rng):
    """Rubato, phrase dynamics, jitter, the top voice a little early and loud, pedal each half bar -> MidiFile."""
    end = max(onset + duration for onset, duration, _, _ in played)
    grid = np.arange(0, end + 2, 0.5)
    rubato = smooth_walk(rng, len(grid))
    seconds = np.concatenate([[0], np.cumsum(0.5 * 60 / bpm * np.exp(0.22 * rubato))[:-1]])
    dynamics = smooth_walk(rng, len(grid))

    def at(onset):
        return np.interp(onset, grid, seconds)

    top = {}
    for onset, _, pitch, _ in played:
        top[onset] = max(top.get(onset, 0), pitch)
    events = []  # (seconds, order, message, its numbers)
    for onset, duration, pitch, velocity in played:
        start = at(onset) + rng.normal(0, 0.006) + (0.004 if pitch < top[onset] else 0)
        stop = at(onset + duration * 0.96)
        loud = 58 + 34 * (velocity - 0.6) + 28 * np.interp(onset, grid, dynamics)
        loud += (9 if pitch == top[onset] else 0) + (4 if onset == int(onset) else 0) + rng.normal(0, 3)
        key = {"note": pitch, "velocity": int(np.clip(loud, 28, 112))}
        events.append((max(0, start), 1, "note_on", key))
        events.append((max(start + 0.06, stop), 0, "note_off", {**key, "velocity": 0}))
    pedal = 2 if bpm > 70 else 1
    for onset in np.arange(0, end, pedal):
        events.append((at(onset) + 0.05, 2, "control_change", {"control": 64, "value": 127}))
        events.append((at(onset + pedal) - 0.005, 0, "control_change", {"control": 64, "value": 0}))
    events.sort(key=lambda e: e[:2])

    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=500000), mido.Message("program_change", program=0)])
    now = 0
    for time, _, kind, numbers in events:
        tick = round(time * 960)
        track.append(mido.Message(kind, time=max(0, tick - now), **numbers))
        now = max(now, tick)
    midi = mido.MidiFile(ticks_per_beat=480)
    midi.tracks.append(track)
    return midi


def render(midi, soundfont, path):
    """Through fluidsynth, without reverb, levelled over 3 s, peak at -1 dB."""
    with tempfile.TemporaryDirectory() as d:
        midi.save(f"{d}/a.mid")
        synth = ["fluidsynth", "-ni", "-q", "-r", "48000", "-g", "0.6", "-o", "synth.reverb.active=0"]
        synth += ["-o", "synth.chorus.active=0", "-F", f"{d}/a.wav", soundfont, f"{d}/a.mid"]
        subprocess.run(synth, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        mono = ["sox", "-D", f"{d}/a.wav", "-b", "24", f"{d}/b.wav", "remix", "1,2", "rate", "-v", str(RATE)]
        subprocess.run(mono, check=True)
        x, _ = soundfile.read(f"{d}/b.wav")
    x = sosfiltfilt(HIGH_PASS, x)
    heard = np.flatnonzero(np.abs(x) > 10 ** (-46 / 20) * np.abs(x).max())
    x = x[heard[0] : heard[-1] + 1]
    window = np.hanning(3 * RATE + 1)
    level = np.sqrt(np.maximum(fftconvolve(x**2, window / window.sum(), "same"), 0) + 1e-7)
    x = x / (level**0.6)
    x = sosfiltfilt(HIGH_PASS, np.tanh(x / np.abs(x).max() * 1.6))
    x = 0.89 * x / np.abs(x).max()
    x[:80] *= np.linspace(0, 1, 80)
    x[-800:] *= np.linspace(1, 0, 800)
    soundfile.write(path, x, RATE, subtype="PCM_16")


def main():
    soundfont, out = sys.argv[1], Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    for seed, (name, bpm) in enumerate(PIECES):
        midi = perform(notes(corpus.parse(name)), bpm, np.random.default_rng(seed))
        render(midi, soundfont, out / f"{name.replace('/', '_')}_take1.flac")
        print(name)


if __name__ == "__main__":
    main()

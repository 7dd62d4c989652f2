"""Training: truncated back-propagation over long excerpts, one file to read in one sitting.

    python -m sopilib.train AUDIO... -o RUN [--steps N] [--dim D] ...

RUN/state.pt holds everything (weights, optimiser, random states, where every lane is and what its RNN remembers),
replaced atomically: the same command again goes on where it stopped. RUN/log.csv has the curves, RUN/<name>.safetensors
the model with the lowest held-out bits per sample so far.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sopilib import checkpoint
from sopilib.errors import SopiError
from sopilib.model import Config
from sopilib.model.network import SampleRNN, State
from sopilib.score import bits_per_sample
from sopilib.train.data import Corpus, Lanes, find_audio


@dataclass
class Settings:
    """How to train; `Config` says what."""

    steps: int = 6000
    batch: int = 32
    lr: float = 2e-3
    warm_up: int = 100
    clip: float = 1.0
    """Largest global norm of the gradient."""
    excerpt: float = 8.0
    """Seconds that a lane plays before it jumps."""
    held_out: float = 60.0
    """Seconds at the end of the last file that are never trained on."""
    every: int = 250
    """Steps between validations and checkpoints."""
    bf16: bool = False
    """Matrix products in bfloat16 (weights stay float32)."""
    seed: int = 0
    device: str = "cpu"

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then a cosine to zero at the last step."""
        if step < self.warm_up:
            return self.lr * (step + 1) / self.warm_up
        done = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


class TeacherForced:
    """The network as a `Predictor`, in float32."""

    def __init__(self, network: SampleRNN) -> None:
        self.network, self.config = network, network.config
        self.device = next(network.parameters()).device
        self.state: State | None = None

    def reset(self) -> None:
        self.state = None

    @torch.no_grad()
    def teacher_force(self, codes: np.ndarray, features: np.ndarray | None = None) -> np.ndarray:
        """int [1, lookback + n] -> float32 logits [1, n, q]. The state carries on."""
        precision, self.network.precision = self.network.precision, torch.float32
        try:
            given = None if features is None else torch.as_tensor(features, dtype=torch.float32, device=self.device)
            logits, self.state = self.network(
                torch.as_tensor(codes.astype(np.int64)).to(self.device), self.state, given
            )
            return logits.cpu().numpy()
        finally:
            self.network.precision = precision


class Run:
    """One training run in its folder."""

    def __init__(self, folder: Path, files: list[Path], config: Config, settings: Settings) -> None:
        self.folder, self.config, self.settings = folder, config, settings
        if config.seq_len % config.lookback:
            raise SopiError(f"seq_len is {config.seq_len}, expected a multiple of the largest frame, {config.lookback}")
        self.corpus = Corpus(files, config, settings.held_out)
        torch.manual_seed(settings.seed)
        self.network = SampleRNN(
            config, settings.seed, precision=torch.bfloat16 if settings.bf16 else torch.float32
        ).to(settings.device)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=settings.lr, betas=(0.9, 0.99))
        self.lanes = Lanes(
            self.corpus, config, settings.batch, round(settings.excerpt * config.sample_rate), settings.seed
        )
        self.state: State | None = None
        self.step, self.seconds, self.best = 0, 0.0, math.inf
        self.files = [{"file": f.name, "sha256": hashlib.sha256(f.read_bytes()).hexdigest()} for f in files]
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "state.pt").exists():
            self._resume()

    def train_step(self) -> float:
        """One update; returns its loss in bits per sample."""
        s, c = self.settings, self.config
        codes_np, jumped = self.lanes.next()
        codes = torch.from_numpy(codes_np).to(s.device)
        state = self.network.initial_state(s.batch)
        if self.state is not None:
            fresh = torch.from_numpy(jumped).to(s.device)[:, None]
            state = [[torch.where(fresh, new, old) for new, old in zip(*tier)] for tier in zip(state, self.state)]
        for group in self.optimiser.param_groups:
            group["lr"] = s.learning_rate(self.step)
        total, _, after = self.network.loss(codes, state)
        loss = total / (s.batch * c.seq_len)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), s.clip)
        if math.isfinite(value := loss.item()):
            self.optimiser.step()
        else:
            raise SopiError(f"step {self.step}: the loss is {value}; resume with a lower --lr than {s.lr:g}")
        self.state = [[t.detach() for t in tier] for tier in after]
        self.step += 1
        return value / math.log(2)

    def run(self) -> None:
        s = self.settings
        minutes = self.corpus.samples / self.config.sample_rate / 60
        print(
            f"{len(self.corpus.files)} files, {minutes:.1f} minutes to train on, "
            f"{len(self.corpus.held_out) / self.config.sample_rate:g} s held out, step {self.step} of {s.steps}",
            flush=True,
        )
        while self.step < s.steps:
            began = time.monotonic()
            losses: list[float] = []
            while self.step < s.steps and (not losses or self.step % s.every):
                losses.append(self.train_step())
            seconds = time.monotonic() - began
            self.seconds += seconds
            bits = bits_per_sample(TeacherForced(self.network), self.corpus.held_out)
            if bits < self.best:
                self.best = bits
                self._export(bits)
            self._save()
            self._log(float(np.mean(losses)), bits, len(losses) * s.batch * self.config.seq_len / seconds)

    def _export(self, bits: float) -> None:
        model = self.network.to_model(self.folder.name)
        model.about = {
            "training": {
                "steps": self.step,
                "batch": self.settings.batch,
                "samples_seen": self.step * self.settings.batch * self.config.seq_len,
                "seconds": round(self.seconds),
                "held_out_seconds": self.settings.held_out,
                "held_out_bits_per_sample": round(bits, 4),
                "files": self.files,
            }
        }
        checkpoint.save(model, self.folder / f"{self.folder.name}.safetensors")

    def _save(self) -> None:
        whole = {
            "weights": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "random": torch.get_rng_state(),
            "lanes": self.lanes.state_dict(),
            "rnn": self.state,
            "progress": (self.step, self.seconds, self.best),
            "config": self.config.to_dict(),
        }
        half = self.folder / "state.pt.part"
        torch.save(whole, half)
        with half.open("rb") as f:
            os.fsync(f.fileno())
        half.replace(self.folder / "state.pt")

    def _resume(self) -> None:
        whole = torch.load(self.folder / "state.pt", map_location=self.settings.device, weights_only=True)
        if whole["config"] != self.config.to_dict():
            raise SopiError(f"{self.folder} holds a run with another config: give the same options, or another folder")
        self.network.load_state_dict(whole["weights"])
        self.optimiser.load_state_dict(whole["optimiser"])
        torch.set_rng_state(whole["random"].cpu())
        self.lanes.load_state_dict(whole["lanes"])
        self.state = whole["rnn"]
        self.step, self.seconds, self.best = whole["progress"]

    def _log(self, train: float, held_out: float, rate: float) -> None:
        path = self.folder / "log.csv"
        # a killed run may have logged steps that its last checkpoint does not hold
        rows = list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []
        row = {
            "step": self.step,
            "seconds": f"{self.seconds:.0f}",
            "train_bits": f"{train:.4f}",
            "held_out_bits": f"{held_out:.4f}",
        }
        rows = [r for r in rows if int(r["step"]) < self.step] + [row]
        with path.open("w", newline="") as f:
            writer = csv.DictWriter(f, row)
            writer.writeheader()
            writer.writerows(rows)
        print(
            f"step {self.step}: train {train:.3f}, held out {held_out:.3f} bits a sample, {rate / 1000:.1f}k samples/s",
            flush=True,
        )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sopilib.train", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("audio", nargs="+", help="files or folders; the end of the last file is held out")
    parser.add_argument("-o", "--output", required=True, type=Path, help="folder of the run; its name is the model's")
    config, settings = Config(dim=448, mlp_dim=256, emb_size=64), Settings()
    for name in ("seq_len", "dim", "mlp_dim", "num_rnn_layers", "q_levels", "emb_size", "sample_rate"):
        parser.add_argument(
            "--" + name.replace("_", "-"), type=int, default=getattr(config, name), help="default %(default)s"
        )
    parser.add_argument("--frame-sizes", type=int, nargs="+", default=config.frame_sizes, help="default %(default)s")
    parser.add_argument("--rnn-type", default=config.rnn_type, choices=("gru", "lstm"))
    parser.add_argument("--q-type", default=config.q_type, choices=("mu-law", "linear"))
    parser.add_argument("--skip-conn", action="store_true", help="every RNN layer reaches the tier's output")
    for name in ("steps", "batch", "every", "seed", "warm_up"):
        parser.add_argument(
            "--" + name.replace("_", "-"), type=int, default=getattr(settings, name), help="default %(default)s"
        )
    for name in ("lr", "clip", "excerpt", "held_out"):
        parser.add_argument(
            "--" + name.replace("_", "-"), type=float, default=getattr(settings, name), help="default %(default)s"
        )
    parser.add_argument(
        "--bf16", action="store_true", help="matrix products in bfloat16: faster where the processor has it"
    )
    parser.add_argument("--device", default=settings.device)
    args = vars(parser.parse_args(argv))
    try:
        Run(
            args["output"],
            find_audio(args["audio"]),
            Config(**{k: v for k, v in args.items() if k in Config.__dataclass_fields__}),
            Settings(**{k: v for k, v in args.items() if k in Settings.__dataclass_fields__}),
        ).run()
    except SopiError as e:
        parser.exit(1, f"{e}\n")
    except KeyboardInterrupt:
        parser.exit(130, "stopped; the same command goes on from the last checkpoint\n")
    return 0

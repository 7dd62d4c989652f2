"""Search over the options of training (Optuna): many short runs, the worse ones given up early.

TUNE/study.db     what has been tried; the same search goes on with it
TUNE/trials/      a run each
TUNE/trials.csv   the table, best first
TUNE/best.json    the best values: sopi train SOUND -o RUN --config TUNE/best.json
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sopilib.errors import SopiError
from sopilib.train import machine
from sopilib.train.loop import Run
from sopilib.train.prepare import Dataset
from sopilib.train.report import write_whole
from sopilib.train.settings import from_values

SPACE: dict[str, Any] = {
    "lr": {"low": 5e-4, "high": 8e-3, "log": True},
    "batch": [8, 16, 32],
    "seq_len": [512, 1024, 2048],
    "rnn_type": ["gru", "lstm"],
    "num_rnn_layers": [1, 2],
    "dim": [256, 384, 512],
    "mlp_dim": [128, 256],
    "emb_size": [16, 64, 256],
    "rnn_dropout": {"low": 0.0, "high": 0.3},
}
"""Option -> its values to try, or the ends of a range."""


class Search:
    """samples: sounds of training that each trial hears; so batch and seq_len compare fairly."""

    def __init__(
        self,
        folder: Path,
        dataset: Dataset,
        base: Mapping[str, Any],
        space: Mapping[str, Any] | None = None,
        samples: int = 4_000_000,
        sampler: str = "bayes",
        seed: int = 0,
    ) -> None:
        try:
            import optuna
        except ImportError:
            raise SopiError("tuning needs Optuna: pip install 'sopilib[tune]'") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.optuna = optuna
        self.folder, self.dataset, self.base, self.samples = folder, dataset, dict(base), samples
        self.space = dict(SPACE if space is None else space)
        for name, values in self.space.items():
            if not (isinstance(values, list) and values) and not (
                isinstance(values, dict) and {"low", "high"} <= set(values)
            ):
                raise SopiError(f'{name}: expected a list of values, or {{"low": ..., "high": ..., "log": true}}')
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise SopiError(f"{folder}: could not be made ({e.strerror})") from None
        samplers = {
            "bayes": optuna.samplers.TPESampler(seed=seed, n_startup_trials=8),
            "random": optuna.samplers.RandomSampler(seed=seed),
        }
        self.study = optuna.create_study(
            storage=f"sqlite:///{folder / 'study.db'}",
            study_name="tune",
            sampler=samplers[sampler],
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
            load_if_exists=True,
        )

    def run(self, trials: int, say: Callable[[str], None] = print) -> None:
        """Until `trials` have been tried in all. What was cut off is tried again, from its own last checkpoint."""
        states = self.optuna.trial.TrialState
        for cut_off in self.study.get_trials(states=[states.RUNNING]):
            self.study.tell(cut_off.number, state=states.FAIL)
            folder = cut_off.user_attrs.get("folder", f"{cut_off.number:04}")
            self.study.enqueue_trial(cut_off.params, user_attrs={"folder": folder})
        while len(self._finished()) < trials:
            trial = self.study.ask()
            value, state = self._try(trial)
            self.study.tell(trial, value, state)
            self._write()
            done = f"{value:.4f} bits" if state == states.COMPLETE else "given up early" if value else "impossible"
            say(f"trial {trial.number} ({len(self._finished())}/{trials}): {done}: {json.dumps(trial.params)}")
        say(self.table())

    def _try(self, trial: Any) -> tuple[float | None, Any]:
        states = self.optuna.trial.TrialState
        values = {**self.base, **{name: self._draw(trial, name, given) for name, given in self.space.items()}}
        try:
            config, settings = from_values(values)
            settings.steps = max(8, round(self.samples / (settings.batch * config.seq_len)))
            settings.every = max(1, settings.steps // 8)
            settings.preview_every, settings.keep = 0, 1
        except SopiError as e:
            trial.set_user_attr("why", str(e))
            return None, states.FAIL
        folder = trial.user_attrs.get("folder", f"{trial.number:04}")
        trial.set_user_attr("folder", folder)
        trial.set_user_attr("weights", machine.parameters(config))
        run = Run(self.folder / "trials" / folder, self.dataset, config, settings, loud=False)
        pruned = False

        def watch(step: int, row: Mapping[str, float]) -> bool:
            nonlocal pruned
            # in eighths of the whole, so that runs of different lengths compare
            trial.report(row.get("held_out_bits", row["train_bits"]), round(8 * step / settings.steps))
            pruned = trial.should_prune()
            return pruned

        if run.train(watch) == "stopped":
            raise KeyboardInterrupt
        trial.set_user_attr("seconds", round(run.seconds))
        return (None, states.PRUNED) if pruned else (run.best, states.COMPLETE)

    @staticmethod
    def _draw(trial: Any, name: str, given: Any) -> Any:
        if isinstance(given, list):
            return trial.suggest_categorical(name, given)
        whole = isinstance(given["low"], int) and isinstance(given["high"], int)
        draw = trial.suggest_int if whole else trial.suggest_float
        return draw(name, given["low"], given["high"], log=bool(given.get("log")))

    def _finished(self) -> list[Any]:
        states = self.optuna.trial.TrialState
        cut_off = [t for t in self.study.get_trials(states=[states.FAIL]) if "why" in t.user_attrs]
        return self.study.get_trials(states=[states.COMPLETE, states.PRUNED]) + cut_off

    def _write(self) -> None:
        names = list(self.space)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["trial", "state", "bits", "weights", "seconds", *names])
        for t in self._ranked():
            about = (t.user_attrs.get("weights", ""), t.user_attrs.get("seconds", ""))
            writer.writerow([t.number, t.state.name.lower(), t.value, *about, *(t.params.get(n) for n in names)])
        write_whole(self.folder / "trials.csv", text.getvalue().encode())
        complete = [t for t in self._ranked() if t.value is not None]
        if complete:
            best = {**self.base, **complete[0].params}
            write_whole(self.folder / "best.json", (json.dumps(best, indent=1) + "\n").encode())

    def _ranked(self) -> list[Any]:
        return sorted(self._finished(), key=lambda t: (t.value is None, t.value or 0.0, t.number))

    def table(self) -> str:
        """The ten best."""
        rows = [["trial", "bits", "weights", *self.space]]
        for t in [t for t in self._ranked() if t.value is not None][:10]:
            values = [f"{v:.4g}" if isinstance(v := t.params.get(n), float) else str(v) for n in self.space]
            rows.append([str(t.number), f"{t.value:.4f}", f"{t.user_attrs['weights'] / 1e6:.1f} M", *values])
        widths = [max(len(r[k]) for r in rows) for k in range(len(rows[0]))]
        lines = ["  ".join(cell.rjust(w) for cell, w in zip(row, widths)) for row in rows]
        return "\n".join([*lines, f"best: {self.folder / 'best.json'}"])

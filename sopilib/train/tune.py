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

from sopilib import needed
from sopilib.clusters import joined
from sopilib.errors import SopiError
from sopilib.files import holds_others, write_whole
from sopilib.model import Config
from sopilib.train import machine
from sopilib.train.coding import fitted
from sopilib.train.loop import Run
from sopilib.train.prepare import Dataset
from sopilib.train.settings import Settings, from_values

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
"""For each option its values to try, or the ends of a range."""


def refuse_others(folder: Path) -> None:
    """Raises SopiError if `folder` holds something that is no search, and so may be the user's."""
    if not (folder / "study.db").exists() and holds_others(folder, ("dataset",)):
        raise SopiError(f"{folder}: there are files in it, but no search, expected the name of a new folder")


class Search:
    """A search in its folder. It goes on with what the folder holds.

    dataset      what all trials train on
    base         values of `Config` and `Settings` that all trials share
    space        option -> a list of values to try, or {"low": ..., "high": ..., "log": true}; None: `SPACE`
    samples      how many samples each trial hears, whatever its batch and seq_len, so that these compare fairly
    sampler      "bayes" learns from the trials before; "random"
    seed         of the sampler
    objective    what counts: "held_out_bits", "train_bits", or an accuracy of either
    processors   how many CPU cores and GPUs of a Ray on this machine are for trials; None: all
    ray_address  of a Ray cluster ("auto", "ray://...", "local") that sees the folder and the data set: then it does a
                 trial for each of its GPUs, or else for each two cores, at a time; "": one at a time, here

    Raises SopiError without Optuna, for a space that is none, or if the folder is not a search's.
    """

    def __init__(
        self,
        folder: Path,
        dataset: Dataset,
        base: Mapping[str, Any],
        space: Mapping[str, Any] | None = None,
        samples: int = 4_000_000,
        sampler: str = "bayes",
        seed: int = 0,
        ray_address: str = "",
        objective: str = "held_out_bits",
        processors: tuple[int | None, int | None] = (None, None),
    ) -> None:
        try:
            import optuna
        except ImportError:
            raise SopiError(f"tuning needs Optuna: {needed.pip('sopilib[tune]')}") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.optuna = optuna
        self.folder, self.dataset, self.base, self.samples = folder, dataset, dict(base), samples
        self.ray_address, self.objective = ray_address, objective
        self.processors: dict[str, Any] = {k: n for k, n in zip(("num_cpus", "num_gpus"), processors) if n is not None}
        self.space = dict(SPACE if space is None else space)
        for name, values in self.space.items():
            if not (isinstance(values, list) and values) and not (
                isinstance(values, dict) and {"low", "high"} <= set(values)
            ):
                raise SopiError(f'{name}: expected a list of values, or {{"low": ..., "high": ..., "log": true}}')
        refuse_others(folder)
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
        """Tries until `trials` have been tried in all. A trial that was cut off is tried again, from its own last
        checkpoint. `say` is told each result and in the end the table. Raises SopiError without Ray or its cluster,
        KeyboardInterrupt if it was stopped."""
        states = self.optuna.trial.TrialState
        for cut_off in self.study.get_trials(states=[states.RUNNING]):
            self.study.tell(cut_off.number, state=states.FAIL)
            folder = cut_off.user_attrs.get("folder", f"{cut_off.number:04}")
            self.study.enqueue_trial(cut_off.params, user_attrs={"folder": folder})
        if self.ray_address:
            self._over_ray(trials, say)
        while len(self._finished()) < trials:
            trial = self.study.ask()
            self._tell(trial, *self._try(trial), trials, say)
        say(self.table())

    def _tell(self, trial: Any, value: float | None, state: Any, trials: int, say: Callable[[str], None]) -> None:
        self.study.tell(trial, value, state)
        self._write()
        words = {"COMPLETE": f"{abs(value):.4f} {self.unit}" if value is not None else "", "PRUNED": "given up early"}
        done = words.get(state.name, "impossible")
        say(f"trial {trial.number} ({len(self._finished())}/{trials}): {done}: {json.dumps(trial.params)}")

    @property
    def unit(self) -> str:
        """Of what counts: bits, or accuracy."""
        return self.objective.rpartition("_")[2]

    def _over_ray(self, trials: int, say: Callable[[str], None]) -> None:
        """Does whole trials in other processes. None is given up early, since many run side by side."""
        states = self.optuna.trial.TrialState
        with joined(self.ray_address, self.processors) as ray:
            gpus = int(ray.cluster_resources().get("GPU", 0))
            each = {"num_gpus": 1} if gpus else {"num_cpus": min(2, ray.cluster_resources()["CPU"])}
            places = gpus or max(1, int(ray.cluster_resources()["CPU"] // 2))
            remote = ray.remote(**each, max_retries=2)(_whole_trial)
            working: dict[Any, Any] = {}
            while working or len(self._finished()) < trials:
                while len(working) < places and len(self._finished()) + len(working) < trials:
                    trial = self.study.ask()
                    planned = self._plan(trial)
                    if planned is None:
                        self._tell(trial, None, states.FAIL, trials, say)
                        continue
                    folder, config, settings = planned
                    at = (str(folder.resolve()), str(self.dataset.folder.resolve()))
                    working[remote.remote(*at, config, settings)] = trial
                if not working:  # the last ones were impossible
                    break
                (ready, *_), _ = ray.wait(list(working))
                trial = working.pop(ready)
                bits, seconds = ray.get(ready)
                trial.set_user_attr("seconds", round(seconds))
                self._tell(trial, bits, states.COMPLETE, trials, say)

    def _plan(self, trial: Any) -> tuple[Path, Config, Settings] | None:
        """The folder of a trial and what it trains; None if these options don't go together."""
        values = {**self.base, **{name: self._draw(trial, name, given) for name, given in self.space.items()}}
        try:
            config, settings = from_values(values)
            config = fitted(config, self.dataset)
            settings.steps = max(8, round(self.samples / (settings.batch * config.seq_len)))
            settings.every = max(1, settings.steps // 8)
            settings.preview_every, settings.keep, settings.monitor = 0, 1, self.objective
        except SopiError as e:
            trial.set_user_attr("why", str(e))
            return None
        folder = trial.user_attrs.get("folder", f"{trial.number:04}")
        trial.set_user_attr("folder", folder)
        trial.set_user_attr("weights", machine.parameters(config))
        return self.folder / "trials" / folder, config, settings

    def _try(self, trial: Any) -> tuple[float | None, Any]:
        states = self.optuna.trial.TrialState
        planned = self._plan(trial)
        if planned is None:
            return None, states.FAIL
        folder, config, settings = planned
        run = Run(folder, self.dataset, config, settings, loud=False)
        pruned = False
        reported: set[int] = set()

        def watch(step: int, row: Mapping[str, float]) -> bool:
            nonlocal pruned
            # in eighths of the whole, so that runs of different lengths compare; Optuna takes each once
            eighth = round(8 * step / settings.steps)
            if eighth not in reported:
                reported.add(eighth)
                trial.report(run.best.score(row), eighth)
            pruned = trial.should_prune()
            return pruned

        if run.train(watch) == "stopped":
            raise KeyboardInterrupt
        trial.set_user_attr("seconds", round(run.seconds))
        return (None, states.PRUNED) if pruned else (run.best.value, states.COMPLETE)

    @staticmethod
    def _draw(trial: Any, name: str, given: Any) -> Any:
        if isinstance(given, list):  # the study holds no lists, so that these are text there
            return _value(trial.suggest_categorical(name, [json.dumps(v) if isinstance(v, list) else v for v in given]))
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
        writer.writerow(["trial", "state", self.unit, "weights", "seconds", *names])
        for t in self._ranked():
            about = (t.user_attrs.get("weights", ""), t.user_attrs.get("seconds", ""))
            value = t.value if t.value is None else abs(t.value)
            writer.writerow([t.number, t.state.name.lower(), value, *about, *(t.params.get(n) for n in names)])
        write_whole(self.folder / "trials.csv", text.getvalue().encode())
        complete = [t for t in self._ranked() if t.value is not None]
        if complete:
            best = {**self.base, **{name: _value(v) for name, v in complete[0].params.items()}}
            write_whole(self.folder / "best.json", (json.dumps(best, indent=1) + "\n").encode())

    def _ranked(self) -> list[Any]:
        return sorted(self._finished(), key=lambda t: (t.value is None, t.value or 0.0, t.number))

    def table(self) -> str:
        """The ten best trials, as lines of text."""
        rows = [["trial", self.unit, "weights", *self.space]]
        for t in [t for t in self._ranked() if t.value is not None][:10]:
            values = [f"{v:.4g}" if isinstance(v := t.params.get(n), float) else str(v) for n in self.space]
            rows.append([str(t.number), f"{abs(t.value):.4f}", f"{t.user_attrs['weights'] / 1e6:.1f} M", *values])
        widths = [max(len(r[k]) for r in rows) for k in range(len(rows[0]))]
        lines = ["  ".join(cell.rjust(w) for cell, w in zip(row, widths)) for row in rows]
        return "\n".join([*lines, f"best: {self.folder / 'best.json'}"])


def _value(held: Any) -> Any:
    """A value as the study holds it -> the value."""
    return json.loads(held) if isinstance(held, str) and held.startswith("[") else held


def _whole_trial(folder: str, dataset: str, config: Config, settings: Settings) -> tuple[float, float]:
    """Trains a trial and gives its best bits per sample and its seconds."""
    run = Run(Path(folder), Dataset(dataset), config, settings, loud=False)
    run.train()
    return run.best.value, run.seconds

"""docs/coming-from.md: lines of older systems' pages run when the program's name is replaced, and so do those beside
them."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sopilib.cli import main
from sopilib.cli.generate import NO_EQUAL, OLD

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "coming-from.md").read_text()
FIXTURES = ROOT / "tests" / "fixtures"


def lines(title: str) -> list[str]:
    """Each command of the page's section of that title, without the program's name."""
    section = re.split(r"\n#+ ", PAGE.partition(f"# {title}\n")[2])[0]
    blocks = re.findall(r"```\n(.*?)```", section, re.DOTALL)
    assert blocks
    return [re.split("generate\\w*(?:[.]py)?", block, maxsplit=1)[1].replace("\\\n", " ") for block in blocks]


def takes(folder: Path) -> list[np.ndarray]:
    return [soundfile.read(path)[0] for path in sorted(folder.rglob("*.wav")) if "-0" in path.name]


def test_a_line_of_prisms_and_the_courses_makes_what_ours_makes(tmp_path: Path, monkeypatch) -> None:
    made = []
    for number, line in enumerate(lines("PRiSM and the course")):
        folder = tmp_path / str(number)
        run = folder / "logdir" / "test" / "12.07.2020_15.08.25"
        shutil.copytree(FIXTURES / "prism" / "gru_mulaw", run)
        for path in run.glob("model.ckpt-1.*"):
            path.rename(path.with_name(path.name.replace("ckpt-1", "ckpt-300")))
        (run / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-300"\n')
        shutil.copy(run / "a.config.json", folder / "default.config.json")
        soundfile.write(folder / "seed.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 4000), 16000)
        monkeypatch.chdir(folder)
        assert main(["generate", *shlex.split(line)]) == 0
        made.append(takes(folder))
    assert [len(each) for each in made] == [10, 10]
    assert {len(take) for each in made for take in each} == {16000}
    for theirs, ours in zip(*made):
        np.testing.assert_array_equal(theirs, ours)


def test_a_line_of_dadabots_says_what_to_leave_out_and_ours_runs(
    tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "results_2t" / "beatles" / "params"
    run.mkdir(parents=True)
    source = sorted(
        path for path in (FIXTURES / "theano").rglob("*.pkl") if "best" in path.name or "params" in path.name
    )[0]
    shutil.copy(source, run / "best.pkl")
    monkeypatch.chdir(tmp_path)
    theirs, ours = lines("Dadabots")
    assert main(["generate", *shlex.split(theirs)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    for option in re.findall("--[a-z_0-9]+", theirs):
        name = option.replace("_", "-")
        assert (name in NO_EQUAL) == (f"{name}" in re.findall("--[a-z0-9-]+", said)), option
    assert main(["generate", *shlex.split(ours)]) == 0
    assert [len(take) for take in takes(tmp_path)] == 4 * [32000]


def test_every_old_name_is_on_the_page() -> None:
    for name in (*(old for names in OLD.values() for old in names), "--seed", "--seed-offset", "--seed-sr"):
        assert f"`{name.replace('-', '_').replace('__', '--', 1)}`" in PAGE, name

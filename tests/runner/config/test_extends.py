"""Files that build on each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.config.experiment_file import load
from runner.config.yaml_source import parse
from runner.errors import ConfigError

BASE = """\
experiment: base
params:
  train: {epochs: 20, batch_size: 32}
  model:
    late_fusion: {name: tucker, rank: 8}
matrix: {seeds: [0, 1]}
"""


def write(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder / "top.yaml"


def test_keys_are_merged_and_lists_and_other_kinds_replaced(tmp_path: Path) -> None:
    top = "extends: base.yaml\nexperiment: top\nparams: {train: {epochs: 5}, model: {late_fusion: {name: none}}}\n"
    file = load(write(tmp_path, base=BASE, top=top + "matrix: {seeds: [2]}\n"))
    assert file.experiment.experiment == "top"
    assert file.experiment.params == {
        "train": {"epochs": 5, "batch_size": 32}, "model": {"late_fusion": {"name": "none"}}
    }  # fmt: skip
    assert file.experiment.matrix.seeds == [2]


def test_chain_of_files_ends_in_a_text_that_needs_none_of_them(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "middle.yaml").write_text("extends: ../base.yaml\nparams: {train: {epochs: 7}}\n")
    source = load(write(tmp_path, base=BASE, top="extends: deep/middle.yaml\nexperiment: top\n")).source
    assert parse(source.text, tmp_path / "copy.yaml").value == source.value
    assert "extends" not in source.text
    assert source.value["params"]["train"] == {"epochs": 7, "batch_size": 32}


def test_mistake_is_told_at_the_file_and_line_that_has_it(tmp_path: Path) -> None:
    top = "extends: base.yaml\nexperiment: top\nparams:\n  train: {}\nselect: {withn: 0.1}\n"
    path = write(tmp_path, base=BASE.replace("{seeds: [0, 1]}", "\n  seeds: [0, -1]"), top=top)
    with pytest.raises(ConfigError) as error:
        load(path)
    places = {(Path(str(problem.file)).name, problem.line) for problem in error.value.problems}
    assert places == {("base.yaml", 7), ("top.yaml", 5)}


@pytest.mark.parametrize(
    ("top", "words"),
    [
        ("extends: absent.yaml", "found 'absent.yaml'; there is no such file beside"),
        ("extends: [base.yaml]", "there is no such file beside"),
        ("extends: top.yaml", "files extend each other without end: top.yaml → top.yaml"),
    ],
)
def test_file_that_extends_nothing_good_is_one_error(tmp_path: Path, top: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        load(write(tmp_path, base=BASE, top=f"experiment: top\n{top}\n"))
    assert (len(error.value.problems), error.value.problems[0].line) == (1, 2)

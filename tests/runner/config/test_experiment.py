"""The experiment file: what it admits, what --set changes, and that all its mistakes are told at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runner.config.experiment import Experiment, checked_name
from runner.config.experiment_file import ExperimentFile, examine, load
from runner.errors import ConfigError

Reader = Callable[..., ExperimentFile]


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    def reader(text: str, *overrides: str) -> ExperimentFile:
        path = tmp_path / "e.yaml"
        path.write_text(text)
        return load(path, list(overrides))

    return reader


def test_a_name_is_all_that_must_be_given(read: Reader) -> None:
    experiment = read("experiment: e").experiment
    assert (experiment.task, experiment.cluster, experiment.matrix.seeds) == ("crystal", "local", [0])


def test_values_of_every_kind_are_understood(read: Reader) -> None:
    experiment: Experiment = read("""
experiment: e
resources: {gpus: 1, cpus: 4, memory: 16G, time: 1-00:00:00, partition: "gpu,preempt"}
array: {max_parallel: 5, runs_per_task: 2}
retry: {max_attempts: 2, out_of_memory: {memory: 2}, timeout: {time: 1.5}}
stop_after_same_error: null
select: {metric: val_rmse, mode: max, within: 5%, ratio: [2, 8]}
health: {spike: 3, contribution_bands: true}
target_mae: {good: 0.25, acceptable: 0.26}
keep: {checkpoints: best}
next: {config: configs/stage2.yaml, top: 2}
""").experiment
    assert (experiment.resources.memory, experiment.resources.time) == (16384, 86400)
    assert (experiment.select.within, experiment.select.ratio) == (0.05, (2.0, 8.0))
    assert experiment.health == {"spike": 3.0, "contribution_bands": True}
    assert experiment.stop_after_same_error is None


@pytest.mark.parametrize("name", ["stage1", "a.b-c_d", "0", "x" * 100])
def test_names_that_are_safe_for_a_directory_and_a_shell(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/abs", "a/b", ".hidden", "-x", "a b", "é", "a\n", "x" * 101])
def test_names_that_leave_the_directory_or_need_quotes_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a directory; use letters, digits"):
        checked_name(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("experiment: 2024", "experiment: must be text; found 2024, which quotation marks make text"),
        ("description: x", "experiment: missing; it must be given"),
        (
            "experiment: e\nmatrxi: {}",
            r"e\.yaml:2: matrxi: unknown key\n    allowed: adopt, array, .*\n    did you mean: matrix",
        ),
        ("experiment: e\nmatrix: {seeds: 3}", r"matrix\.seeds: must be a list; found 3"),
        ("experiment: e\nmatrix: {seeds: [-1]}", r"matrix\.seeds\[0\]: must be 0 or more; found -1"),
        ("experiment: e\nmatrix: {seeds: [4294967296]}", r"matrix\.seeds\[0\]: must be 4294967295 or less"),
        ("experiment: e\nmatrix: {axes: {train.epochs: 3}}", r"matrix\.axes\.train\.epochs: must be a list; found 3"),
        ("experiment: e\nresources: {time: soon}", r"resources\.time: 'soon' is not a time; write minutes"),
        ("experiment: e\nresources: {memory: 16Q}", r"resources\.memory: '16Q' is not an amount of memory"),
        ("experiment: e\nresources: {partition: a b}", r"resources\.partition: found 'a b'; write names as sinfo"),
        ("experiment: e\nselect: {metric: test_mae}", r"the test split never takes part in a choice"),
        ("experiment: e\nselect: {within: 5}", r"select\.within: found 5; write a share below 1, as 5% or 0\.05"),
        ("experiment: e\nselect: {within: x%}", r"select\.within: found 'x%'; write a share below 1"),
        (
            "experiment: e\nselect: {ratio: [10, 3]}",
            r"select\.ratio: found \[10\.0, 3\.0\]; write the lower border first",
        ),
        ("experiment: e\nkeep: {checkpoints: last}", r"keep\.checkpoints: found 'last'\n    allowed: all, best"),
        ("experiment: e\nbaseline: 5", r"baseline: found 5\n    allowed: text or keys with values"),
        ("experiment: e\nnext: {top: 3}", r"next\.config: missing; it must be given"),
        ("experiment: e\nstop_after_same_error: 0", r"stop_after_same_error: must be 1 or more; found 0"),
    ],
)
def test_mistakes_are_told_with_key_value_and_what_is_allowed(read: Reader, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(text)


def test_what_is_right_beside_mistakes_is_kept_for_further_checks(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_text("""
experiment: ../e
params: {train: {epochs: 5}}
matrix: {axes: {a: 3, b: [1]}, seeds: [x, y], named: {ok: {c: 1}, no/good: {}}}
resources: {time: soon, cpus: 2, memory: 0}
array: []
""")
    file = examine(path)
    assert len(file.mistakes) == 8
    assert file.spoilt == {"experiment", "matrix", "resources", "array"}
    assert file.experiment.params == {"train": {"epochs": 5}}
    assert (file.experiment.matrix.axes, file.experiment.matrix.named) == ({"b": [1]}, {"ok": {"c": 1}})
    assert file.experiment.resources.cpus == 2


def test_set_reaches_params_top_level_keys_and_axes(read: Reader) -> None:
    text = "experiment: e\nparams: {train: {epochs: 5, batch_size: 8}}\nmatrix:\ndescription: x\n"
    experiment = read(
        text, "train.epochs=7", "params.train.learning_rate=1e-3", "experiment=f", "matrix.seeds=[0, 1]",
        "matrix.axes.model.middle_fusion.layers=[[1], [2]]", "data.train=null", "new.deep.key={a: b}",
    ).experiment  # fmt: skip
    assert experiment.params == {
        "train": {"epochs": 7, "batch_size": 8, "learning_rate": 0.001},
        "data": {"train": None},
        "new": {"deep": {"key": {"a": "b"}}},
    }
    assert (experiment.experiment, experiment.matrix.seeds) == ("f", [0, 1])
    assert experiment.matrix.axes == {"model.middle_fusion.layers": [[1], [2]]}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epochs", r"--set epochs: is not key=value\n    allowed: --set train\.epochs=5"),
        ("x=1\ny: 2", r"--set x=1\ny: 2: gives y on further lines; one --set sets one key"),
        ("=5", r"--set =5: is not key=value"),
        ("x=[1", r"--set x=\[1: not valid YAML: "),
        ("description.deep=1", r"--set description\.deep=1: description holds 'words', so no key below it can be set"),
        ("resources.time=soon", r"--set resources\.time=soon: resources\.time: 'soon' is not a time"),
        ("experiment=../x", r"--set experiment=\.\./x: experiment: '\.\./x' cannot name a directory"),
    ],
)
def test_mistakes_of_set_name_the_option_and_not_the_file(read: Reader, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read("experiment: e\ndescription: words\nresources: {time: 30m}\n", override)

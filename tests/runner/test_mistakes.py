"""Every mistake in a configuration by its wording: file, line, key, found, allowed, nearest; status 2, nothing sent."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from runner_main import run

GOOD = """\
experiment: good
task: crystal
params:
  data: {dataset: mp6k, train: 50, val: 10, test: 10}
  model:
    encoder: {name: alignn, alignn_layers: 3}
    middle_fusion: {name: dynamic, layers: [2]}
  train: {epochs: 2}
matrix:
  axes:
    model.middle_fusion.layers: [[1], [2]]
  seeds: [0]
resources: {time: 10m}
"""

MISTAKES = {
    # name: (text to replace, by what, line that the message names, patterns that it holds)
    "unknown key at the top": ("task: crystal", "tsak: crystal", 2, ["tsak: unknown key", "did you mean: task"]),
    "unknown key in params": (
        "train: {epochs: 2}",
        "train: {epochs: 2, learning_rat: 1}",
        8,
        ["train.learning_rat: unknown key", "allowed: .*learning_rate", "did you mean: learning_rate"],
    ),
    "unknown section": ("  train: {epochs", "  trian: {epochs", 8, ["trian: unknown key", "did you mean: train"]),
    "unknown key of an axis": (
        "model.middle_fusion.layers: [[1]",
        "model.middle_fusion.layer: [[1]",
        11,
        ["middle_fusion.layer: unknown key", "did you mean: layers"],
    ),
    "impossible layer in an axis": (
        "[[1], [2]]",
        "[[1], [8]]",
        11,
        ["middle_fusion.layers: there is no layer 8", "allowed: 1 to 3", "then to 7"],
    ),
    "impossible layer in params": (
        "layers: [2]}\n  train: {epochs: 2}\nmatrix:\n  axes:\n    model.middle_fusion.layers: [[1], [2]]\n",
        "layers: [9]}\n  train: {epochs: 2}\nmatrix:\n",
        7,
        ["there is no layer 9; layers count from 1", "allowed: 1 to 3"],
    ),
    "layer nought": ("[[1], [2]]", "[[0], [2]]", 11, ["layers count from 1; found 0"]),
    "layer twice": ("[[1], [2]]", "[[1, 1]]", 11, ["a layer is named twice"]),
    "duplicate key": (
        "task: crystal",
        "task: crystal\ntask: crystal",
        3,
        ["task: this key stands twice, first in line 2"],
    ),
    "not YAML": ("task: crystal", "task: [crystal", None, ["not valid YAML"]),
    "a Python tag": (
        "task: crystal",
        "task: !!python/name:os.system x",
        2,
        ["tag !!python/name:os.system is not allowed"],
    ),
    "a target that the data lacks": (
        "dataset: mp6k,",
        "dataset: mp6k, target: formation_enrgy_peratom,",
        4,
        [
            "mp6k has no target 'formation_enrgy_peratom'",
            "allowed: .*formation_energy_peratom",
            "did you mean: formation",
        ],
    ),
    "more crystals than there are": (
        "test: 10",
        "test: 9999",
        4,
        ["data.test: 9,999 crystals wanted", "allowed: 1 to 362"],
    ),
    "unknown data set": ("dataset: mp6k", "dataset: mp7k", 4, ["data.dataset", "mp7k", "did you mean: mp6k"]),
    "unknown fusion": (
        "name: dynamic",
        "name: dynamics",
        7,
        ["middle_fusion.name: unknown name 'dynamics'", "allowed: none, middle", "did you mean: dynamic"],
    ),
    "text where a number belongs": (
        "epochs: 2",
        "epochs: many",
        8,
        ["params.train.epochs: must be a whole number; found 'many'"],
    ),
    "number out of bounds": ("epochs: 2", "epochs: 0", 8, ["params.train.epochs: must be 1 or more; found 0"]),
    "not a number at all": ("epochs: 2", "epochs: 2, learning_rate: .nan", 8, ["train.learning_rate: .*finite"]),
    "name that leaves the directory": (
        "experiment: good",
        "experiment: ../good",
        1,
        ["'../good' cannot name a directory"],
    ),
    "absolute name": ("experiment: good", "experiment: /etc/good", 1, ["'/etc/good' cannot name a directory"]),
    "hidden name": ("experiment: good", "experiment: .good", 1, ["'.good' cannot name a directory"]),
    **{
        f"the name {name[:9]}": (
            "experiment: good",
            f"experiment: {name}",
            1,
            ["cannot name a directory; use letters, d"],
        )
        for name in ("'a; rm -rf b'", "''", "'..'", "a/b", "'a b'", "é", "-x", "x" * 101)
    },
    "named point that leaves": (
        "  seeds: [0]",
        "  named: {../x: {}}\n  seeds: [0]",
        12,
        ["'../x' cannot name a directory"],
    ),
    "value twice": ("[[1], [2]]", "[[1], [1]]", 11, [r"the value \[1\] stands twice"]),
    "baseline that means several": (
        "resources:",
        "baseline: {}\nresources:",
        13,
        [r"baseline: matches 2 variants \(layers=1, layers=2\); it must match exactly one"],
    ),
    "seed in the parameters": ("epochs: 2", "epochs: 2, seed: 5", 8, ["train.seed: is set by `matrix: {seeds: "]),
    "unknown task": ("task: crystal", "task: crystals", 2, ["task: .*'crystals'", "did you mean: crystal"]),
    "bad time": ("time: 10m", "time: soon", 13, ["'soon' is not a time"]),
    "bad memory": ("time: 10m", "memory: much", 13, ["'much' is not an amount of memory"]),
    "matrix below params": (
        "matrix:\n  axes:\n    model.middle_fusion.layers: [[1], [2]]\n  seeds: [0]\n",
        "  matrix:\n    seeds: [0]\n",
        9,
        [r"params\.matrix: unknown key", r"did you mean: matrix \(at the top level\)"],
    ),
    "section at the top level": (
        "  train: {ep",
        "train: {ep",
        8,
        ["train: unknown key", "did you mean: params.train\n"],
    ),
    "section in another section": (
        "  train: {ep",
        "    train: {ep",
        8,
        ["params.model.train: unk", "mean: params.train\n"],
    ),
    "key of the cluster file": (
        "time: 10m",
        "account: me",
        13,
        ["resources.account: ", "mean: account in a cluster file"],
    ),
    "colon forgotten": (
        "task: crystal",
        "task crystal",
        2,
        ["found 'task crystal', which is no key.* followed by ':'"],
    ),
    "colon of a section forgotten": (
        "  axes:\n",
        "  axes\n",
        10,
        ["axes: .*found 'axes', which is no key with a value"],
    ),
    "colon before a bracket forgotten": ("train: {e", "train {e", 8, ["a ':' is missing before the br", "mean: train"]),
    "space forgotten": ("epochs: 2", "epochs:2", 8, ["a space is missing behind its ':'", "did you mean: epochs"]),
    "one column too far": ("  model:\n", "   model:\n", 5, ["model: .*another way than its section, .* in line 4"]),
    "name alone under an axis": (
        "{name: dynamic, layers: [2]}",
        "dynamic",
        7,
        ["found 'dynamic', and the matrix sets model.middle_fusion.layers below", "did you mean: {name: dynamic}"],
    ),
    "axis with params": (
        "    model.middle_fusion.layers: [[1]",
        "    params.model.middle_fusion.layers: [[1]",
        11,
        ["writes keys of params without `params.`", "did you mean: model.middle_fusion.layers\n"],
    ),
    "end of an axis alone": (
        "    model.middle_fusion.layers: [[1]",
        "    layers: [[1]",
        11,
        ["layers: unknown key", "did you mean: model.middle_fusion.layers\n"],
    ),
    "fractions in percent": (
        "test: 10",
        "test: 10, split: random, fractions: [80, 10, 10]",
        4,
        ["1 mistake", r"fractions: found \[80.0, 10.0, 10.0\]", r"did you mean: \[0.8, 0.1, 0.1\]"],
    ),
    "unknown draw": (
        "  seeds: [0]",
        "  random: {count: 2, axes: {train.learning_rate: {log: [1e-4, 1e-2]}}}",
        12,
        ["1 mistake", "random.axes.train.learning_rate.log: unknown key", "did you mean: log_uniform"],
    ),
    "decimal comma": ("epochs: 2", "learning_rate: '0,001'", 8, ["must be a number; found '0,001'", "mean: 0.001"]),
    "decimal comma in braces": (
        "epochs: 2",
        "learning_rate: 1,5",
        8,
        ["train.learning_rate: found 1,5; in braces, a comma ends a value: write 1.5"],
    ),
    "number with its unit": (
        "epochs: 2",
        "learning_rate: 3 eV",
        8,
        ["found '3 eV'", "did you mean: 3, without its unit"],
    ),
    "one value for a list": ("seeds: [0]", "seeds: 3", 12, ["seeds: must be a list; found 3", r"did you mean: \[3\]"]),
    "file alone for a section": ("resources: {", "next: a.yaml\nresources: {", 13, ["did you mean: {config: a.yaml}"]),
    "warm-up longer than the run": (
        "epochs: 2}",
        "epochs: 2, schedule: linear_warmup, warmup_steps: 500}",
        8,
        ["train.warmup_steps: found 500", "allowed: 0 to"],
    ),
}


def refused(folder: Path, text: str, *arguments: str) -> str:
    """What `runner submit` says of a file with `text`; with --dry-run it says the same, and neither writes anything."""
    (folder / "e.yaml").write_text(text)
    said = [
        run("submit", folder / "e.yaml", "--root", folder / "runs", *arguments, *dry) for dry in ([], ["--dry-run"])
    ]
    assert {(answer.status, answer.out) for answer in said} == {(2, "")}, said[0].err
    assert said[0].err == said[1].err
    assert "Traceback" not in said[0].err
    assert not (folder / "runs").exists()
    return said[0].err.replace(f"{folder}/", "")


def assert_holds(answer: str, patterns: list[str]) -> None:
    assert [pattern for pattern in patterns if not re.search(pattern, answer)] == [], answer


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_named_where_it_stands_and_nothing_is_sent(tmp_path: Path, name: str) -> None:
    old, new, line, patterns = MISTAKES[name]
    assert GOOD.count(old) == 1, "the test changes one place"
    where = "e.yaml" if line is None else f"e.yaml:{line}:"
    assert_holds(refused(tmp_path, GOOD.replace(old, new)), [where, *patterns])


@pytest.mark.torch
def test_good_file_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    said = run("submit", tmp_path / "good.yaml", "--root", tmp_path / "runs", "--dry-run")
    assert said.status == 0, said.err
    assert "would send 2 runs" in said.err
    assert not (tmp_path / "runs").exists()


SLURM = "kind: slurm\n"
SITES = {
    # name: (cluster file, experiment file, patterns that the message holds)
    "unknown key": (SLURM + "parttion: gpu\n", GOOD, ["parttion: unknown key(.|\n)*did you mean: partition"]),
    "unknown kind": ("kind: slurmm\n", GOOD, ["kind(.|\n)*allowed: (local, slurm|slurm, local)"]),
    "no kind": ("partition: gpu\n", GOOD, ["kind: missing"]),
    "line break in a value": (SLURM + 'sbatch: {mail-user: "a\\n#SBATCH --uid=0"}\n', GOOD, ["sbatch"]),
    "option that is ours": (SLURM + "sbatch: {array: 0-5}\n", GOOD, ["sbatch.*array|array"]),
    "odd option name": (SLURM + "sbatch: {'--evil x': 1}\n", GOOD, ["sbatch"]),
    "odd variable name": (SLURM + "environment: {'A B': x}\n", GOOD, ["environment"]),
    "several GPUs of runs that share one": (
        SLURM,
        GOOD.replace("10m}", "10m, gpus: 2}") + "array:\n  runs_per_task: 3\n",
        [r"e\.yaml:\d+: resources\.gpus: found 2 with 3 runs side by side that share one GPU"],
    ),
    "no time limit": (
        SLURM,
        GOOD.replace("resources: {time: 10m}\n", ""),
        [r"resources\.time: missing; Slurm needs a time limit\n.*allowed: .*30m"],
    ),
    "mistakes of both files": (
        SLURM + "parttion: gpu\n",
        GOOD.replace("epochs: 2", "epochs: 0"),
        ["e.yaml:8: params.train.epochs: must be 1 or more; found 0", "site.yaml:2: parttion: unknown key"],
    ),
}


@pytest.mark.parametrize("name", SITES)
def test_mistake_in_a_cluster_file_or_of_both(tmp_path: Path, name: str) -> None:
    site, text, patterns = SITES[name]
    (tmp_path / "site.yaml").write_text(site)
    assert_holds(refused(tmp_path, text, "--cluster", str(tmp_path / "site.yaml")), patterns)


def test_mistake_in_a_cluster_file_ends_with_what_checks_that_file(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "site.yaml").write_text("kind: slurm\nparttion: gpu\n")
    said = run("submit", tmp_path / "good.yaml", "--cluster", tmp_path / "site.yaml")
    check = f"runner submit {tmp_path}/good.yaml --cluster {tmp_path}/site.yaml --dry-run, after fixing it"
    assert said.err.endswith(f"  next: {check}\n")
    said = run("doctor", tmp_path / "site.yaml")
    assert said.err.endswith(f"  next: runner doctor {tmp_path}/site.yaml, after fixing it\n")


OPTIONS = {
    "a wrong value": (
        ["--set", "train.epochs=many"],
        ["--set train.epochs=many: params.train.epochs: must be a whole"],
    ),
    "an unknown key": (["--set", "train.epoch=3"], ["--set train.epoch=3: params.train.epoch: unknown key"]),
    "bad YAML": (["--set", "train.epochs=["], [r"--set train.epochs=\[: not valid YAML"]),
    "a name that leaves": (
        ["--set", "experiment=../x"],
        ["--set experiment=../x: experiment: '../x' cannot name a dir"],
    ),
    "no value": (["--set", "epochs"], ["--set epochs(.|\n)*is not key=value"]),
    "below a value": (["--set", "train.epochs.x=1"], ["--set train.epochs.x=1(.|\n)*no key below it"]),
    "a section that it makes": (
        ["--set", "trian.epochs=5"],
        ["  --set trian.epochs=5: ", r"\A((?!e\.yaml:)(.|\n))*\Z"],
    ),
    "a section of the matrix that it makes": (
        ["--set", "matrix.axis.train.epochs=[5]"],
        [r"  --set matrix.axis.train.epochs=\[5\]: ", r"\A((?!e\.yaml:)(.|\n))*\Z"],
    ),
    "runs that match nothing": (
        ["--only", "layers=9"],
        ["no run 'layers=9' among 2\n    allowed: an id or its start", "did you mean: layers=2\n"],
    ),
    "a cluster file that is missing": (
        ["--cluster", "nowhere.yaml"],
        ["--cluster nowhere.yaml: there is no cluster file 'nowhere.yaml', here or in a folder", "allowed: local"],
    ),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_mistake_of_an_option_names_the_option(tmp_path: Path, name: str) -> None:
    arguments, patterns = OPTIONS[name]
    assert_holds(refused(tmp_path, GOOD, *arguments), patterns)


@pytest.mark.parametrize("command", ["status", "failures", "cancel", "resubmit", "promote"])
def test_root_without_experiments(tmp_path: Path, command: str) -> None:
    said = run(command, "--root", tmp_path)
    assert said.status == 1
    assert re.search(r"no experiment under .*\n.*next: runner submit CONFIG", said.err)


def test_ten_different_mistakes_are_told_in_one_go(tmp_path: Path) -> None:
    text = """\
experiment: ../ten
task: crystal
tsak: 1
params:
  data: {dataset: mp6k, target: formation_enrgy}
  model: {encoder: {name: alignn, alignn_layers: 3}, middle_fusion: {name: dynamic, layers: [2]}}
  train: {epochs: 2, epochs: 3}
matrix:
  axes:
    model.middle_fusion.layers: [[1], [2], [9]]
    train.learning_rat: [1e-3]
  exclude:
  - {train.batch: 3}
  seeds: [0, 0]
baseline: graph_only
resources: {time: soon, memory: 16Q}
health: {spik: 3}
cluster: configs/nowhere.yaml
"""
    told = refused(tmp_path, text)
    expected = [
        "e.yaml:1: experiment: '../ten' cannot name a directory",
        "e.yaml:3: tsak: unknown key",
        "e.yaml:5: params.data.target: mp6k has no target 'formation_enrgy'",
        "e.yaml:7: params.train.epochs: this key stands twice, first in line 7",
        "e.yaml:10: model.middle_fusion.layers: there is no layer 9; layers count from 1",
        "e.yaml:11: train.learning_rat: unknown key",
        "e.yaml:13: matrix.exclude[0].train.batch: is no axis, so it can exclude nothing",
        "e.yaml:14: matrix.seeds: the seed 0 stands twice",
        "e.yaml:15: baseline: matches no variant; it must match exactly one",
        "e.yaml:16: resources.memory: '16Q' is not an amount of memory",
        "e.yaml:16: resources.time: 'soon' is not a time",
        "e.yaml:17: health.spik: no such threshold",
        "e.yaml:18: cluster: there is no cluster file 'configs/nowhere.yaml'",
    ]
    lines = [line.strip() for line in told.splitlines() if line.startswith("  e.yaml:")]
    assert len(lines) == len(expected), told
    for line, start in zip(lines, expected, strict=True):
        assert line.startswith(start)
    assert "did you mean: spike" in told


def test_a_matrix_with_a_thousand_alike_mistakes_stays_readable(tmp_path: Path) -> None:
    values = ", ".join(f"{{name: alignn, hidden: x{n}}}" for n in range(1000))
    text = f"experiment: e\nmatrix: {{axes: {{model.encoder: [{values}]}}}}\n"
    told = refused(tmp_path, text)
    assert told.startswith("error: 1,000 mistakes in the configuration\n")
    assert "… and 997 more, most of them alike" in told
    assert len(told.splitlines()) < 15


TASKS = {
    "no such module": ("nowhere:Task", r"e\.yaml:2: task: no module 'nowhere'; looked in code_path "),
    "no such class": ("tiny_task:Huge", r"e\.yaml:2: task: module 'tiny_task' has no class 'Huge'"),
    "no task": ("tiny_task:TinyParams", r"e\.yaml:2: task: class 'tiny_task:TinyParams' is no task: it lacks Params"),
    "module that fails": ("failing_task:T", r"e\.yaml:2: task: .*importing 'failing_task' failed: ZeroDivisionError"),
    "module that lacks a library": (
        "needy_task:T",
        r"e\.yaml:2: task: .*imports 'absent_library', which is not installed",
    ),
    "one word": ("sentimnt", r"e\.yaml:2: task: found 'sentimnt', which is no task\n    allowed: .*crystal"),
}


@pytest.mark.parametrize("name", TASKS)
def test_a_users_task_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    task, pattern = TASKS[name]
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "failing_task.py").write_text("1 / 0\n")
    (tmp_path / "needy_task.py").write_text("import absent_library\n")
    assert re.search(pattern, refused(tmp_path, f"experiment: e\ntask: {task}\ntrian: 1\n"))
    assert "e.yaml:3: trian: unknown key" in refused(tmp_path, f"experiment: e\ntask: {task}\ntrian: 1\n")


def test_slurm_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site.yaml").write_text("kind: slurm\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    told = refused(tmp_path, GOOD, "--cluster", str(tmp_path / "site.yaml"))
    assert "Slurm's command 'sbatch' is not on this machine" in told
    assert "next: submit from a login node of the cluster, or here with --cluster local" in told


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../x", "no such experiment directory or file"),
        ("a/b", "a/b: no such experiment directory or file"),
        ("a b", "'a b' cannot name a directory"),
        (".", "has no manifest.json: not the directory of an experiment"),
    ],
)
@pytest.mark.parametrize("command", [["status"], ["failures"], ["cancel"], ["resubmit"], ["promote"]])
def test_experiment_that_does_not_exist(tmp_path: Path, command: list[str], name: str, message: str) -> None:
    said = run(*command, name, "--root", tmp_path)
    assert said.status in (1, 2)
    assert message in said.err


def test_a_root_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "runs").write_text("a file\n")
    said = run("submit", tmp_path / "good.yaml", "--root", tmp_path / "runs")
    assert said.status == 1
    assert "cannot make the directory" in said.err
    assert "next: another --root, or RUNNER_ROOT" in said.err


@pytest.mark.parametrize(
    "arguments", [["expand"], ["expand", "x.yaml", "--format", "xml"], ["submitt"], ["status", "--x"]]
)
def test_wrong_usage_has_status_two_and_shows_the_usage(arguments: list[str]) -> None:
    said = run(*arguments)
    assert said.status == 2
    assert "Usage:" in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("task", "more"),
    [
        ("tiny_task:TinyTask", "cluster: site.yaml"),
        ("command", "cluster: local"),
        ("command", "cluster: site.yaml\narray: {side_by_side: 2}"),
    ],
)
def test_processes_that_nothing_would_start(tmp_path: Path, task: str, more: str) -> None:
    params = "command: {run: 'true', metrics: {file: m.json}}" if task == "command" else ""
    (tmp_path / "site.yaml").write_text("kind: slurm\n")
    text = f"experiment: x\ntask: {task}\nresources: {{nodes: 2, time: 1h}}\nparams: {{{params}}}\n{more}\n"
    assert_holds(refused(tmp_path, text), [
        "e.yaml:3: resources.nodes: found 2; only a command on Slurm starts further processes, by srun",
        "allowed: 1, or task: command, a cluster file of kind slurm, and no array.side_by_side",
    ])  # fmt: skip


def test_a_mistake_in_params_is_named_beside_drawn_points(tmp_path: Path) -> None:
    drawn = "matrix:\n  random: {count: 2, axes: {train.learning_rate: {uniform: [0.1, 0.2]}}}\n"
    data = "data: {dataset: jarvis_minerals, target: formation_energy_peratom, train: [20]}"
    text = f"experiment: x\ntask: crystal\nresources: {{time: 1h}}\nparams:\n  {data}\n{drawn}"
    assert_holds(refused(tmp_path, text), ["e.yaml:5: params.data.train: must be a whole number; found"])

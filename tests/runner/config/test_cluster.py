"""Cluster files: what they admit, and that nothing in them can begin a line of its own in a batch script."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.config.cluster import LocalCluster, SlurmCluster, load, parse, text_of
from runner.errors import ConfigError


def site(tmp_path: Path, text: str) -> SlurmCluster:
    path = tmp_path / "site.yaml"
    path.write_text("kind: slurm\n" + text)
    found = load(str(path), tmp_path / "e.yaml")
    assert isinstance(found, SlurmCluster)
    return found


def test_local_needs_no_file() -> None:
    assert load("local", Path("e.yaml")) == LocalCluster()


def test_what_a_submission_keeps_gives_the_same_cluster(tmp_path: Path) -> None:
    found = site(tmp_path, "partition: gpu\n")
    assert parse(text_of(str(tmp_path / "site.yaml"), Path("e.yaml")), Path("kept.yaml")) == found
    assert parse(text_of("local", Path("e.yaml")), Path("kept.yaml")) == LocalCluster()


def test_a_relative_file_is_found_here_or_above_the_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "configs" / "clusters").mkdir(parents=True)
    (tmp_path / "configs" / "clusters" / "a.yaml").write_text("kind: local\nmax_parallel: 3\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = load("configs/clusters/a.yaml", tmp_path / "configs" / "e.yaml")
    assert found == LocalCluster(max_parallel=3)


def test_names_and_options_that_sites_use_are_admitted(tmp_path: Path) -> None:
    found = site(
        tmp_path,
        """
partition: gpu,preempt
account: abc@v100
qos: normal+long
constraint: "[rack1|rack2]&ib"
sbatch: {mail-type: END, exclude: node17, hold: true, nice: 5, gres: "lscratch:100", exclusive: false}
setup: [module load cuda/12.4, 'export X="a b"']
environment: {OMP_PLACES: cores, N: 4, _x: "1"}
""",
    )
    assert found.environment == {"OMP_PLACES": "cores", "N": "4", "_x": "1"}
    assert found.sbatch["nice"] == 5


@pytest.mark.parametrize("python", ["~/env/bin/python", "python3.11", "/my apps/bin/python"])
def test_an_interpreter_is_a_whole_path_or_a_name(tmp_path: Path, python: str) -> None:
    assert site(tmp_path, f"python: {python}").python == os.path.expanduser(python)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("partiton: x", r"site\.yaml:2: partiton: unknown key\n    allowed: account, .*\n    did you mean: partition"),
        ("partition: a b", r"partition: found 'a b'; write names as sinfo and sacctmgr show them"),
        ("account: $(rm x)", r"account: found '\$\(rm x\)'; write names"),
        ('constraint: "a\\nb"', r"constraint: found 'a\\nb'; line breaks and control characters are not allowed"),
        (
            "sbatch: {Mail-Type: END}",
            r"sbatch\.Mail-Type: 'Mail-Type' is no sbatch option; write its long name without dashes",
        ),
        ("sbatch: {--mail-type: END}", r"'--mail-type' is no sbatch option"),
        ('sbatch: {"a b": END}', r"'a b' is no sbatch option"),
        ('sbatch: {"x\\n#SBATCH --y": END}', r"is no sbatch option"),
        (
            'sbatch: {mail-user: "a\\n#SBATCH --array=1"}',
            r"sbatch\.mail-user: found 'a\\n#SBATCH --array=1'; line breaks",
        ),
        (
            "sbatch: {exclude: [n1]}",
            r"sbatch\.exclude: found \['n1'\]\n    allowed: true or false or a whole number or text",
        ),
        ("sbatch: {array: 1-5}", r"sbatch\.array: this sbatch option cannot be given here: set by runner itself"),
        ("sbatch: {output: x}", r"sbatch\.output: .*set by runner itself; `runner logs` shows the logs"),
        ("sbatch: {error: x}", r"sbatch\.error: .*set by runner itself"),
        ("sbatch: {open-mode: append}", r"sbatch\.open-mode: .*set by runner itself"),
        ("sbatch: {comment: x}", r"sbatch\.comment: .*set by runner itself, to find its arrays again"),
        ("sbatch: {job-name: x}", r"sbatch\.job-name: .*set by runner itself"),
        ("sbatch: {signal: USR1@5}", r"sbatch\.signal: .*write `signal_seconds`"),
        ("sbatch: {requeue: true}", r"sbatch\.requeue: .*write `requeue: true` or `false`"),
        ("sbatch: {time: 5}", r"sbatch\.time: .*write `resources: \{time: …\}` in the experiment file"),
        ("sbatch: {mem: 5G}", r"sbatch\.mem: .*write `resources: \{memory: …\}`"),
        ("sbatch: {partition: x}", r"sbatch\.partition: .*a key of this file's top level"),
        ("sbatch: {nodes: 2}", r"sbatch\.nodes: .*write `resources: {nodes: …, tasks_per_node: …}`"),
        ("sbatch: {parsable: true}", r"sbatch\.parsable: .*changes how sbatch answers"),
        ('setup: ["module load a\\n#SBATCH --x"]', r"setup\[0\]: found 'module load a\\n#SBATCH --x'; line breaks"),
        ("environment: {a-b: x}", r"environment\.a-b: 'a-b' is no name of an environment variable"),
        ("environment: {1x: x}", r"'1x' is no name of an environment variable"),
        ('environment: {"A\\nB": x}', r"is no name of an environment variable"),
        ('environment: {A: "x\\ny"}', r"environment\.A: found 'x\\ny'; line breaks"),
        ("environment: {A: true}", r"environment\.A: must be text; found True, which quotation marks make text"),
        ("environment: {RUNNER_CACHE: /x}", r"environment\.RUNNER_CACHE: .*write `cache` at this file's top level"),
        ("environment: {RUNNER_REQUEUE: 1}", r"environment\.RUNNER_REQUEUE: .*set by runner itself"),
        ("python: env/bin/python", r"site\.yaml:2: python: found 'env/bin/python'; write a whole path, as /shared"),
        (
            "python: conda run -n env python",
            r"python: found 'conda run .*; what has to be done before goes under `setup`",
        ),
        ("python: $HOME/env/bin/python", r"python: found '\$HOME/env/bin/python'; write a whole path"),
        ("signal_seconds: 5", r"signal_seconds: must be 10 or more; found 5"),
        ("gpus_option: gpu", r"gpus_option: found 'gpu'\n    allowed: gpus-per-node, gres"),
    ],
)
def test_mistakes_of_a_site(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        site(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: slrum", r"c\.yaml:1: kind: found 'slrum'\n    allowed: local, slurm\n    did you mean: slurm"),
        ("partition: x", r"c\.yaml:1: kind: missing; it must be given\n    allowed: local, slurm"),
        ("kind: [slurm]", r"kind: found \['slurm'\]"),
        ("kind: local\npartition: x", r"c\.yaml:2: partition: unknown key\n    allowed: cache, environment, kind"),
        ("kind: local\nmax_parallel: 0", r"max_parallel: must be 1 or more; found 0"),
    ],
)  # fmt: skip
def test_mistakes_of_the_kind(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load(str(tmp_path / "c.yaml"), Path("e.yaml"))


def test_all_mistakes_of_a_site_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="6 mistakes"):
        site(tmp_path, "kind: slrum\nqos: [1]\nsbatch: {array: 1, A: 2}\nsetup: 5\npython: {}\n")


def test_a_missing_file_names_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "clusters").mkdir()
    (tmp_path / "clusters" / "slurm.yaml").write_text("# a site\nkind: slurm\n")
    (tmp_path / "clusters" / "other.yaml").write_text("experiment: e\n")
    expected = (
        r"there is no cluster file 'clusters/slrum\.yaml', here or in a folder above.*\n    allowed: local, "
        r"clusters/slurm\.yaml\n    did you mean: clusters/slurm\.yaml\n  next: runner init"
    )
    with pytest.raises(ConfigError, match=expected):
        load("clusters/slrum.yaml", tmp_path / "e.yaml")


@pytest.mark.parametrize("name", ["out", "arr", "wra", "err", "job-n", "part", "parsabl"])
def test_an_abbreviated_sbatch_option_is_refused_like_the_whole_one(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"sbatch\.{name}: this sbatch option cannot be given here"):
        site(tmp_path, f"sbatch: {{{name}: x}}")


def test_sbatch_options_that_others_begin_with_are_given_on(tmp_path: Path) -> None:
    assert site(tmp_path, "sbatch: {gpus: 2, mail-type: END}").sbatch == {"gpus": 2, "mail-type": "END"}

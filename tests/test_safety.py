"""What the code promises of files that others made, of names, and of secrets."""

from __future__ import annotations

import ast
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.node.provenance import shown_environment
from jobs.node.submitted import load_own
from runner.config.cluster import SlurmCluster
from runner.submit.schedulers import slurm
from runner_main import run

REPOSITORY = Path(__file__).parents[1]
CODE = [path for package in ("runner", "jobs", "models", "analysis") for path in (REPOSITORY / package).rglob("*.py")]


def calls() -> list[tuple[str, str, ast.Call]]:
    """(file, dotted name, call) of every call in our packages."""
    return [
        (path.relative_to(REPOSITORY).as_posix(), ast.unparse(node.func), node)
        for path in CODE
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    ]


PICKLING = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
UNPICKLES = {  # the only modules that open a pickle, and what they open
    "jobs/tasks/sentiment/convert.py": "what a person converts knowingly",
    "jobs/node/submitted.py": "what submitit wrote, of the account that runs",
}


def test_no_file_of_others_is_unpickled() -> None:
    for file, name, call in calls():
        words = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        last = name.rpartition(".")[2]
        if name == "torch.load":
            assert words.get("weights_only") == "True", file
        if name in ("np.load", "numpy.load") or last == "read_array":
            assert words.get("allow_pickle") == "False", file
        if last == "from_pretrained" and "AutoModel" in name:  # a folder may bring code of its own
            assert words.get("trust_remote_code") == "False", file
        assert last not in ("read_pickle", "unsafe_load", "full_load"), file
        assert name not in ("yaml.load", "os.system", "eval", "exec"), file


def test_pickle_is_imported_where_it_is_meant_alone() -> None:
    importing = set()
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            assert not (isinstance(node, ast.ImportFrom) and node.module in ("torch", "numpy") and "load" in names), (
                path
            )
            if PICKLING & {part for name in names for part in name.split(".")}:
                importing.add(path.relative_to(REPOSITORY).as_posix())
            # reached by another name: `sys.modules`, `np.lib.npyio`, `importlib.import_module("pickle")`
            assert not (isinstance(node, ast.Constant) and node.value in PICKLING), path
            assert not (isinstance(node, ast.Attribute) and node.attr in PICKLING), path
    assert importing == set(UNPICKLES)


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    """A pickle that leaves a file behind when it is opened."""

    class Trace:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "opened",)

    path = tmp_path / "1_submitted.pkl"
    path.write_bytes(pickle.dumps(Trace()))
    path.chmod(0o644)
    return path


def test_a_submission_of_this_account_is_opened(submission: Path) -> None:
    load_own(submission)
    assert (submission.parent / "opened").exists()


@pytest.mark.parametrize("how", ["of another account", "writable by the group", "a link", "a FIFO"])
def test_a_submission_that_others_could_have_written_is_not_opened(
    submission: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = submission.parent / "opened"
    if how == "of another account":
        monkeypatch.setattr(os, "geteuid", lambda: submission.stat().st_uid + 1)
    elif how == "writable by the group":
        submission.chmod(0o664)
    else:
        target = submission.rename(submission.with_name("real"))
        submission.symlink_to(target) if how == "a link" else os.mkfifo(submission)
    with pytest.raises(SystemExit, match=r"1_submitted\.pkl is not opened: "):
        load_own(submission)
    assert not opened.exists()


@pytest.mark.parametrize("count", [1, 3])
def test_a_submission_is_writable_for_us_alone_and_the_runs_keep_the_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    (tmp_path / "sbatch").write_text(f"#!/bin/sh\numask > '{tmp_path}/umask'\necho Submitted batch job 7\n")
    (tmp_path / "sbatch").chmod(0o755)
    (tmp_path / "srun").symlink_to("sbatch")  # submitit asks whether there is one
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    before = os.umask(0o002)
    try:
        slurm.send(tmp_path / "slurm", [print] * count, {"additional_parameters": {}}, SlurmCluster(kind="slurm"))
    finally:
        os.umask(before)
    pickles = list((tmp_path / "slurm").glob("*_submitted.pkl"))
    assert [path.stat().st_mode & 0o777 for path in pickles] == [0o644] * count
    assert (tmp_path / "umask").read_text() == "0002\n"
    scripts = [path.read_text() for path in (tmp_path / "slurm").glob("*.sh")]
    assert scripts
    assert all(" -P -u -m jobs.node.submitted " in text for text in scripts)


def test_no_secret_is_shown() -> None:
    environ = {
        "HF_TOKEN": "a", "RUNNER_API_KEY": "b", "SLURM_JWT": "c", "CUDA_PASSWORD": "d", "TORCH_SECRET": "e",
        "RUNNER_MIRROR": "https://someone:hidden@example.org/x", "SLURM_JOB_ID": "7", "MY_VARIABLE": "f",
    }  # fmt: skip
    shown = shown_environment(environ)
    assert shown == {"RUNNER_MIRROR": "https://…@example.org/x", "SLURM_JOB_ID": "7"}


@pytest.mark.parametrize(
    "name", ["../outside", "a/b", "/tmp/x", "-rf", ".hidden", "a b", "$(touch x)", "a;b", "", "a" * 101]
)
def test_name_that_could_leave_the_directory_or_reach_a_shell_is_refused(name: str, tmp_path: Path) -> None:
    config = tmp_path / "e.yaml"
    for content in ({"experiment": name}, {"experiment": "e", "matrix": {"named": {name: {}}}}):
        config.write_text(yaml.safe_dump(content))
        said = run("expand", config, "--root", tmp_path / "root")
        assert said.status == 2
        assert "cannot name a directory" in said.err
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("value", ["../../outside", "/etc/passwd", "a\nb", "$(touch x)", "; rm -r .", "'\"`"])
def test_value_of_an_axis_cannot_leave_the_directory_of_its_run(value: str, tmp_path: Path) -> None:
    config = tmp_path / "e.yaml"
    config.write_text(yaml.safe_dump({"experiment": "e", "matrix": {"axes": {"data.target": [value]}}}))
    from jobs.tasks.crystal.schema import CrystalParams
    from runner.config.experiment_file import load
    from runner.matrix.expansion import expand

    (planned,) = expand(load(config), CrystalParams, "train.seed").runs
    assert set(planned.run_id) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert not planned.run_id.startswith((".", "-"))

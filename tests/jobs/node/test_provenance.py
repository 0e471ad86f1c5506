"""The code a run was made with, and what of it only its owner may read."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from analysis.collect.code_version import code_version
from damaged_runs import answer
from experiment_factory import Plan, PlannedVariant, write_experiment
from jobs.node.provenance import shown_environment, write_provenance
from runner.files import read_json
from runner.masking import masked
from runner.rundir.checkout import checkouts
from runner.rundir.layout import RunDir
from runner_main import run


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A checkout with an uncommitted change that holds a token."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "code.py").write_text("a = 1\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    (folder / "code.py").write_text('a = 2\nlogin(token="hf_abcdefghijklmnopqrstuv")\n')
    return folder


def test_checkout_has_its_commit_and_uncommitted_changes(changed: Path) -> None:
    found = checkouts(changed, None)
    assert found.record["code"]["commit"] == git(changed, "rev-parse", "HEAD")
    assert "+a = 2" in found.diffs["code"]


def test_versions_of_a_run_hold_our_own(tmp_path: Path) -> None:
    write_provenance(RunDir(tmp_path))
    assert read_json(tmp_path / "provenance.json")["versions"]["array-runner"] == version("array-runner")


def test_token_in_uncommitted_changes_is_masked(changed: Path) -> None:
    assert "hf_" not in checkouts(changed, None).diffs["code"]
    assert '+login(token="…")' in checkouts(changed, None).diffs["code"]


def test_folder_inside_anothers_repository_has_no_commit(changed: Path) -> None:
    (changed / "site-packages").mkdir()
    found = checkouts(changed / "site-packages", None)
    nothing = dict.fromkeys(("commit", "changes", "digest"))
    assert found.record["code"] == {"path": str(changed / "site-packages"), **nothing}


def test_environment_and_changes_are_for_the_owner_alone(changed: Path, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_provenance(RunDir(tmp_path), changed)
    finally:
        os.umask(before)
    private, shared = tmp_path / "private.json", tmp_path / "provenance.json"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(shared.stat().st_mode) & 0o044 or os.umask(os.umask(0)) & 0o044
    assert read_json(private).keys() == {"environment", "diff"}
    assert "a = 2" in read_json(private)["diff"]["user_code"]
    assert not {"environment", "diff"} & read_json(shared).keys()
    assert read_json(shared)["user_code"].keys() == {"path", "commit", "changes", "digest"}


def test_code_of_older_provenance_with_its_changes_inside_compares_equal(changed: Path) -> None:
    new = checkouts(changed, None).record
    diff = git(changed, "diff", "HEAD")
    old = {"code": {"path": str(changed), "commit": new["code"]["commit"], "diff": diff}, "environment": {"HOME": "x"}}
    assert code_version(old) == code_version(new)
    assert "+" in str(code_version(new))


def test_summary_says_that_provenance_cannot_be_read(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, Plan([PlannedVariant("2")], seeds=(0,), crystals=4))
    (place,) = path.glob("runs/*/provenance.json")
    place.write_text("")
    status, out, _ = answer("analysis", "summarize", path, "--all", "--no-report")
    assert status == 0
    assert "provenance.json cannot be read" in " ".join(out.split())


SECRETS = {
    "--token=abcd": "--token=…", "a --api-key abcd b": "a --api-key … b", "https://x/y?token=abcd&z=1": "https://x/y?token=…&z=1",
    "https://me:pw@host/x": "https://…@host/x", "HF_TOKEN=abcd": "HF_TOKEN=…", "x hf_" + "a1" * 12: "x …",
    "ghp_" + "a1" * 18: "…", "sk-proj-" + "a1" * 12: "…", "AKIA" + "A1" * 8: "…", "Bearer abcdefgh1": "Bearer …",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc": "…", '"password": "hunter22"': '"password": "…"',
}  # fmt: skip


@pytest.mark.parametrize("text", SECRETS)
def test_value_that_looks_like_a_token_is_masked(text: str) -> None:
    assert masked(text) == SECRETS[text]
    assert shown_environment({"SLURM_EXTRA": text}) == {"SLURM_EXTRA": SECRETS[text]}


@pytest.mark.parametrize(
    "text",
    [
        "tokens: pooled", "token = next(tokens)", "max_tokens=512", "/home/kim/skills", "https://host/a@b", "task-hf_x",
        "pad_token=tokenizer.pad_token", "val_mae", "key=value", "sk-learn",
    ],
)  # fmt: skip
def test_ordinary_text_is_not_masked(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize("text", ["values.TOKEN=abcdef12", "values.x=hf_" + "a1" * 12, "values.password=abcdef12"])
def test_set_of_a_token_is_refused_and_not_repeated(text: str, tmp_path: Path) -> None:
    config = tmp_path / "e.yaml"
    config.write_text(json.dumps({"experiment": "e"}))
    done = run("submit", config, "--set", text, "--dry-run", "--root", tmp_path)
    assert done.status == 2
    assert "looks like a token" in done.err
    assert text.partition("=")[2] not in done.err


def test_set_of_an_ordinary_value_is_no_token(tmp_path: Path) -> None:
    config = tmp_path / "e.yaml"
    config.write_text(json.dumps({"experiment": "e"}))
    done = run("expand", config, "--set", "model.late_fusion.tokens=pooled", "--root", tmp_path)
    assert "looks like a token" not in done.err

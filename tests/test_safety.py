"""What the code promises of files that others made, of names, and of secrets."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

from jobs.provenance import shown_environment
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


def test_checkpoints_are_opened_with_weights_only_and_nothing_else_is_unpickled() -> None:
    for file, name, call in calls():
        words = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if name == "torch.load":
            assert words.get("weights_only") == "True", file
        if name in ("np.load", "numpy.load"):
            assert words.get("allow_pickle") == "False", file
        assert name not in ("pickle.load", "pickle.loads", "yaml.load", "yaml.unsafe_load", "os.system", "eval"), file


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
    from jobs.crystal.schema import CrystalParams
    from runner.expansion import expand
    from runner.experiment import load

    (planned,) = expand(load(config), CrystalParams, "train.seed").runs
    assert set(planned.run_id) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert not planned.run_id.startswith((".", "-"))

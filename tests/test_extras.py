"""What a task needs beyond the core is named with the command that installs it, before anything is sent."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml

from runner import extras
from runner.errors import CommandFailed
from runner_main import run

REPOSITORY = Path(__file__).parents[1]
IN_PYPI = {"jarvis": "jarvis-tools"}


def test_task_whose_packages_are_missing_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "torch" else object())
    config = tmp_path / "e.yaml"
    config.write_text(yaml.safe_dump({"experiment": "e", "task": "sentiment"}))
    ended = run("submit", config, "--root", tmp_path)
    assert ended.status == 2
    assert "this needs torch, which array-runner installs only on request" in ended.err
    assert "next: pip install 'array-runner[sentiment]'" in ended.err


def test_starters_are_written_without_the_packages_and_without_the_schemas_that_need_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "torch" else object())
    assert run("init", tmp_path).status == 0
    assert {path.name for path in (tmp_path / "schema").iterdir()} == {"command.json", "cluster.json"}
    assert not (tmp_path / "demo.yaml").read_text().startswith("# yaml-language-server")
    assert (
        (tmp_path / "train_alignn.yaml").read_text().startswith("# yaml-language-server: $schema=schema/command.json")
    )


def test_import_that_fails_names_its_extra_and_a_foreign_one_is_a_defect() -> None:
    missing = extras.extra_of(ModuleNotFoundError("x", name="transformers.models"))
    assert (missing.message, missing.next_command) == (
        "this needs transformers, which array-runner installs only on request",
        "pip install 'array-runner[crystal]'",
    )
    with pytest.raises(ModuleNotFoundError, match="ours"):
        extras.extra_of(ModuleNotFoundError("ours", name="runner.gone"))


def test_extras_of_the_package_hold_what_their_tasks_ask_for() -> None:
    settings = ConfigParser()
    settings.read(REPOSITORY / "setup.cfg")
    core = settings["options"]["install_requires"]
    for extra, packages in extras.EXTRAS.items():
        for package in packages:
            name = IN_PYPI.get(package, package)
            assert f"\n{name}>=" in settings["options.extras_require"][extra]
            assert f"\n{name}>=" not in core


@pytest.mark.torch
def test_nothing_missing_is_no_error() -> None:
    extras.require("crystal")
    with pytest.raises(CommandFailed, match="this needs a, b"):
        raise extras.missing_extra("crystal", ["a", "b"])

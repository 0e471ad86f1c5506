"""The parameters of the crystal task: what fits together, and which changes rename no run."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from jobs.crystal.schema import CrystalParams
from runner.commands.loading import Loaded, load, refuse_missing
from runner.errors import ConfigError

ROOT = Path(__file__).parent.parent


def write(folder: Path, *lines: str) -> Path:
    path = folder / "x.yaml"
    path.write_text("\n".join(["experiment: x", *lines]) + "\n")
    return path


def loaded(folder: Path, *lines: str) -> Loaded:
    return load(write(folder, *lines), folder)


def test_runs_of_the_demo_keep_their_names() -> None:
    runs = load(ROOT / "configs" / "demo.yaml", Path("runs")).expansion.runs
    names = {run.run_id for run in runs}
    assert {"layers-1-s0-0d40b882", "layers-2-s0-4fedca2e", "graph-only-s0-45f81df0"} <= names


def test_classes_make_another_run(tmp_path: Path) -> None:
    plain = loaded(tmp_path, "params: {data: {target: band_gap}}").expansion.runs[0]
    classes = loaded(
        tmp_path, "params: {data: {target: band_gap, classify: {threshold: 0.5}}, train: {loss: bce}}"
    ).expansion.runs[0]
    assert plain.digest != classes.digest
    assert classes.params["data"]["classify"] == {"threshold": 0.5}


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"train": {"loss": "bce"}}, r"train\.loss: bce needs data\.classify"),
        ({"data": {"classify": {"threshold": 1}}}, r"train\.loss: l1 does not fit the classes.*\n.*allowed: bce"),
        (
            {"train": {"contrastive_weight": 0.1, "micro_batch": 8}},
            r"train\.micro_batch: the contrastive loss compares all crystals of a batch.*\n.*allowed: null",
        ),
        (
            {"train": {"micro_batch": 8}, "model": {"encoder": {"name": "alignn", "norm": "batch"}}},
            r"train\.micro_batch: BatchNorm averages over a batch.*\n.*allowed: null",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path: Path, sections: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        loaded(tmp_path, f"params: {sections}")
    with pytest.raises(ValidationError, match="misfit"):
        CrystalParams.model_validate(sections)


def test_missing_encoder_is_said_at_submit_and_leaves_prepare_alone(tmp_path: Path) -> None:
    its = loaded(tmp_path, "params: {text: {encoder: nobody/nothing}, model: {late_fusion: {name: concat}}}")
    wanted = r"x\.yaml:2: params\.text\.encoder: text encoder 'nobody/nothing' is not on this machine"
    with pytest.raises(ConfigError, match=wanted) as raised:
        refuse_missing(its, its.expansion.runs)
    assert raised.value.next_command == f"runner prepare {tmp_path / 'x.yaml'}"


def test_encoder_that_only_the_contrastive_loss_reads_is_missed(tmp_path: Path) -> None:
    lines = ["params: {text: {encoder: nobody/nothing}}", "matrix: {axes: {train.contrastive_weight: [0, 0.1]}}"]
    its = loaded(tmp_path, *lines)
    with pytest.raises(ConfigError, match=r"1 mistake.*\n.*'nobody/nothing' is not on this machine"):
        refuse_missing(its, its.expansion.runs)


def test_encoder_that_nobody_reads_is_not_missed(tmp_path: Path) -> None:
    its = loaded(tmp_path, "params: {text: {encoder: nobody/nothing}}")
    refuse_missing(its, its.expansion.runs)


def test_describer_that_is_not_installed_is_missed_where_texts_must_be_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "robocrys" else find_spec(name))
    line = "params: {data: {dataset: %s}, text: {describe: robocrys}, model: {late_fusion: {name: concat}}}"
    its = loaded(tmp_path, line % "mp6k")
    wanted = r"text\.describe: mp6k has no robocrys descriptions, and the package .*\n.*allowed: jarvis; or: pip"
    with pytest.raises(ConfigError, match=wanted):
        refuse_missing(its, its.expansion.runs)
    its = loaded(tmp_path, line % "jarvis_minerals")
    refuse_missing(its, its.expansion.runs)

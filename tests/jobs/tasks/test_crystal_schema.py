"""The parameters of the crystal task: what fits together, and which changes rename no run."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from jobs.content_cache import content_key
from jobs.tasks.crystal.schema import CrystalParams
from runner.commands.loading import Loaded, load, refuse_bad_data, refuse_missing
from runner.errors import ConfigError

ROOT = Path(__file__).parents[3]


def write(folder: Path, *lines: str) -> Path:
    path = folder / "x.yaml"
    path.write_text("\n".join(["experiment: x", *lines]) + "\n")
    return path


def loaded(folder: Path, *lines: str) -> Loaded:
    return load(write(folder, *lines), folder)


def test_runs_of_the_demo_keep_their_names() -> None:
    runs = load(ROOT / "configs" / "demo.yaml", Path("runs")).expansion.runs
    names = {run.run_id for run in runs}
    assert {"layers-1-s0-5d135d69", "layers-2-s0-f5986a49", "graph-only-s0-f6843746"} <= names


@pytest.mark.parametrize(
    ("config", "first", "together"),
    [
        ("stage1", "layers-1-s0-ea5eb194", "5eb5c697fe1d68e8"),
        ("fusion_study", "graph-only-s0-f6843746", "b3b2148a417372f8"),
    ],
)
def test_runs_of_the_shipped_experiments_keep_their_names(config: str, first: str, together: str) -> None:
    names = [run.run_id for run in load(ROOT / "configs" / f"{config}.yaml", Path("runs")).expansion.runs]
    assert names[0] == first
    assert content_key(names) == together


def test_runs_of_before_keep_their_names_where_gradients_are_clipped_as_they_were(tmp_path: Path) -> None:
    content = yaml.safe_load((ROOT / "configs" / "fusion_study.yaml").read_text())
    content["params"]["train"]["gradient_clip"] = 1.0
    path = tmp_path / "fusion_study.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    names = [run.run_id for run in load(path, tmp_path).expansion.runs]
    assert content_key(names) == "388300b27d55eac9"


RADIUS = {"strategy": "radius"}


@pytest.mark.parametrize(
    ("graph", "same"),
    [
        ({"cutoff": 6.0}, {}),
        ({"cutoff": None}, {"cutoff": 8.0}),
        ({"strategy": "nearest", "cutoff": 6.0}, {"strategy": "nearest"}),
        ({"strategy": "undirected", "cutoff": 6.0}, {"strategy": "undirected"}),
        (RADIUS, RADIUS | {"cutoff": 5.0}),
        (RADIUS, RADIUS | {"max_neighbors": 3}),
    ],
)
def test_what_cannot_change_a_graph_makes_no_other_run(
    tmp_path: Path, graph: dict[str, Any], same: dict[str, Any]
) -> None:
    one, other = (loaded(tmp_path, f"params: {json.dumps({'graph': its})}").expansion.runs for its in (graph, same))
    assert one[0].run_id == other[0].run_id


@pytest.mark.parametrize(
    ("graph", "other"),
    [({}, {"max_neighbors": 8}), (RADIUS, RADIUS | {"cutoff": 8.0}), ({}, {"angle_cutoff": 3.0})],
)
def test_what_changes_a_graph_makes_another_run(tmp_path: Path, graph: dict[str, Any], other: dict[str, Any]) -> None:
    runs = [loaded(tmp_path, f"params: {json.dumps({'graph': its})}").expansion.runs for its in (graph, other)]
    assert runs[0][0].run_id != runs[1][0].run_id


def test_a_wrong_cutoff_is_refused_for_every_strategy(tmp_path: Path) -> None:
    for strategy in ("shell", "radius"):
        with pytest.raises(ConfigError, match=r"graph\.cutoff: must be more than 0; found -1"):
            loaded(tmp_path, f"params: {{graph: {{strategy: {strategy}, cutoff: -1}}}}")


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


def test_a_cell_without_volume_is_said_at_submit_with_what_to_do(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("RUNNER_CACHE", str(tmp_path / "cache"))
    flat = {"lattice_mat": [[1, 0, 0]] * 3, "elements": ["Na"], "coords": [[0, 0, 0]]}
    (tmp_path / "t.json").write_text(json.dumps([{"id": f"a{n}", "structure": flat, "gap": n} for n in range(9)]))
    its = loaded(tmp_path, f"params: {{data: {{dataset: {tmp_path}/t.json, target: gap, split: random}}}}")
    wanted = r"x\.yaml:2: params\.data\.dataset: crystal 'a0' in .*t\.json: the cell has a volume of 0"
    with pytest.raises(ConfigError, match=wanted) as raised:
        refuse_bad_data(its, its.expansion.runs)
    assert raised.value.next_command == f"after fixing the data: runner submit {tmp_path / 'x.yaml'} --dry-run"


@pytest.mark.torch
def test_missing_encoder_is_said_at_submit_and_leaves_prepare_alone(tmp_path: Path) -> None:
    its = loaded(tmp_path, "params: {text: {encoder: nobody/nothing}, model: {late_fusion: {name: concat}}}")
    wanted = r"x\.yaml:2: params\.text\.encoder: text encoder 'nobody/nothing' is not on this machine"
    with pytest.raises(ConfigError, match=wanted) as raised:
        refuse_missing(its, its.expansion.runs)
    assert raised.value.next_command == f"runner prepare {tmp_path / 'x.yaml'}"


@pytest.mark.torch
def test_encoder_that_only_the_contrastive_loss_reads_is_missed(tmp_path: Path) -> None:
    lines = ["params: {text: {encoder: nobody/nothing}}", "matrix: {axes: {train.contrastive_weight: [0, 0.1]}}"]
    its = loaded(tmp_path, *lines)
    with pytest.raises(ConfigError, match=r"1 mistake.*\n.*'nobody/nothing' is not on this machine"):
        refuse_missing(its, its.expansion.runs)


def test_encoder_that_nobody_reads_is_not_missed(tmp_path: Path) -> None:
    its = loaded(tmp_path, "params: {text: {encoder: nobody/nothing}}")
    refuse_missing(its, its.expansion.runs)


@pytest.mark.torch
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

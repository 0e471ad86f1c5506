"""Runs of the crystal task: their order, what makes one another run, and how a person names one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.tasks.crystal.schema import CrystalParams
from runner.config.experiment_file import load
from runner.errors import UserError
from runner.matrix.expansion import Expansion, Run, expand
from runner.rundir.planned import PlannedRun
from runner.submit.run_selection import choose_run, filter_runs, runs_named

LAYERS = "model.middle_fusion.layers"


def expansion(folder: Path, matrix: dict[str, Any], **params: Any) -> Expansion:
    path = folder / "e.yaml"
    model = {"middle_fusion": {"name": "dynamic"}, **params.pop("model", {})}
    content = {"experiment": "e", "params": {"model": model, **params}, "matrix": matrix}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return expand(load(path), CrystalParams, "train.seed")


def test_order_is_product_then_zip_then_include_then_named(tmp_path: Path) -> None:
    found = expansion(
        tmp_path,
        {
            "axes": {LAYERS: [[1], [2]]},
            "zip": [{"train.epochs": [5, 6], "train.batch_size": [8, 16]}],
            "exclude": [{LAYERS: [2], "train.epochs": 6}],
            "include": [{LAYERS: [3]}],
            "named": {"graph_only": {"model.middle_fusion": {"name": "none"}}},
        },
    )
    assert found.variants == [
        "layers=1 epochs=5 batch_size=8",
        "layers=1 epochs=6 batch_size=16",
        "layers=2 epochs=5 batch_size=8",
        "layers=3",
        "graph_only",
    ]


@pytest.mark.parametrize(
    "change", [{"train.epochs": 21}, {"data.seed": 1}, {"text.pooling": "cls"}, {"graph.max_neighbors": 8}]
)
def test_every_effective_parameter_makes_another_run(tmp_path: Path, change: dict[str, Any]) -> None:
    before = expansion(tmp_path, {"named": {"x": {}}}).runs[0].digest
    assert expansion(tmp_path, {"named": {"x": change}}).runs[0].digest != before


def test_text_does_not_name_a_run_that_reads_none(tmp_path: Path) -> None:
    none = {"middle_fusion": {"name": "none"}}
    first = expansion(tmp_path, {}, model=none, text={"encoder": "minilm"}).runs[0]
    assert expansion(tmp_path, {}, model=none, text={"encoder": "another"}).runs[0].run_id == first.run_id


def test_resources_do_not_rename_runs(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    ids = []
    for resources in ({"gpus": 1}, {"gpus": 0, "memory": "4G"}):
        path.write_text(yaml.safe_dump({"experiment": "e", "resources": resources}))
        ids.append(expand(load(path), CrystalParams, "train.seed").runs[0].run_id)
    assert ids[0] == ids[1]


def test_run_ids_are_safe_and_short(tmp_path: Path) -> None:
    values = ["../../etc", "a b;c", "ünïcode", "x" * 500]
    for run in expansion(tmp_path, {"axes": {"text.encoder": values}}).runs:
        assert set(run.run_id) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")
        assert not run.run_id.startswith(".")
        assert len(run.run_id) < 120


def four(tmp_path: Path) -> list[Run]:
    return expansion(tmp_path, {"axes": {LAYERS: [[1], [2, 3]]}, "seeds": [0, 1]}).runs


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("2,3@1", [4]), ("layers=1@0", [1]), ("middle_fusion.layers=1@0", [1]), (":3", [3]), ("layers-1-s1-", [2]),
        ("1", [1, 2]), ("2,3", [3, 4]), ("layers=[2,3]", [3, 4]), ("@1", [2, 4]), ("layers=2*", [3, 4]),
        ("*-s1-*", [2, 4]), ("*@0", [1, 3]), ("4", []), ("#3", []), (":9", []), ("@", []), ("", []), ("ayers=1", []),
    ],
)  # fmt: skip
def test_one_syntax_names_runs(tmp_path: Path, name: str, rows: list[int]) -> None:
    assert [run.number for run in runs_named(four(tmp_path), name)] == rows


@pytest.mark.parametrize(
    ("name", "rows"),
    [("0.1", [1, 2]), ("learning_rate=1e-1", [1, 2]), ("epochs=1 learning_rate=0.1", [1]), ("1 0.2", [3]),
     ("1", [1, 3]), ("0.1 2", [2]), ("rate=0.1", [])],
)  # fmt: skip
def test_runs_are_named_by_some_of_their_axis_values(tmp_path: Path, name: str, rows: list[int]) -> None:
    runs = expansion(tmp_path, {"axes": {"train.learning_rate": [0.1, 0.2], "train.epochs": [1, 2]}}).runs
    assert [run.number for run in runs_named(runs, name)] == rows


def test_whole_id_and_start_of_an_id_name_one_run(tmp_path: Path) -> None:
    runs = four(tmp_path)
    assert choose_run(runs, runs[1].run_id) is runs[1]
    assert choose_run(runs, runs[2].run_id[:-2]) is runs[2]


def test_ambiguous_and_unknown_runs_are_refused(tmp_path: Path) -> None:
    runs = four(tmp_path)
    with pytest.raises(UserError, match=r"'2,3' means 2 runs(.|\n)*2,3@0"):
        choose_run(runs, "2,3")
    with pytest.raises(
        UserError, match=r"no run 'layer=1' among 4\n    allowed: an id or its .*\n    did you mean: layers=1"
    ):
        choose_run(runs, "layer=1")
    with pytest.raises(UserError, match=r"'layers-2' is the start of 2 runs: .*; write 'layers-2\*' for all of them"):
        filter_runs(runs, ["layers-2"])


def test_several_names_choose_together(tmp_path: Path) -> None:
    runs = four(tmp_path)
    assert filter_runs(runs, ["2,3@1", ":1", "layers=1@0"]) == [runs[0], runs[3]]


def test_ten_thousand_runs_are_distinct(tmp_path: Path) -> None:
    axes = {"train.learning_rate": [i / 1e4 for i in range(1, 101)], "train.epochs": list(range(1, 101))}
    runs = expansion(tmp_path, {"axes": axes}).runs
    assert len({run.run_id for run in runs}) == len(runs) == 10_000
    assert json.dumps(runs[0].params)


def test_the_name_of_a_variant_means_all_its_seeds_although_their_ids_begin_with_it() -> None:
    runs = [PlannedRun(f"narrow-s{seed}-0", "narrow", seed, number=seed) for seed in (0, 1)]
    assert filter_runs(runs, ["narrow"]) == runs

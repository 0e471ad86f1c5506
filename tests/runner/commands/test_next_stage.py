"""The file of a next stage, made of its template and what was promoted: the stages that ship."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.rank.summary import summarize
from experiment_factory import Plan, PlannedVariant, write_experiment
from runner.commands import next_stage, promote
from runner.commands.loading import load
from runner.config import yaml_source
from runner.errors import UserError
from tiny_search import runner, stage

ROOT = Path(__file__).parents[3]
LAYERS = "model.middle_fusion.layers"
PROMOTED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("layers=2", {LAYERS: [2]}, {"experiment": "stage1", "rank": 1}),
    ("layers=2,3", {LAYERS: [2, 3]}, {"experiment": "stage1", "rank": 2}),
    ("graph_only", {"model.middle_fusion": {"name": "none"}}, {"experiment": "stage1", "rank": 3}),
]


def following(name: str) -> tuple[dict[str, Any], list[str]]:
    return next_stage.content(yaml_source.read(ROOT / "configs" / f"{name}.yaml"), PROMOTED)


def test_stage_two_is_at_most_24_variants_that_are_all_valid_and_say_where_they_come_from(tmp_path: Path) -> None:
    content, left_out = following("stage2")
    assert len(content["matrix"]["named"]) == 22  # seven a variant, and the baseline
    assert left_out == [
        "graph_only has no model.middle_fusion.dropout: left out",
        "graph_only has no model.middle_fusion.hidden_dim: left out",
    ]
    assert content["promoted"].keys() == content["matrix"]["named"].keys() - {"graph_only"}
    first = next(name for name in content["promoted"] if name.startswith("layers-2--"))
    assert content["promoted"][first] == PROMOTED[0][2]
    assert len(content["matrix"]["named"][first]) == 5  # its layers, and the four that were drawn
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump({**content, "cluster": "local"}))
    its = load(path, tmp_path).expansion
    assert (len(its.runs), its.baseline) == (22, "graph_only")


def test_stage_three_takes_the_promoted_variants_as_they_are_five_times(tmp_path: Path) -> None:
    content, _ = following("stage3")
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump({**content, "cluster": "local"}))
    its = load(path, tmp_path).expansion
    assert its.variants == ["graph_only", "layers-2", "layers-2-3"]
    assert len(its.runs) == 15


def test_the_stages_that_ship_lead_to_each_other() -> None:
    chain = [load(ROOT / "configs" / f"stage{n}.yaml", Path("runs")).experiment for n in (1, 2, 3)]
    assert [its.next.config if its.next else None for its in chain] == [
        "configs/stage2.yaml",
        "configs/stage3.yaml",
        None,
    ]


def test_warm_start_that_is_promoted_becomes_the_checkpoint_of_the_best_seed(tmp_path: Path) -> None:
    first = stage(tmp_path, "one", matrix={"axes": {"train.epochs": [1, 2]}, "seeds": [0, 1]})
    stage(tmp_path, "two", params={"train": {"warm_start": "promoted"}}, matrix={"seeds": [0]})
    assert runner("submit", first, "--wait", root=tmp_path).returncode == 0
    done = runner("promote", "one", "--next", tmp_path / "two.yaml", "--top", "1", root=tmp_path)
    assert done.returncode == 0, done.stderr
    written = yaml.safe_load((tmp_path / "two" / "experiment.yaml").read_text())
    (point,) = written["matrix"]["named"].values()
    results = {path: float(yaml.safe_load(path.read_text())["metrics"]["val_loss"])
               for path in (tmp_path / "one" / "runs").glob("epochs-1-*/result.json")}  # fmt: skip
    best = min(results, key=lambda path: results[path])
    assert Path(point["train.warm_start"]) == best.parent / "best.pt"
    assert written["promoted"]["epochs-1"]["checkpoint"] == point["train.warm_start"]


def test_warm_start_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    source = yaml_source.parse("experiment: two\nparams: {train: {warm_start: promoted}}", tmp_path / "two.yaml")
    source.path.write_text(source.text)
    with pytest.raises(UserError, match=r"layers=2 has no best.pt to start from, as train.warm_start"):
        next_stage.content(source, PROMOTED)


@pytest.mark.parametrize("top", ["0", "-1"])
def test_promoting_fewer_than_one_variant_is_refused(tmp_path: Path, top: str) -> None:
    done = runner("promote", "one", "--top", top, root=tmp_path)
    assert done.returncode == 2
    assert "Invalid value for '--top': " in done.stderr


def test_as_many_as_top_are_promoted_by_rank_whatever_the_choice(tmp_path: Path) -> None:
    variants = [PlannedVariant(name, error=0.1 * n, layers=(n,)) for n, name in enumerate("abcd", 1)]
    waiting = PlannedVariant("waits", layers=(5,), states={0: "queued", 1: "queued", 2: "queued"})
    summary = summarize(write_experiment(tmp_path, Plan([*variants, waiting])), cache=False)
    for top in (1, 4, 9):
        promoted = promote._promoted(summary, top)
        assert [item.variant for item in promoted] == ["a", "b", "c", "d"][:top]
        assert promoted[0].origin["rank"] == 1

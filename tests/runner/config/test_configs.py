"""Every experiment file that ships: it says its question, is checked, and trains."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from jobs.context import RunContext
from jobs.tasks.crystal.data.sources import load as load_data
from jobs.tasks.crystal.task import CrystalTask
from runner.commands.loading import Loaded, load, refuse_missing
from runner.config import cluster
from runner.errors import ConfigError
from runner.rundir.layout import RunDir

torch.set_num_threads(1)
ROOT = Path(__file__).parents[3]
CONFIGS = sorted(
    path for path in (ROOT / "configs").glob("*.yaml") if "\nadopt:\n" not in path.read_text(encoding="utf-8")
)  # those that adopt: tests/runner/commands/test_adopt.py
CRYSTAL = [path for path in CONFIGS if "\ntask: crystal\n" in path.read_text(encoding="utf-8")]
TINY = [
    "data.train=24", "data.val=16", "data.test=16", "text.max_length=24", "matrix.seeds=[0]",
    "train.epochs=2", "train.batch_size=8",
    "model.encoder={name: alignn, alignn_layers: 4, gcn_layers: 1, embedding: 8, hidden: 16}",
]  # fmt: skip
INSTEAD_OF_DOWNLOADS = {
    # gates: the warm-up of a run that has six steps
    "gates": ["matrix.named.warmup={model.late_fusion: {name: gated_cross_attention, gate_warmup: 3}}"],
    "full_fusion": ["model.encoder.gcn_layers=4"],
    "stage1_mbj": ["data.dataset=jarvis_minerals", "text.describe=robocrys"],
    # search_mbj: drawn points alone, of the axes that choose fusions
    "search_mbj": [
        "data.dataset=jarvis_minerals",
        "text.describe=robocrys",
        "search=null",
        "matrix.random.count=4",
        "train.warmup_steps=1",
        "matrix.random.axes={model.middle_fusion.name: {choice: [none, improved, dynamic]}, "
        "model.middle_fusion.layers: {choice: [[1], [2, 4]]}, model.middle_fusion.gate_norm: {choice: [false, true]}, "
        "model.late_fusion.name: {choice: [gated, cross_attention]}, model.late_fusion.num_heads: {choice: [2, 8]}}",
    ],
    "text_encoders": [
        "matrix.axes={text.encoder: [minilm], text.pooling: [cls, mean], text.describe: [jarvis, robocrys]}"
    ],
}


def read(path: Path, *overrides: str) -> Loaded:
    return load(path, Path("runs"), overrides)


def table(folder: Path) -> Path:
    """A table as hse_improved.yaml asks for."""
    path = folder / "hse_bandgap.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "structure", "hse_bandgap", "description"])
        for its in load_data("jarvis_minerals", "optb88vdw_bandgap").crystals[:200]:
            structure = {
                "lattice_mat": its.lattice.tolist(), "coords": its.fractional.tolist(), "elements": its.symbols,
            }  # fmt: skip
            gap = its.targets["optb88vdw_bandgap"]
            writer.writerow([its.material_id, json.dumps(structure), gap, its.texts["robocrys"]])
    return path


def supplied(path: Path, folder: Path) -> list[str]:
    """What a person has to supply before the file can be checked."""
    more = {"hse_improved": [], "crysmmnet": ["data.target=hse_bandgap", "text.encoder=minilm"]}.get(path.stem)
    return [] if more is None else [f"data.dataset={table(folder)}", *more]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_file_names_itself_and_its_question_and_its_cluster_file_is_valid(path: Path, tmp_path: Path) -> None:
    comment = path.read_text(encoding="utf-8").split("\nexperiment:")[0]
    assert comment.startswith("# ")
    its = read(path, *supplied(path, tmp_path))
    assert its.experiment.experiment == path.stem
    assert its.experiment.description
    assert its.expansion.baseline in its.expansion.variants
    assert its.expansion.shared == []  # no variant is there twice
    cluster.load(its.experiment.cluster, path)


def test_missing_table_is_said_with_what_is_allowed() -> None:
    with pytest.raises(
        ConfigError, match=r"no data set, folder or file 'hse_bandgap\.csv'.*\n.*allowed: mp6k,.*a table"
    ):
        read(ROOT / "configs" / "hse_improved.yaml")


def test_encoder_that_must_be_downloaded_is_named_with_the_command() -> None:
    its = read(ROOT / "configs" / "text_encoders.yaml", "matrix.axes={text.encoder: [minilm, nobody/nothing]}")
    with pytest.raises(ConfigError, match=r"'nobody/nothing' is not on this machine.*\n  next: runner prepare .*yaml"):
        refuse_missing(its, its.expansion.runs)
    refuse_missing(its, [run for run in its.expansion.runs if "minilm" in run.variant])


def train(its: Loaded, folder: Path, cache: Path) -> dict[str, dict[str, Any]]:
    """Variant → what its run reported."""
    found = {}
    for run in its.expansion.runs:
        params = CrystalTask.Params.model_validate(run.params)
        context = RunContext(RunDir(folder / run.run_id), cache_root=cache)
        context.directory.path.mkdir()
        outcome = CrystalTask().run(params, context)
        assert all(math.isfinite(value) for value in outcome.metrics.values()), run.variant
        late = ["late"] if params.model.late_fusion.name != "none" else []
        fused = [str(layer) for its in params.model.middle_fusions for layer in getattr(its, "layers", ())]
        assert sorted(outcome.fusion) == sorted(fused + late), run.variant
        found[run.variant] = outcome.metrics
    return found


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
@pytest.mark.parametrize("path", CRYSTAL, ids=lambda path: path.stem)
def test_every_variant_trains(path: Path, tmp_path: Path, cache: Path) -> None:
    its = read(path, *TINY, *supplied(path, tmp_path), *INSTEAD_OF_DOWNLOADS.get(path.stem, []))
    found = train(its, tmp_path, cache)
    assert set(found) == set(its.expansion.variants)
    assert all(its.experiment.select.metric in metrics for metrics in found.values())

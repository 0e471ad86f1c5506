"""Alpha of each atom and channel: expanded from the quotient, written, summarised, drawn."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from jobs.tasks.crystal.tools.alpha import alpha
from runner.errors import UserError
from runner.rundir.layout import ExperimentDir
from trained_experiment import DYNAMIC, MIDDLE, train

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> ExperimentDir:
    models = {
        "middle": {"middle_fusion": MIDDLE},
        "dynamic": {"middle_fusion": DYNAMIC, "late_fusion": {"name": "simplified_gated", "hidden_dim": 8}},
        "concat": {"late_fusion": {"name": "concat"}},
        "graph_only": {},
    }
    return train(tmp_path_factory.mktemp("root") / "small", cache, models)


def test_expanded_gates_are_those_of_the_whole_graph(experiment: ExperimentDir, cache: Path, tmp_path: Path) -> None:
    run = experiment.run("middle-s0-00000000")
    whole = type(run)(Path(shutil.copytree(run.path, tmp_path / "whole")))
    config = yaml.safe_load(whole.config.read_text())
    config["params"]["graph"]["quotient"] = False
    whole.config.write_text(yaml.safe_dump(config))
    for merged, full in zip(alpha(run, cache), alpha(whole, cache), strict=True):
        assert (merged.layer, merged.material_ids, merged.atoms) == (full.layer, full.material_ids, full.atoms)
        assert len(merged.atoms) > 8
        np.testing.assert_allclose(merged.values, full.values, atol=2e-5)


def test_csv_has_a_line_for_every_atom_and_channel(experiment: ExperimentDir, analysis, cache: Path) -> None:
    run = experiment.run("middle-s0-00000000")
    status, out, err = analysis("alpha", run.path, "--samples", "3", "--format", "json")
    assert (status, len(json.loads(out))) == (0, 2)
    rows = list(csv.DictReader(run.alpha.open()))
    assert list(rows[0]) == ["material_id", "layer", "atom", "channel", "alpha"]
    (first, second) = json.loads(out)
    assert len(rows) == 16 * (first["atoms"] + second["atoms"])
    values = np.array([float(row["alpha"]) for row in rows if row["layer"] == "1"])
    assert values.mean() == pytest.approx(first["mean"], abs=1e-6)
    for name, start in (("histogram.png", b"\x89PNG"), ("by_layer.pdf", b"%PDF")):
        assert run.figure(f"alpha_{name}").read_bytes().startswith(start)
        assert f"alpha_{name}" in err


def test_late_gates_are_of_crystals_and_weights_stand_in_for_alpha(experiment: ExperimentDir, cache: Path) -> None:
    dynamic, late = alpha(experiment.run("dynamic-s0-00000000"), cache, samples=5)
    assert (dynamic.layer, late.layer) == ("2", "late")
    assert dynamic.values.shape[1] == late.values.shape[1] == 1
    assert late.atoms == [None] * 5
    assert len(late.material_ids) == 5


@pytest.mark.parametrize(("variant", "why"), [("graph_only", "no gate"), ("concat", r"none and concat.* has a gate")])
def test_a_model_without_gates_is_refused(experiment: ExperimentDir, cache: Path, variant: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        alpha(experiment.run(f"{variant}-s0-00000000"), cache)


def test_the_test_split_is_no_choice(experiment: ExperimentDir, refused) -> None:
    assert "'test' is not one of" in refused(2, "alpha", experiment.run("middle-s0-00000000").path, "--split", "test")

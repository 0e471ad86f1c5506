import csv
import io
import json

import pytest

from experiment_factory import Plan, PlannedVariant, write_experiment
from runner.rundir.layout import ExperimentDir

FUSED = PlannedVariant("2,3", layers=(2, 3), weights=(0.8, 0.1), layer_values={"text_scale": 12.5, "node_scale": 1.1})


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_weights_has_a_row_for_every_layer_and_epoch(tmp_path, analysis):
    path = write_experiment(tmp_path, Plan([FUSED, PlannedVariant("none", layers=())], epochs=12))
    rows = rows_of(analysis("weights", path, "--format", "csv")[1])
    assert [(row["layer"], row["epoch"]) for row in rows] == [(layer, str(e)) for layer in "23" for e in range(1, 13)]
    assert {(row["ratio"], row["band"]) for row in rows} == {("18.0", "text ignored")}
    assert (ExperimentDir(path).figures / "ratio.svg").exists()


def test_the_table_shows_a_few_epochs(tmp_path, analysis):
    out = analysis("weights", write_experiment(tmp_path, Plan([FUSED], seeds=[0])))[1]
    assert len(out.splitlines()) == 1 + 2 * 5


def test_scale_follows_both_scales(tmp_path, analysis):
    path = write_experiment(tmp_path, Plan([FUSED], seeds=[0]))
    rows = json.loads(analysis("scale", path, "--format", "json")[1])
    assert {(row["text_scale"], row["node_scale"]) for row in rows} == {(12.5, 1.1)}
    assert (ExperimentDir(path).figures / "node_scale.svg").exists()


def test_one_variant_or_run_can_be_asked_for(tmp_path, analysis):
    path = write_experiment(tmp_path, Plan([FUSED, PlannedVariant("2")], seeds=[0]))
    rows = rows_of(analysis("weights", path, "-v", "2-s0", "--format", "csv")[1])
    assert {row["variant"] for row in rows} == {"2-s0-00000001"}


def test_an_experiment_without_scales_is_said(tmp_path, refused):
    path = write_experiment(tmp_path, Plan([PlannedVariant("2")], seeds=[0]))
    assert "error: no run of stage1 has logged scales of a fusion yet" in refused(1, "scale", path)


def test_an_unknown_variant_names_the_nearest(tmp_path, refused):
    path = write_experiment(tmp_path, Plan([PlannedVariant("graph_only")], seeds=[0]))
    assert "did you mean: graph_only" in refused(2, "weights", path, "-v", "graph-onli")


@pytest.mark.parametrize("command", ["weights", "scale"])
def test_the_directory_of_a_run_means_that_run(tmp_path, analysis, command):
    path = write_experiment(tmp_path, Plan([FUSED, PlannedVariant("2")], seeds=[0, 1]))
    run = next((path / "runs").glob("2?3-s1-*"))
    rows = rows_of(analysis(command, run, "--format", "csv")[1])
    assert {row["variant"] for row in rows} == {run.name}

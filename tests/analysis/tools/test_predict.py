"""Predictions for new structures, and rescaled checkpoints."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import torch

from jobs.tasks.crystal.data import sources
from jobs.tasks.crystal.tools.load_run import open_run
from jobs.tasks.crystal.tools.prediction import predict, read_structures
from jobs.tasks.crystal.tools.rescaling import rescale
from runner.errors import CommandFailed, UserError
from runner.rundir.layout import ExperimentDir, RunDir
from trained_experiment import DYNAMIC, MIDDLE, train

torch.set_num_threads(1)
ROCK_SALT = """\
MgO
1.0
 4.2 0.0 0.0
 0.0 4.2 0.0
 0.0 0.0 4.2
Mg O
4 4
Direct
0 0 0
0 .5 .5
.5 0 .5
.5 .5 0
.5 .5 .5
.5 0 0
0 .5 0
0 0 .5
"""


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> ExperimentDir:
    models = {
        "middle": {"middle_fusion": MIDDLE},
        "dynamic": {"middle_fusion": DYNAMIC},
        "late": {"late_fusion": {"name": "gated"}},
        "graph_only": {},
    }
    return train(tmp_path_factory.mktemp("root") / "small", cache, models)


def run_of(experiment: ExperimentDir, variant: str) -> RunDir:
    return experiment.run(f"{variant}-s0-00000000")


def table_of(run: RunDir, cache: Path, path: Path) -> dict[str, float]:
    """Write the run's test crystals as a table of structures and texts; their predictions by the run itself."""
    rows = [row for row in csv.DictReader(run.predictions.open()) if row["split"] == "test"]
    data = sources.load("jarvis_minerals", "formation_energy_peratom", cache)
    by_id = {its.material_id: its for its in data.crystals}
    crystals = [by_id[row["id"]] for row in rows]
    path.write_text(
        json.dumps(
            [
                {
                    "id": its.material_id,
                    "atoms": {
                        "lattice_mat": its.lattice.tolist(),
                        "coords": its.fractional.tolist(),
                        "elements": its.symbols,
                        "cartesian": False,
                    },
                    "robocrys": its.texts["robocrys"],
                }
                for its in crystals
            ]
        )
    )
    return {row["id"]: float(row["prediction"]) for row in rows}


@pytest.mark.parametrize("variant", ["middle", "graph_only"])
def test_known_crystals_given_as_new_get_the_predictions_of_the_run(experiment, cache, tmp_path, variant) -> None:
    run = run_of(experiment, variant)
    expected = table_of(run, cache, tmp_path / "new.json")
    found = predict(run, read_structures([tmp_path / "new.json"]), cache)
    assert {its.material_id: its.prediction for its in found} == pytest.approx(expected, rel=1e-5)


def test_files_and_folders_are_read_and_the_rest_is_said(experiment, analysis, tmp_path) -> None:
    folder = tmp_path / "Kristalle ä"
    folder.mkdir()
    (folder / "POSCAR-MgO").write_text(ROCK_SALT)
    (folder / "broken.cif").write_text("data_x\n_cell_length_a oops\n")
    (folder / "flat.vasp").write_text(ROCK_SALT.replace("4.2", "0.0"))
    (folder / "twice.vasp").write_text(ROCK_SALT.replace("0 .5 .5", "0 0 0", 1))
    (tmp_path / "salt.vasp").write_text(ROCK_SALT.replace("4.2", "4.3"))
    run = run_of(experiment, "graph_only").path
    target = tmp_path / "out" / "predictions.csv"
    status, out, err = analysis(
        "predict", run, folder, tmp_path / "salt.vasp", tmp_path / "absent", "--to", target, "--format", "csv"
    )
    assert status == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(row["id"], row["formula"]) for row in rows] == [("POSCAR-MgO", "MgO"), ("salt", "MgO")]
    assert target.read_text() == out
    assert "absent: there is no such file or folder" in err
    assert "broken.cif: crystal 'broken'" in err
    assert "twice: " in err
    assert "flat.vasp: crystal 'flat'" in err


def test_a_bad_row_leaves_the_other_rows_of_a_table_or_folder(tmp_path) -> None:
    rows = [{"id": "good", "poscar": ROCK_SALT}, {"id": "flat", "poscar": ROCK_SALT.replace("4.2", "0.0")}]
    (tmp_path / "t.json").write_text(json.dumps(rows))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "id_prop.csv").write_text("a,1\nb,2\nnowhere,3\n")
    (folder / "a.vasp").write_text(ROCK_SALT)
    (folder / "b.vasp").write_text(ROCK_SALT.replace("4.2", "0.0"))
    read = read_structures([tmp_path / "t.json", folder])
    assert [it.material_id for it in read.crystals] == ["good", "a"]
    assert [place.rpartition("/")[2] for place in read.unread] == [
        "t.json, flat", "id_prop.csv:2, b", "id_prop.csv:3, nowhere",
    ]  # fmt: skip


def test_no_structure_at_all_is_an_error_that_names_them(experiment, refused, tmp_path) -> None:
    (tmp_path / "x.cif").write_text("")
    err = refused(2, "predict", run_of(experiment, "graph_only").path, tmp_path / "x.cif")
    assert "none of the structures could be read" in err
    assert "x.cif" in err


def test_a_run_that_is_not_completed_does_not_predict(experiment, cache, tmp_path) -> None:
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    run.config.write_text(run_of(experiment, "graph_only").config.read_text())
    with pytest.raises(CommandFailed, match="is not completed: only its result tells the scale"):
        predict(run, read_structures([]), cache)


@pytest.mark.parametrize(
    ("variant", "quantity", "names"),
    [
        ("middle", "scaled_u_norm", "middle_fusions.1.text_scale"),
        ("dynamic", "u_norm", "middle_fusions.2.text.second.weight"),
    ],
)
def test_rescaled_checkpoint_has_a_text_of_that_size(experiment, cache, tmp_path, variant, quantity, names) -> None:
    run = run_of(experiment, variant)
    layer = "1" if variant == "middle" else "2"
    assert names in rescale(run.best_checkpoint, 3.0, tmp_path / "new.pt")
    before, after = (
        open_run(run, cache, weights=weights).validate().fusion[layer]
        for weights in (run.best_checkpoint, tmp_path / "new.pt")
    )
    assert after[quantity] == pytest.approx(3 * before[quantity], rel=1e-4)
    assert after["h_norm"] == pytest.approx(before["h_norm"], rel=1e-5)


def test_late_fusion_is_rescaled_where_its_text_leaves_the_head(experiment, tmp_path) -> None:
    names = rescale(run_of(experiment, "late").best_checkpoint, 0.5, tmp_path / "new.pt")
    assert names == ["text_head.norm.weight", "text_head.norm.bias"]


def test_rescale_overwrites_nothing_and_changes_no_graph_model(experiment, tmp_path, analysis) -> None:
    best = run_of(experiment, "middle").best_checkpoint
    assert analysis("rescale", best, "--factor", "2", "--to", tmp_path / "new.pt")[1].strip() == str(
        tmp_path / "new.pt"
    )
    kept = (tmp_path / "new.pt").read_bytes()
    status, _, err = analysis("rescale", best, "--factor", "3", "--to", tmp_path / "new.pt")
    assert (status, (tmp_path / "new.pt").read_bytes()) == (1, kept)
    assert "nothing is overwritten" in err
    with pytest.raises(UserError, match="its model projects no text"):
        rescale(run_of(experiment, "graph_only").best_checkpoint, 2.0, tmp_path / "other.pt")
    with pytest.raises(CommandFailed, match="there is no checkpoint"):
        rescale(tmp_path / "absent.pt", 2.0, tmp_path / "other.pt")

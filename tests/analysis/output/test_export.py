import json
import zipfile

import pandas as pd
import pytest

from experiment_factory import Plan, PlannedVariant, write_experiment

NAME = "AI-SinglePropertyPrediction-formation_energy_peratom-dft_3d-test-mae"


@pytest.fixture
def path(tmp_path):
    variants = [PlannedVariant("2", 0.1, seed_shifts={1: -0.02}), PlannedVariant("3", 0.3)]
    found = write_experiment(tmp_path, Plan(variants, crystals=5))
    manifest = json.loads((found / "manifest.json").read_text())
    for run in manifest["runs"]:
        run["params"]["data"] = {"dataset": "dft_3d", "target": "formation_energy_peratom"}
    (found / "manifest.json").write_text(json.dumps(manifest))
    return found


@pytest.mark.parametrize(("kind", "read"), [("csv", pd.read_csv), ("parquet", pd.read_parquet)])
def test_all_predictions_of_the_choice(path, analysis, kind, read):
    out = analysis("export", path, "--to", kind)[1]
    frame = read(out.strip())
    assert list(frame) == ["variant", "run_id", "seed", "split", "id", "target", "prediction"]
    assert len(frame) == 3 * 2 * 5
    assert set(frame["variant"].astype(str)) == {"2"}


def test_a_leaderboard_contribution_is_the_best_run_by_validation(path, analysis, tmp_path):
    out = analysis("export", path, "--to", "leaderboard", "-o", tmp_path / "x")[1]
    assert out.strip() == str(tmp_path / "x" / f"{NAME}.csv.zip")
    with zipfile.ZipFile(out.strip()) as archive, archive.open(f"{NAME}.csv") as file:
        found = pd.read_csv(file)
    assert list(found) == ["id", "prediction"]
    best = pd.read_csv(next(path.glob("runs/2-s1-*/predictions.csv"))).query("split == 'test'")
    assert found["prediction"].to_list() == pytest.approx(best["prediction"].to_list())
    assert found["id"].to_list() == best["id"].to_list()


def test_a_task_without_a_data_set_has_no_place_on_the_leaderboard(tmp_path, refused):
    path = write_experiment(tmp_path, Plan([PlannedVariant("2")], seeds=[0]))
    assert "needs data.dataset and data.target" in refused(2, "export", path, "--to", "leaderboard")


def test_nothing_to_export_is_said(tmp_path, refused):
    path = write_experiment(tmp_path, Plan([PlannedVariant("2", states={0: "new"})], seeds=[0]))
    assert " has completed: nothing to choose" in refused(1, "export", path)

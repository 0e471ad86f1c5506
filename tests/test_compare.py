import json

import numpy as np
import pytest
from scipy import stats

from analysis_command import analysis_command
from experiment_factory import Plan, PlannedVariant, write_experiment


@pytest.fixture
def analysis(monkeypatch, capsys):
    return analysis_command(monkeypatch, capsys)


@pytest.fixture
def path(tmp_path):
    variants = [PlannedVariant("good", 0.05), PlannedVariant("bad", 0.2)]
    return write_experiment(tmp_path, Plan(variants, crystal_noise=0.02))


def predictions_of(path, name):
    """(S, C) predictions and (C,) targets of the validation split, read with NumPy."""
    files = sorted(path.glob(f"runs/{name}-*/predictions.csv"))
    tables = [np.genfromtxt(file, delimiter=",", names=True, dtype=None, encoding="utf-8") for file in files]
    tables = [table[table["split"] == "val"] for table in tables]
    return np.array([table["prediction"] for table in tables]), tables[0]["target"]


def test_compare_agrees_with_numpy_and_scipy(path, analysis):
    found = json.loads(analysis("compare", "good", "bad", "-e", path, "--format", "json")[1])
    (good, target), (bad, _) = predictions_of(path, "good"), predictions_of(path, "bad")
    assert (found["crystals"], found["seeds"]) == (50, 3)
    assert found["mae"] == pytest.approx([np.abs(good - target).mean(), np.abs(bad - target).mean()])
    assert found["rmse"] == pytest.approx([((good - target) ** 2).mean() ** 0.5, ((bad - target) ** 2).mean() ** 0.5])
    assert found["agreement"] == pytest.approx(stats.pearsonr(good.mean(0), bad.mean(0)).statistic)
    assert found["interval"]["high"] < 0
    worst = np.argmax(np.abs(good.mean(0) - bad.mean(0)))
    assert found["disagreements"][0]["target"] == pytest.approx(target[worst])


def test_compare_says_it_in_words(path, analysis):
    out = analysis("compare", "good", "bad", "-e", path)[1]
    assert "val split: 50 crystals, 3 paired seeds" in out
    assert "beyond the noise" in out
    assert "A errs less on 100% of the crystals" in out


def test_two_seeds_of_one_variant_can_be_compared(path, analysis):
    status, out, _ = analysis("compare", "good-s0", "good-s1", "-e", path)
    assert status == 0
    assert "1 paired seed" in out


def test_a_variant_without_predictions_is_said(path, analysis):
    for file in path.glob("runs/bad-*/predictions.csv"):
        file.unlink()
    status, _, err = analysis("compare", "good", "bad", "-e", path)
    assert status == 1
    assert "error: bad has no predictions of the val split yet" in err


def test_variants_on_other_crystals_cannot_be_compared(path, analysis):
    for file in path.glob("runs/bad-*/predictions.csv"):
        file.write_text(file.read_text().replace("val-", "other-"))
    status, _, err = analysis("compare", "good", "bad", "-e", path)
    assert status == 1
    assert "good and bad share 0 crystals" in err


def test_an_ambiguous_start_of_a_run_is_refused(path, analysis):
    status, _, err = analysis("compare", "goo", "bad", "-e", path)
    assert status == 2
    assert "'goo' is the start of 3 runs" in err

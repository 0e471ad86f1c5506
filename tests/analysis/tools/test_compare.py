import json

import numpy as np
import pytest
from scipy import stats

from experiment_factory import Plan, PlannedVariant, write_experiment


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
    assert "val split: 50 items, 3 paired seeds" in out
    assert "beyond the noise" in out
    assert "A errs less on 100% of the items" in out


def test_fused_layers_of_two_variants_are_shown(tmp_path, analysis):
    variants = [PlannedVariant(name, weights=weights) for name, weights in (("a", (0.8, 0.1)), ("b", (0.5, 0.5)))]
    path = write_experiment(tmp_path, Plan(variants, crystal_noise=0.02))
    first, *_ = json.loads(analysis("compare", "a", "b", "-e", path, "--format", "json")[1])["fusion"]
    assert first == {"layer": "2", "quantity": "ratio", "first": pytest.approx(18), "second": pytest.approx(3)}


def test_two_seeds_of_one_variant_can_be_compared(path, printed):
    assert "1 paired seed" in printed("compare", "good-s0", "good-s1", "-e", path)


def test_a_variant_without_predictions_is_said(path, refused):
    for file in path.glob("runs/bad-*/predictions.csv"):
        file.unlink()
    assert "bad has no predictions.csv of the val split yet" in refused(1, "compare", "good", "bad", "-e", path)


def test_variants_on_other_crystals_cannot_be_compared(path, refused):
    for file in path.glob("runs/bad-*/predictions.csv"):
        file.write_text(file.read_text().replace("val-", "other-"))
    assert "good and bad share 0 items" in refused(1, "compare", "good", "bad", "-e", path)


def test_an_ambiguous_start_of_a_run_is_refused(path, refused):
    assert "'goo' is the start of 3 runs" in refused(2, "compare", "goo", "bad", "-e", path)


@pytest.mark.parametrize(
    ("word", "shown"),
    [(":1", "good-s0-"), ("good@1", "good-s1-"), ("good*", "good"), ("good-s2*", "good-s2-")],
)
def test_runs_are_named_as_everywhere(path, printed, word, shown):
    assert f"A = {shown}" in printed("compare", word, "bad", "-e", path)


def test_runs_of_several_variants_are_refused(path, refused):
    err = refused(2, "compare", "@1", "bad", "-e", path)
    assert "'@1' means runs of " in err
    assert "; name one" in err


def test_experiments_are_compared_by_their_choices(tmp_path, printed):
    for name, error in (("one", 0.05), ("two", 0.2)):
        write_experiment(tmp_path, Plan([PlannedVariant("v", error)], name=name, crystal_noise=0.02))
    out = printed("compare", "one", tmp_path / "two", "--root", tmp_path)
    assert "A = one: v\nB = two: v\nval split: 50 items, 3 paired seeds" in out
    assert "beyond the noise" in out


def test_a_run_of_one_experiment_with_a_variant_of_another(tmp_path, path, printed):
    other = write_experiment(tmp_path, Plan([PlannedVariant("v", 0.1)], name="other"))
    run = sorted((other / "runs").iterdir())[0]
    assert f"A = {run.name}\nB = good\nval split: 50 items, 1 paired seed" in printed(
        "compare", run, "good", "-e", path
    )


def test_experiments_on_other_targets_cannot_be_compared(tmp_path, refused):
    paths = [write_experiment(tmp_path, Plan([PlannedVariant("v")], name=name)) for name in ("one", "two")]
    for file in paths[1].glob("runs/*/predictions.csv"):
        header, *rows = (line.split(",") for line in file.read_text().splitlines())
        moved = [[*row[:2], str(float(row[2]) + 1), row[3]] for row in rows]
        file.write_text("\n".join(",".join(row) for row in [header, *moved]) + "\n")
    assert "one: v and two: v were trained on different targets" in refused(1, "compare", *paths)


def test_an_experiment_without_a_choice_is_said(tmp_path, path, refused):
    waiting = Plan([PlannedVariant("v", states=dict.fromkeys(range(3), "new"))], name="waiting")
    assert "no run of waiting has completed, so there is no choice to compare" in refused(
        1, "compare", write_experiment(tmp_path, waiting), path
    )


def test_a_checkpoint_outside_a_run_is_refused(tmp_path, path, refused, analysis):
    (tmp_path / "new.pt").write_bytes(b"")
    assert "lies in no run directory" in refused(2, "compare", tmp_path / "new.pt", "good", "-e", path)
    assert "there is no checkpoint" in analysis("compare", tmp_path / "gone.pt", "good", "-e", path)[2]

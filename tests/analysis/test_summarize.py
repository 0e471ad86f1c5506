import csv
import io
import json
import os
import shutil

import pytest

from analysis.rank.summary import summarize
from analysis_command import analysis_command
from experiment_factory import NOW, Plan, PlannedVariant, write_experiment
from runner.rundir.layout import ExperimentDir


@pytest.fixture
def analysis(monkeypatch, capsys):
    run = analysis_command(monkeypatch, capsys)
    return lambda *arguments: run(*arguments, "--all", "--no-report")  # report and short form have their own tests


def summary_of(tmp_path, *variants, **plan):
    return summarize(write_experiment(tmp_path, Plan(variants, **plan)), now=NOW)


SIMPLE = PlannedVariant("2", error=0.100)
LEADER = PlannedVariant("2,3", error=0.097, layers=(2, 3))


def test_a_leader_within_5_percent_of_a_simpler_healthy_variant_loses_to_it(tmp_path):
    summary = summary_of(tmp_path, SIMPLE, LEADER)
    assert [variant.name for variant in summary.variants] == ["2,3", "2"]
    assert summary.choice.variant == "2"
    assert "within 5 % of the best" in summary.choice.reason


def test_a_leader_beyond_5_percent_wins_although_its_lead_is_inside_the_noise(tmp_path):
    variants = [PlannedVariant("2", 0.5, seed_shifts={0: -0.1, 2: 0.1}), PlannedVariant("2,3", 0.45, layers=(2, 3))]
    summary = summary_of(tmp_path, *variants, crystal_noise=0.02, manifest={"baseline": "2"})
    interval = summary.baseline[0].interval
    assert interval.low <= 0 <= interval.high
    assert summary.choice.variant == "2,3"
    assert not summary.ties["2"].tied


@pytest.mark.parametrize("unhealthy", [(0.95, 0.05), (0.3, 0.7)])
def test_an_unhealthy_ratio_is_left_out_of_a_tie(tmp_path, unhealthy):
    summary = summary_of(tmp_path, PlannedVariant("2", weights=unhealthy), LEADER)
    assert summary.choice.variant == "2,3"
    assert list(summary.choice.excluded) == ["2"]


def test_one_unhealthy_layer_among_several_counts(tmp_path):
    path = write_experiment(tmp_path, Plan([SIMPLE, LEADER]))
    for result in path.glob("runs/2,3*/result.json"):
        content = json.loads(result.read_text())
        content["fusion"]["3"] |= {"w_graph": 0.95, "w_text": 0.05, "contribution_ratio": 39.0}
        result.write_text(json.dumps(content))
    summary = summarize(path, now=NOW)
    leader = summary.variant("2,3")
    assert [finding.layer for finding in leader.blocking] == ["3"]
    assert leader.judged(summary.collection.manifest.thresholds)["band"] == "text ignored"


def test_a_better_test_metric_never_changes_the_choice(tmp_path):
    plain = summary_of(tmp_path / "a", SIMPLE, LEADER, PlannedVariant("3", error=0.3, layers=(3,)))
    lucky = PlannedVariant("3", error=0.3, layers=(3,), test_error=1e-4)
    changed = summary_of(tmp_path / "b", SIMPLE, LEADER, lucky)
    assert changed.variant("3").test.mean < 0.001
    assert changed.choice == plain.choice
    assert changed.promoted == plain.promoted
    assert [variant.name for variant in changed.variants] == [variant.name for variant in plain.variants]


def test_failed_and_incomplete_variants_are_listed_never_dropped(tmp_path):
    lucky = PlannedVariant("1", error=0.01, states={1: "failed", 2: "running"})
    lost = PlannedVariant("4", states={0: "lost", 1: "lost", 2: "lost"})
    summary = summary_of(tmp_path, SIMPLE, lucky, lost)
    assert {variant.name: (variant.rank, variant.state) for variant in summary.variants} == {
        "2": (1, "completed"),
        "1": (None, "incomplete"),
        "4": (None, "lost"),
    }
    assert [variant.name for variant in summary.variants] == ["2", "1", "4"]  # the best number alone is no rank
    assert summary.choice.variant == "2"
    assert len(summary.unfinished) == 5


def test_without_a_complete_variant_the_choice_is_provisional(tmp_path):
    summary = summary_of(tmp_path, PlannedVariant("1", error=0.1, states={1: "running"}))
    assert summary.provisional
    assert summary.choice.variant == "1"


def test_the_baseline_comparison_has_an_interval(tmp_path):
    better = PlannedVariant("3", error=0.05, layers=(3,))
    summary = summary_of(tmp_path, SIMPLE, better, crystal_noise=0.01, manifest={"baseline": "2"})
    (found,) = summary.baseline
    assert found.relative == pytest.approx(-0.5, abs=0.05)
    assert found.low < found.relative < found.high < 0
    assert "beyond the noise" in found.sentence


def test_many_comparisons_with_the_baseline_are_corrected(tmp_path):
    others = [PlannedVariant(f"v{number}", error=0.1) for number in range(8)]
    one = PlannedVariant("one", error=0.0915)
    plan = {"crystal_noise": 0.02, "manifest": {"baseline": "2"}}
    alone = summary_of(tmp_path / "a", SIMPLE, one, **plan).baseline[0]
    assert alone.adjusted == pytest.approx(alone.interval.p)
    (of_many,) = [
        item for item in summary_of(tmp_path / "b", SIMPLE, one, *others, **plan).baseline if item.variant == "one"
    ]
    assert of_many.comparisons == 9
    assert of_many.adjusted == pytest.approx(9 * of_many.interval.p)


def test_the_smallest_visible_effect_is_shown(tmp_path, analysis):
    path = write_experiment(tmp_path, Plan([SIMPLE, LEADER], crystal_noise=0.02, manifest={"baseline": "2"}))
    (compared,) = summarize(path, now=NOW).baseline
    half = 100 * (compared.high - compared.low) / 2
    assert f"smallest visible effect: {half:.1f} %" in analysis("summarize", path)[1]


def test_without_a_baseline_the_smallest_visible_effect_is_against_the_best(tmp_path):
    summary = summary_of(tmp_path, SIMPLE, LEADER, crystal_noise=0.02)
    assert (summary.visible_effect > 0, summary.baseline) == (True, ())


def without_predictions(tmp_path, **plan):
    variants = [SIMPLE, PlannedVariant("3", error=0.2)]
    path = write_experiment(tmp_path, Plan(variants, manifest={"baseline": "2"}, **plan))
    for file in path.glob("runs/*/predictions.csv"):
        file.unlink()
    return summarize(path, now=NOW)


def test_without_predictions_the_seeds_alone_are_paired(tmp_path):
    (compared,) = without_predictions(tmp_path, seed_noise=0.001).baseline
    assert compared.interval.method == "paired over 3 seeds"


def test_one_seed_without_predictions_has_nothing_to_pair(tmp_path):
    summary = without_predictions(tmp_path, seeds=[0])
    assert "share no seed and no items" in summary.baseline[0].sentence
    assert "Seed noise unknown" in summary.choice.reason


def test_a_late_fusion_counts_as_one_more_place(tmp_path):
    summary = summary_of(tmp_path, PlannedVariant("2+gated", error=0.097, late="gated"), SIMPLE)
    assert summary.variant("2+gated").fused_layers == 2
    assert summary.choice.variant == "2"


def test_blocking_findings_of_few_seeds_are_warnings(tmp_path):
    path = write_experiment(tmp_path, Plan([SIMPLE]))
    first = next(iter(sorted(path.glob("runs/*"))))
    history = (first / "metrics.jsonl").read_text().replace('"train_loss": 0.', '"train_loss": NaN, "x": 0.', 1)
    (first / "metrics.jsonl").write_text(history)
    (finding,) = summarize(path, now=NOW).variant("2").findings
    assert (finding.level, finding.rule) == ("warning", "non_finite")
    assert "(1 of 3 seeds)" in finding.message


def test_weak_and_alike_variants_are_said_for_all_together(tmp_path):
    summary = summary_of(tmp_path, PlannedVariant("1", error=0.7), PlannedVariant("2", error=0.7))
    assert [finding.rule for finding in summary.findings] == ["all_alike", "all_weak"]


def test_the_logged_error_of_the_mean_counts_before_that_of_the_validation_targets(tmp_path):
    variants = [PlannedVariant(name, 0.3, metrics={"val_mae_of_mean": 0.4}) for name in ("1", "2")]
    assert summary_of(tmp_path, *variants).findings[1].value == pytest.approx(0.75)


def test_promotion_goes_by_rank_and_moves_no_blocked_variant_down(tmp_path):
    variants = [SIMPLE, LEADER, PlannedVariant("3", error=0.2, weights=(0.95, 0.05)), PlannedVariant("1", error=0.3)]
    summary = summary_of(tmp_path / "a", *variants)
    assert summary.promoted == ("2,3", "2", "3")
    assert summary.variant("3").health == "blocking"
    top = {"next": {"config": "x.yaml", "top": 1}}
    assert summary_of(tmp_path / "b", *variants, manifest=top).promoted == ("2,3",)


def test_the_csv_has_the_columns_of_the_contract_and_quotes_lists(tmp_path, analysis):
    path = write_experiment(
        tmp_path, Plan([SIMPLE, LEADER, PlannedVariant("4", states={0: "new", 1: "new", 2: "new"})])
    )
    status, out, _ = analysis("summarize", path, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert status == 0
    assert list(rows[0]) == [
        "rank", "variant", "model.middle_fusion.layers", "state", "seeds", "val_mae_mean", "val_mae_std",
        "test_mae_mean", "test_mae_std", "final_w_graph", "final_w_text", "ratio", "band", "health", "parameters",
        "seconds", "gpu_minutes", "contribution_ratio", "reliance", "flags", "difference", "difference_low",
        "difference_high",
    ]  # fmt: skip
    assert [row["model.middle_fusion.layers"] for row in rows] == ["[2, 3]", "[2]", "[2]"]
    assert [row["rank"] for row in rows] == ["1", "2", ""]
    assert float(rows[0]["val_mae_mean"]) == pytest.approx(0.097)
    assert '"[2, 3]"' in out
    assert ExperimentDir(path).summary_csv.read_text() == out


def test_the_table_is_readable_at_100_columns_without_colours_in_a_pipe(tmp_path, analysis):
    path = write_experiment(tmp_path, Plan([SIMPLE, LEADER, PlannedVariant("4", states={1: "failed"})]))
    status, out, err = analysis("summarize", path)
    assert status == 0
    assert "\x1b" not in out
    assert all(len(line) <= 100 for line in out.splitlines() if not line.startswith("  $ "))
    names = "GPU minutes, parameters, band, final_w_graph, final_w_text, contribution_ratio, layers"
    assert f"left out at 100 columns: {names} (all are in results_summary.csv)" in " ".join(out.split())
    assert "gpu_out_of_memory" in out
    assert "Take 2 (val_mae 0.1" in out
    assert f"$ runner resubmit {path}" in out
    assert "wrote" in err


@pytest.mark.parametrize(
    ("plan", "texts"),
    [
        # a run directory cannot hold the slash, so this run stays without files
        (Plan([PlannedVariant("[red]x[/red]")], seeds=[0]), ["[red]x[/red]"]),  # brackets are no markup
        (
            Plan([SIMPLE], seeds=[0]),
            ["There is only one variant, so nothing was compared.", "Seed noise unknown"],
        ),
        (Plan([]), ["the manifest names no run"]),
        (
            Plan([SIMPLE], manifest={"select": {"metric": "val_rmse"}}),
            ["No run has completed with val_rmse", "completed without the metric"],
        ),
        (Plan([SIMPLE], manifest={"baseline": "7"}), ["the baseline '7' is not a variant of this experiment"]),
    ],
)
def test_what_is_special_of_an_experiment_is_said(tmp_path, printed, plan, texts):
    out = printed("summarize", write_experiment(tmp_path, plan))
    assert [text for text in texts if text not in out] == []


@pytest.mark.parametrize("width", [40, 60, 100, 200])
def test_every_width_keeps_rank_variant_metric_and_health(tmp_path, analysis, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    out = analysis("summarize", write_experiment(tmp_path, Plan([SIMPLE, LEADER])))[1]
    assert all(title in out.splitlines()[1] for title in ("#", "variant", "val_mae", "health"))


def test_markdown_names_the_choice_and_the_commands(tmp_path, analysis):
    path = write_experiment(tmp_path, Plan([SIMPLE, LEADER], manifest={"next": {"config": "configs/stage2.yaml"}}))
    analysis("summarize", path)
    text = ExperimentDir(path).summary_markdown.read_text()
    assert "| 1 | 2,3 | [2, 3] |" in text
    assert "## Choice\n\n- Take 2 " in text
    assert f"- write the next stage: `runner promote {path}`" in text


def test_json_is_complete(tmp_path, analysis):
    path = write_experiment(tmp_path, Plan([SIMPLE, PlannedVariant("3", error=0.2, states={0: "failed"})]))
    content = json.loads(analysis("summarize", path, "--format", "json")[1])
    assert content["choice"]["variant"] == "2"
    assert content["states"] == {"completed": 5, "failed": 1}
    assert content["unfinished"][0]["kind"] == "gpu_out_of_memory"
    assert [variant["seeds"] for variant in content["variants"]] == [
        {"planned": 3, "scored": 3},
        {"planned": 3, "scored": 2},
    ]


def test_no_run_has_started(tmp_path, printed):
    path = write_experiment(tmp_path, Plan([PlannedVariant("2", states={0: "new"})], seeds=[0]))
    shutil.rmtree(path / "runs")
    out = printed("summarize", path)
    assert "nothing to choose from yet" in out
    assert "no run has started" in out


def test_variants_with_unequal_axes(tmp_path, analysis):
    other = PlannedVariant("graph_only", layers=(), weights=None, axes={"model.middle_fusion": {"name": "none"}})
    path = write_experiment(tmp_path, Plan([SIMPLE, other], seeds=[0]))
    rows = list(csv.DictReader(io.StringIO(analysis("summarize", path, "--format", "csv")[1])))
    cells = {row["variant"]: (row["model.middle_fusion.layers"], row["model.middle_fusion"]) for row in rows}
    assert cells == {"2": ("[2]", ""), "graph_only": ("", '{"name": "none"}')}


def test_an_unwritable_directory_still_prints_and_exits_1(tmp_path, analysis):
    path = write_experiment(tmp_path, Plan([SIMPLE]))
    (path / "analysis").write_text("not a directory")
    status, out, err = analysis("summarize", path)
    assert status == 1
    assert "Take 2" in out
    assert "error: cannot write" in err


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("stag1", ["there are: stage1", "did you mean: stage1"]),
        ("x" * 300, ["cannot name a directory"]),
        ("no_yaml.yaml", ["YAML"]),
        ("no_name.yaml", ["the name of the experiment"]),
    ],
)
def test_a_name_that_means_no_experiment_is_said(tmp_path, refused, monkeypatch, name, texts):
    monkeypatch.chdir(tmp_path)
    write_experiment(tmp_path, Plan([SIMPLE]))
    (tmp_path / "no_yaml.yaml").write_text("a: [")
    (tmp_path / "no_name.yaml").write_text("params: {}")
    err = refused(2, "summarize", name, "--root", tmp_path)
    assert [text for text in texts if text not in err] == []


def test_a_config_file_names_its_experiment(tmp_path, printed):
    write_experiment(tmp_path / "runs", Plan([SIMPLE]))
    config = tmp_path / "stage1.yaml"
    config.write_text("experiment: stage1\nparams: {}\n")
    assert printed("summarize", config, "--root", tmp_path / "runs").startswith("stage1:")


def test_the_most_recently_submitted_is_the_default(tmp_path, analysis, monkeypatch):
    for number, name in enumerate(["newer", "older"]):
        path = write_experiment(tmp_path, Plan([SIMPLE], name=name))
        log = ExperimentDir(path).submission_log
        log.write_text("{}\n")
        os.utime(log, (NOW - number, NOW - number))
    monkeypatch.setenv("RUNNER_ROOT", str(tmp_path))
    assert analysis("summarize")[1].startswith("newer:")


def test_an_empty_root_is_said(tmp_path, refused):
    assert "nothing was submitted there" in refused(1, "summarize", "--root", tmp_path)


@pytest.mark.parametrize(
    ("good", "expected"), [(0.2, "test_mae 0.1: good (at most 0.2)"), (0.05, "not reached: good 0.05, acceptable 0.06")]
)
def test_the_users_own_goal_is_shown_and_never_chosen_by(tmp_path, analysis, good, expected):
    plan = Plan([SIMPLE], manifest={"target_mae": {"good": good, "acceptable": good + 0.01}})
    path = write_experiment(tmp_path, plan)
    out = analysis("summarize", path)[1]
    assert expected in out
    assert "shown, not used for choosing" in ExperimentDir(path).summary_markdown.read_text()
    without = analysis("summarize", write_experiment(tmp_path, Plan([SIMPLE], name="other")), "--format", "json")[1]
    assert json.loads(analysis("summarize", path, "--format", "json")[1])["choice"] == json.loads(without)["choice"]

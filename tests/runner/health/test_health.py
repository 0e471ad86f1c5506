import subprocess
import sys
from dataclasses import replace

import pytest

from runner.errors import ConfigError
from runner.health.findings import DISAGREE, merged, number, worst
from runner.health.fusion import band, gate_findings, ratio_findings, text_scale_findings, weight_ratio
from runner.health.judgement import (
    Ending,
    Logs,
    finished_findings,
    fusion_findings,
    late_gates,
    live_findings,
    warm_epochs,
)
from runner.health.settings import settings_of
from runner.health.streams import change_findings, reliance_findings
from runner.health.thresholds import DEFAULT, Thresholds, overridden
from runner.health.training import (
    alike_findings,
    non_finite_findings,
    plateau_findings,
    rise,
    spike_findings,
    weak_findings,
)


def rules(findings):
    return {finding.rule: finding.level for finding in findings}


def of(layer="2", **options):
    """Settings of a run whose middle fusion has these options."""
    params = {"model": {"middle_fusion": {"name": "dynamic", **options}}, "train": {"learning_rate": 1e-3}}
    return settings_of(params, layer)


def test_equal_weights_give_the_lower_border_which_is_healthy():
    assert weight_ratio({"w_graph": 0.5, "w_text": 0.5, "ratio": 3.0}) == 3
    assert ratio_findings({"w_graph": 0.5, "w_text": 0.5, "ratio": 3.0, "contribution_ratio": 1.0}, DEFAULT) == []


def test_weights_without_a_ratio_are_of_another_formula_and_not_judged():
    assert ratio_findings({"w_graph": 0.99, "w_text": 0.01}, DEFAULT) == []


@pytest.mark.parametrize(
    ("ratio", "sizes", "expected"),
    [
        (2.99, 2.99, {"ratio_low": "blocking"}),
        (2.99, 3.0, {"ratio_low": "info"}),
        (2.99, 20.0, {"ratio_low": "info"}),
        (2.99, None, {"ratio_low": "warning"}),
        (3.0, 2.99, {}),
        (10.0, 11.0, {}),
        (10.01, 10.0, {"ratio_high": "info"}),
        (10.01, 1.0, {"ratio_high": "info"}),
        (10.01, 10.01, {"ratio_high": "blocking"}),
        (10.01, None, {"ratio_high": "warning"}),
    ],
)
def test_a_ratio_blocks_only_where_weights_and_sizes_agree(ratio, sizes, expected):
    values = {"ratio": ratio} | ({} if sizes is None else {"contribution_ratio": sizes})
    assert rules(ratio_findings(values, DEFAULT)) == expected


def test_a_ratio_that_the_sizes_contradict_shows_both_numbers_and_advises_nothing():
    (finding,) = ratio_findings({"ratio": 2.7, "contribution_ratio": 20.0}, DEFAULT)
    assert "ratio 2.7 is below 3), but by size the graph term is 20 times the text term" in finding.message
    assert finding.advice == ""


def test_a_judged_contribution_is_called_by_its_name():
    (finding,) = ratio_findings({"contribution_ratio": 20.0}, replace(DEFAULT, contribution_bands=True))
    assert (finding.level, finding.message) == ("blocking", "the text is ignored: contribution ratio 20 is above 10")


@pytest.mark.parametrize(("ratio", "suspect"), [(1.99, True), (2.0, False), (20.0, False), (20.1, True)])
def test_an_extreme_ratio_suspects_the_descriptions(ratio, suspect):
    assert ("check the descriptions first" in ratio_findings({"ratio": ratio}, DEFAULT)[0].advice) == suspect


@pytest.mark.parametrize(
    ("ratio", "name"),
    [
        (2.9, "text-heavy"),
        (3.0, "leaning to graph"),
        (4.0, "graph-dominant"),
        (6.0, "strongly graph"),
        (10.0, "strongly graph"),
        (10.1, "text ignored"),
    ],
)
def test_bands(ratio, name):
    assert band(ratio, DEFAULT) == name


def test_contributions_are_judged_only_where_a_config_says_so():
    values = {"contribution_ratio": 50.0}
    assert ratio_findings(values, DEFAULT) == []
    assert rules(ratio_findings(values, Thresholds(contribution_bands=True))) == {"ratio_high": "blocking"}


LAYER_RULES = [  # layer, values beyond a border, rule, level, values on it
    ("2", {"text_scale": 50.1}, "text_scale_exploding", "blocking", {"text_scale": 50}),
    ("2", {"text_scale": -60}, "text_scale_exploding", "blocking", {"text_scale": -50}),
    ("2", {"text_scale": 0.09}, "text_scale_collapsed", "blocking", {"text_scale": 0.1}),
    ("2", {"text_scale": -0.09}, "text_scale_collapsed", "blocking", {"text_scale": -0.1}),
    ("late", {"gate_mean": 0.29}, "gate_suppressed", "warning", {"gate_mean": 0.3}),
    ("late", {"gate_mean": 0.91}, "gate_saturated", "warning", {"gate_mean": 0.9}),
    ("late", {"quality": 0.49}, "gate_quality", "warning", {"quality": 0.5}),
    ("2", {"gate_std": 0.03, "gate_min": 0.0, "gate_max": 0.12}, "alpha_flat", "warning",
     {"gate_std": 0.031, "gate_min": 0.0, "gate_max": 0.12}),
    ("2", {"gate_std": 0.03, "gate_min": 0.0, "gate_max": 0.12}, "alpha_flat", "warning",
     {"gate_std": 0.03, "gate_min": 0.0, "gate_max": 0.121}),
    ("2", {"gate_std": 0.06, "gate_min": 0.0, "gate_max": 0.2}, "alpha_expressive", "info",
     {"gate_std": 0.059, "gate_min": 0.0, "gate_max": 0.2}),
    ("2", {"gate_std": 0.06, "gate_min": 0.0, "gate_max": 0.2}, "alpha_expressive", "info",
     {"gate_std": 0.06, "gate_min": 0.0, "gate_max": 0.19}),
    ("2", {"gate_share_below_0.1": 0.3, "gate_share_above_0.9": 0.21}, "alpha_extreme", "warning",
     {"gate_share_below_0.1": 0.25, "gate_share_above_0.9": 0.25}),
    ("2", {"norm_ratio": 12.6}, "norm_ratio", "info", {"norm_ratio": 1.2}),
    ("2", {"norm_ratio": 0.89}, "norm_ratio", "info", {"norm_ratio": 0.9}),
    ("2", {"t_norm": 1.26}, "t_norm", "info", {"t_norm": 1.25}),
    ("2", {"t_norm": 0.99}, "t_norm", "info", {"t_norm": 1.0}),
    ("2", {"u_norm": 1.59}, "u_norm", "info", {"u_norm": 1.6}),
    ("2", {"u_norm": 2.21}, "u_norm", "info", {"u_norm": 2.2}),
    ("2", {"cosine": 0.29}, "cosine_poor", "info", {"cosine": 0.3}),
    ("2", {"cosine": 0.5}, "cosine_good", "info", {"cosine": 0.49}),
    ("2", {"cosine": 0.65}, "cosine_good", "info", {"cosine": 0.66}),
    ("2", {"relative_change": 0.049}, "fusion_idle", "warning", {"relative_change": 0.05}),
    ("2", {"relative_change": 0.51}, "fusion_drowning", "warning", {"relative_change": 0.5}),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "values", "rule", "level", "healthy"), LAYER_RULES)
def test_every_layer_rule_fires_beyond_its_threshold_and_not_on_it(layer, values, rule, level, healthy):
    assert rules(fusion_findings({layer: values})) == {rule: level}
    assert rule not in rules(fusion_findings({layer: healthy}))


@pytest.mark.parametrize(
    ("scale", "expected"),
    [(15.1, {"text_scale_rising": "info"}), (15, {}), (-15.1, {"text_scale_rising": "info"}), (8, {}),
     (7.9, {"text_scale_falling": "info"}), (-7.9, {"text_scale_falling": "info"})],
)  # fmt: skip
def test_a_scale_that_started_at_12_is_followed_by_its_size(scale, expected):
    values = {"text_scale": scale}
    assert rules(text_scale_findings(values, DEFAULT, of(learnable_scale=True, initial_scale=12.0))) == expected
    assert text_scale_findings(values, DEFAULT, of(learnable_scale=True, initial_scale=1.0)) == []
    assert text_scale_findings(values, DEFAULT, of(learnable_scale=False, initial_scale=12.0)) == []


def test_a_gate_is_not_judged_while_its_warmup_opens_it():
    assert gate_findings({"gate_mean": 0.1, "gate_open": 0.99}, DEFAULT) == []
    assert rules(gate_findings({"gate_mean": 0.1, "gate_open": 1.0}, DEFAULT)) == {"gate_suppressed": "warning"}


def test_epochs_of_the_warmup_do_not_make_a_gate_unstable():
    history = [{"epoch": i, "step": 10 * i} for i in range(1, 7)]
    rows = [{"epoch": i, "layer": "late", "gate_mean": g} for i, g in enumerate((0.1, 0.4, 0.8, 0.8, 0.8, 0.8), 1)]
    params = {"model": {"late_fusion": {"gate_warmup": 30}}}
    assert warm_epochs(history, params) == 2
    assert late_gates(rows, 2) == [0.8] * 4
    assert live_findings(Logs(history[:3], rows[:3]), params) == []
    assert rules(live_findings(Logs(history[:3], rows[:3]))) == {"gate_unstable": "warning"}


def test_advice_names_only_keys_that_the_fusion_has():
    (scaled,) = fusion_findings({"2": {"relative_change": 0.9}}, params=MIDDLE)
    (weighted,) = fusion_findings({"2": {"relative_change": 0.9}}, params=DYNAMIC)
    (unknown,) = fusion_findings({"2": {"relative_change": 0.9}})
    assert scaled.advice.startswith(
        "a smaller model.middle_fusion.initial_scale, or a larger model.middle_fusion.dropout"
    )
    assert weighted.advice == "a larger model.middle_fusion.dropout"
    assert unknown.advice == "give the text less weight"


MIDDLE = {"model": {"middle_fusion": {"name": "middle", "layers": [1, 2], "initial_scale": 1.0, "dropout": 0.1,
                                      "gate_norm": True}}, "train": {"contrastive_weight": 0.1}}  # fmt: skip
DYNAMIC = {"model": {"middle_fusion": {"name": "dynamic", "layers": [2], "dropout": 0.1}}, "train": {}}


@pytest.mark.parametrize(
    ("values", "on"), [({"gate_std": 0.01, "gate_min": 0.1, "gate_max": 0.1}, "gate_norm"),
                       ({"text_scale": 0.01}, "contrastive_weight"), ({"cosine": 0.1}, "contrastive_weight")],
)  # fmt: skip
def test_advice_never_recommends_what_is_on_already(values, on):
    assert on not in fusion_findings({"2": values}, params=MIDDLE)[0].advice


def test_a_gate_that_is_simplified_already_is_not_advised_to_become_so():
    params = {"model": {"late_fusion": {"name": "simplified_gated"}}}
    (finding,) = fusion_findings({"late": {"gate_mean": 0.1}}, params=params)
    assert finding.advice == "model.late_fusion.name: balanced_gated"


@pytest.mark.parametrize(("steps", "advised"), [(180, "54 (30 % of this run's 180 steps)"), (4000, "500")])
def test_a_proposed_warmup_fits_into_the_run(steps, advised):
    params = {"model": {"late_fusion": {"name": "simplified_gated", "gate_warmup": 0}}}
    (finding,) = fusion_findings({"late": {"gate_mean": 0.95}}, params=params, steps=steps)
    assert finding.advice == f"model.late_fusion.gate_warmup: {advised}"


def test_a_layer_gets_the_first_verdict_of_the_order_and_the_rest_below_it():
    values = {
        "relative_change": 0.9,
        "gate_share_above_0.9": 0.6,
        "ratio": 2.0,
        "contribution_ratio": 1.0,
        "cosine": 0.1,
    }
    findings = fusion_findings({"2": values})
    assert [(f.rule, f.level, f.below) for f in findings] == [
        ("fusion_drowning", "warning", None),
        ("cosine_poor", "info", None),
        ("alpha_extreme", "warning", "fusion_drowning"),
        ("ratio_low", "blocking", "fusion_drowning"),
    ]
    assert rules(fusion_findings({"2": values | {"text_scale": 60}}))["fusion_drowning"] == "warning"
    assert (
        next(f for f in fusion_findings({"2": values | {"text_scale": 60}}) if not f.below).rule
        == "text_scale_exploding"
    )


def test_layers_that_ask_for_opposite_things_are_never_advised_both():
    findings = fusion_findings({"1": {"relative_change": 0.01}, "2": {"relative_change": 0.9}}, params=MIDDLE)
    assert {f.advice for f in findings} == {DISAGREE}
    alike = fusion_findings({"1": {"relative_change": 0.01}, "2": {"relative_change": 0.02}}, params=MIDDLE)
    assert all("a larger" in f.advice for f in alike)


def test_an_idle_layer_of_a_model_that_does_not_use_its_text_is_one_warning():
    ending = Ending(metrics={"reliance": 0.001}, fusion={"2": {"relative_change": 0.01}})
    found = finished_findings(Logs(), ending)
    assert {f.rule: f.below for f in found} == {"reliance_low": None, "fusion_idle": "reliance_low"}


def test_findings_of_several_seeds_quote_mean_and_range():
    seeds = [change_findings({"relative_change": value}, DEFAULT)[0] for value in (0.6, 0.8)]
    found = merged(seeds, 3)
    assert "by 70 % (mean; 60 % to 80 %), more than 50 % (2 of 3 seeds)" in found.message
    assert found.value == pytest.approx(0.7)


@pytest.mark.parametrize(("seeds", "level"), [(2, "blocking"), (3, "warning")])
def test_half_of_the_seeds_make_a_finding_blocking(seeds, level):
    assert merged(text_scale_findings({"text_scale": 60}, DEFAULT), seeds).level == level


@pytest.mark.parametrize(("reliance", "warned"), [(0.0099, True), (-0.1, True), (0.01, False), (None, False)])
def test_a_model_that_does_not_mind_shuffled_texts_does_not_use_them(reliance, warned):
    assert rules(reliance_findings(reliance, DEFAULT)) == ({"reliance_low": "warning"} if warned else {})


def test_alpha_is_no_late_gate_and_a_late_gate_no_alpha():
    low = {"gate_mean": 0.1, "gate_std": 0.01, "gate_min": 0.1, "gate_max": 0.1}
    assert rules(fusion_findings({"2": low})) == {"alpha_flat": "warning"}
    assert rules(fusion_findings({"late": low})) == {"gate_suppressed": "warning"}


def test_every_fused_layer_is_judged():
    findings = fusion_findings({"1": {"ratio": 5}, "2": {"ratio": 30}, "3": {"ratio": 1}})
    assert [(finding.layer, finding.rule) for finding in findings] == [("2", "ratio_high"), ("3", "ratio_low")]


def test_a_gate_that_still_moves_is_unstable():
    rows = [{"epoch": i, "layer": "late", "gate_mean": 0.5 + 0.3 * (-1) ** i} for i in range(9)]
    (finding,) = live_findings(Logs(fusion_rows=rows))
    assert (finding.rule, finding.level) == ("gate_unstable", "warning")
    assert "over the last 3 of 9 epochs" in finding.message
    assert live_findings(Logs(fusion_rows=[row | {"gate_mean": 0.5} for row in rows])) == []


def test_live_findings_use_the_newest_values_of_a_layer():
    rows = [{"epoch": 1, "layer": "2", "ratio": 30.0}, {"epoch": 2, "layer": "2", "ratio": 5.0}]
    diagnostics = [{"epoch": 2, "layers": {"2": {"cosine": 0.1}}}]
    assert rules(live_findings(Logs((), rows, diagnostics))) == {"cosine_poor": "info"}


def test_a_loss_spike_is_twice_its_running_median():
    assert rules(spike_findings([1, 1, 1, 2.1, 1], DEFAULT)) == {"loss_spike": "warning"}
    assert spike_findings([1, 1, 1, 2.0, 1], DEFAULT) == []


def test_a_non_finite_loss_blocks_and_names_its_epoch():
    found = non_finite_findings([{"epoch": 1, "train_loss": 1.0}, {"epoch": 2, "train_loss": float("nan")}])
    assert rules(found) == {"non_finite": "blocking"}
    assert "train_loss is nan in epoch 2" in found[0].message


def finished(values, *, train=None, rates=None, metrics=None, **changes):
    history = [{"epoch": i, "val_mae": value, "train_mae": train or value} for i, value in enumerate(values, 1)]
    history = [h | {"learning_rate": r} for h, r in zip(history, rates, strict=True)] if rates else history
    ending = Ending(**{"best_epoch": 1, "epochs": len(values), "prediction_sd": 1.0, "target_sd": 1.0,
                       "metrics": metrics or {}} | changes)  # fmt: skip
    return rules(finished_findings(Logs(history), ending))


def test_no_gain_in_the_last_third_is_a_plateau():
    assert finished([1.0, 0.5, 0.3, 0.2, 0.199, 0.199]) == {"plateau": "info"}
    assert finished([1.0, 0.5, 0.3, 0.2, 0.19, 0.18]) == {}
    (finding,) = plateau_findings([1.0, 0.5, 0.3, 0.2, 0.199, 0.199], "min", DEFAULT)
    assert "the last 2 of 6 epochs" in finding.message


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ([1.0, 1.0, 1.0], {"under_trained": "warning"}),
        ([1.0, 0.5, 0.011], {"under_trained": "warning"}),
        ([1.0, 0.5, 0.01], {}),
        (None, {"under_trained": "info"}),
    ],
)
def test_a_best_epoch_that_is_the_last_is_under_trained_unless_the_rate_ended_at_zero(rates, expected):
    assert finished([1.0, 0.5, 0.2], rates=rates, best_epoch=3) == expected


RISING = [1.0, 0.5, 0.3, 0.21, 0.25, 0.3]


@pytest.mark.parametrize(
    ("values", "train", "expected"),
    [
        ([0.21], 0.1, {"over_fitted": "info"}),
        ([0.2], 0.1, {}),
        ([0.4], 0.1, {"over_fitted": "info"}),
        ([0.41], 0.1, {"over_fitted": "warning"}),
        (RISING, 0.1, {"over_fitted": "warning"}),
        (RISING, 0.2, {}),
    ],
)
def test_validation_over_train_error_warns_where_it_is_far_or_validation_rises(values, train, expected):
    best = values.index(min(values)) + 1
    found = finished(values, train=train, best_epoch=best, epochs=len(values) + 1)
    assert {rule: level for rule, level in found.items() if rule != "plateau"} == expected


def test_a_rise_is_that_of_a_line_through_the_last_third():
    assert rise([1.0, 1.01]) == pytest.approx(0.01)
    assert rise([1.0, 1.2, 1.0]) == pytest.approx(0.0)
    assert rise([1.0]) == 0


@pytest.mark.parametrize(
    ("test", "of_mean", "expected"),
    [
        (0.41, 1.0, {"transfer": "warning"}),
        (0.4, 1.0, {}),
        (0.3, 0.3, {"transfer": "warning"}),
        (0.3, 0.31, {}),
        (0.41, None, {"transfer": "warning"}),
    ],
)
def test_bad_transfer_is_shown_and_never_excludes(test, of_mean, expected):
    metrics = {"val_mae": 0.2, "test_mae": test} | ({"test_mae_of_mean": of_mean} if of_mean else {})
    assert finished([0.2], metrics=metrics, epochs=9) == expected


def test_the_tried_case_of_bad_transfer_is_no_healthy_run():
    metrics = {"val_mse": 0.21, "test_mse": 1.3, "test_mse_of_mean": 1.2}
    (found,) = finished_findings(Logs(), Ending(metric="val_mse", metrics=metrics))
    assert "1.08 × that of predicting the mean" in found.message


def test_predictions_that_hardly_vary_block():
    assert finished([1.0], prediction_sd=0.0099) == {"constant_predictions": "blocking"}
    assert finished([1.0], prediction_sd=0.01) == {}


def test_all_variants_worse_than_half_the_mean_predictor():
    assert rules(weak_findings([0.51, 0.8], 1.0, DEFAULT)) == {"all_weak": "warning"}
    assert weak_findings([0.5, 0.8], 1.0, DEFAULT) == []
    params = {"data": {"train": 500}, "train": {"epochs": 20}}
    advice = weak_findings([0.51], 1.0, DEFAULT, params)[0].advice
    assert advice.startswith("more items (data.train: 1000), more epochs (train.epochs: 40)")


def test_all_variants_within_one_percent_are_alike():
    assert rules(alike_findings([0.1000, 0.1009], DEFAULT)) == {"all_alike": "info"}
    assert alike_findings([0.100, 0.102], DEFAULT) == []
    assert alike_findings([0.1], DEFAULT) == []


def test_every_threshold_can_be_overridden():
    t = overridden({"ratio_suspect_low": 1, "contribution_bands": True}, [2, 8])
    assert (t.ratio_low, t.ratio_high, t.ratio_suspect_low, t.contribution_bands) == (2.0, 8.0, 1.0, True)


def test_wrong_overrides_are_reported_together_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"(?s)3 mistakes.*cosine_por.*did you mean: cosine_poor.*spike.*ratio"):
        overridden({"cosine_por": 1, "spike": "high"}, [3])


def test_every_warning_says_value_threshold_and_what_to_do():
    for layer, values, _, level, _ in LAYER_RULES:
        for finding in fusion_findings({layer: values}):
            assert finding.value is not None
            assert finding.threshold is not None
            assert finding.advice or level == "info"


def test_worst_level():
    findings = fusion_findings({"2": {"ratio": 30, "contribution_ratio": 30, "cosine": 0.1}})
    assert worst(findings) == "blocking"
    assert worst([]) is None


@pytest.mark.parametrize("module", ["runner.health.judgement", "analysis.rank.choice", "runner.health.thresholds"])
def test_modules_of_the_training_loop_import_neither_torch_nor_pandas(module):
    code = f"import sys, {module}; print(*({{'torch', 'pandas', 'numpy', 'pydantic'}} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


@pytest.mark.parametrize(("value", "shown"), [(0.4998, "0.4998"), (0.49999, "0.49999"), (0.45, "0.45"), (0.5, "0.5")])
def test_a_value_is_told_from_its_threshold(value, shown):
    assert number(value, 0.5) == shown

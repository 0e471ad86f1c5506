import subprocess
import sys
from dataclasses import replace

import pytest

from analysis.findings import number, worst
from analysis.fusion_health import band, ratio_findings, weight_ratio
from analysis.health import finished_findings, fusion_findings, live_findings
from analysis.thresholds import DEFAULT, Thresholds, overridden
from analysis.training_health import alike_findings, non_finite_findings, spike_findings, weak_findings
from runner.errors import ConfigError


def rules(findings):
    return {finding.rule: finding.level for finding in findings}


def test_equal_weights_give_the_lower_border_which_is_healthy():
    assert weight_ratio({"w_graph": 0.5, "w_text": 0.5, "ratio": 3.0}) == 3
    assert ratio_findings({"w_graph": 0.5, "w_text": 0.5, "ratio": 3.0}, DEFAULT) == []


def test_weights_without_a_ratio_are_of_another_formula_and_not_judged():
    assert ratio_findings({"w_graph": 0.99, "w_text": 0.01}, DEFAULT) == []


@pytest.mark.parametrize(
    ("weights", "rule"), [((0.4, 0.6), "ratio_low"), ((0.9, 0.1), "ratio_high"), ((0.95, 0.05), "ratio_high")]
)
def test_a_ratio_outside_the_band_blocks(weights, rule):
    values = dict(zip(("w_graph", "w_text"), weights, strict=True)) | {"ratio": 1.0}
    assert rules(ratio_findings(values, DEFAULT)) == {rule: "blocking"}


@pytest.mark.parametrize(
    ("ratio", "sizes", "said"),
    [
        (2.7, 20.0, "ratio 2.7 is below 3, but by size the graph term dominates: contribution ratio 20"),
        (15.0, 1.2, "ratio 15 is above 10, but by size the text term is not small: contribution ratio 1.2"),
    ],
)
def test_a_ratio_that_the_sizes_contradict_says_so_and_still_blocks(ratio, sizes, said):
    (finding,) = ratio_findings({"ratio": ratio, "contribution_ratio": sizes}, DEFAULT)
    assert finding.level == "blocking"
    assert finding.message.endswith(said)
    assert finding.advice.startswith("`analysis diagnose` first")


@pytest.mark.parametrize(("ratio", "sizes"), [(2.7, 2.0), (2.7, 5.0), (15.0, 30.0), (15.0, 5.0)])
def test_sizes_that_agree_stand_beside_the_ratio(ratio, sizes):
    (finding,) = ratio_findings({"ratio": ratio, "contribution_ratio": sizes}, DEFAULT)
    assert finding.message.endswith(f" (contribution ratio {sizes:g})")


def test_a_judged_contribution_is_called_by_its_name():
    (finding,) = ratio_findings({"contribution_ratio": 20.0}, replace(DEFAULT, contribution_bands=True))
    assert finding.message == "the text is ignored: contribution ratio 20 is above 10"


@pytest.mark.parametrize("ratio", [1.9, 21.0])
def test_an_extreme_ratio_suspects_the_descriptions(ratio):
    assert "check the descriptions" in ratio_findings({"ratio": ratio}, DEFAULT)[0].advice


@pytest.mark.parametrize("ratio", [2.1, 19.0])
def test_a_ratio_inside_the_suspect_borders_does_not(ratio):
    assert "check the descriptions" not in ratio_findings({"ratio": ratio}, DEFAULT)[0].advice


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


LAYER_RULES = [
    ("2", {"text_scale": 51}, "text_scale_exploding", "blocking", {"text_scale": 50}),
    ("2", {"text_scale": 0.09}, "text_scale_collapsed", "blocking", {"text_scale": 0.11}),
    ("late", {"gate_mean": 0.29}, "gate_suppressed", "warning", {"gate_mean": 0.3}),
    ("late", {"gate_mean": 0.91}, "gate_saturated", "warning", {"gate_mean": 0.9}),
    ("late", {"quality": 0.49}, "gate_quality", "warning", {"quality": 0.5}),
    ("2", {"gate_std": 0.03, "gate_min": 0.4, "gate_max": 0.5}, "alpha_flat", "warning",
     {"gate_std": 0.04, "gate_min": 0.4, "gate_max": 0.53}),
    ("2", {"gate_std": 0.07, "gate_min": 0.3, "gate_max": 0.55}, "alpha_expressive", "info",
     {"gate_std": 0.05, "gate_min": 0.3, "gate_max": 0.55}),
    ("2", {"gate_share_below_0.1": 0.3, "gate_share_above_0.9": 0.3}, "alpha_extreme", "warning",
     {"gate_share_below_0.1": 0.2, "gate_share_above_0.9": 0.2}),
    ("2", {"norm_ratio": 12.6}, "norm_ratio", "warning", {"norm_ratio": 1.0}),
    ("2", {"norm_ratio": 1.5}, "norm_ratio", "info", {"norm_ratio": 1.2}),
    ("2", {"t_norm": 12.0}, "t_norm", "info", {"t_norm": 9.0}),
    ("2", {"u_norm": 20.0}, "u_norm", "info", {"u_norm": 30.0}),
    ("2", {"cosine": 0.29}, "cosine_poor", "warning", {"cosine": 0.3}),
    ("2", {"cosine": 0.5}, "cosine_good", "info", {"cosine": 0.7}),
    ("2", {"relative_change": 0.04}, "fusion_idle", "warning", {"relative_change": 0.05}),
    ("2", {"relative_change": 0.51}, "fusion_drowning", "warning", {"relative_change": 0.5}),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "values", "rule", "level", "healthy"), LAYER_RULES)
def test_every_layer_rule_fires_beyond_its_threshold_and_not_before(layer, values, rule, level, healthy):
    assert rules(fusion_findings({layer: values})) == {rule: level}
    assert rule not in rules(fusion_findings({layer: healthy}))


@pytest.mark.parametrize(("scale", "expected"), [(15.1, {"text_scale_rising": "info"}), (12.3, {}),
                                                 (7.9, {"text_scale_falling": "info"})])  # fmt: skip
def test_a_scale_that_started_at_12_is_followed(scale, expected):
    assert rules(fusion_findings({"2": {"text_scale": scale}}, initial_scale=12.0)) == expected
    assert fusion_findings({"2": {"text_scale": scale}}, initial_scale=1.0) == []


def test_alpha_is_no_late_gate_and_a_late_gate_no_alpha():
    low = {"gate_mean": 0.1, "gate_std": 0.01, "gate_min": 0.1, "gate_max": 0.1}
    assert rules(fusion_findings({"2": low})) == {"alpha_flat": "warning"}
    assert rules(fusion_findings({"late": low})) == {"gate_suppressed": "warning"}


def test_the_proposed_scale_is_on_top_of_the_present_one():
    values = {"norm_ratio": 3.15, "text_scale": 4.0}
    assert "initial_scale: 12.6" in fusion_findings({"2": values})[0].advice


def test_the_norm_ratio_is_proposed_as_initial_scale():
    assert "initial_scale: 12.6" in fusion_findings({"2": {"norm_ratio": 12.6}})[0].advice


def test_every_fused_layer_is_judged():
    findings = fusion_findings({"1": {"ratio": 5}, "2": {"ratio": 30}, "3": {"ratio": 1}})
    assert [(finding.layer, finding.rule) for finding in findings] == [("2", "ratio_high"), ("3", "ratio_low")]


def test_a_gate_that_still_moves_is_unstable():
    rows = [{"epoch": i, "layer": "late", "gate_mean": 0.5 + 0.3 * (-1) ** i} for i in range(9)]
    assert rules(live_findings([], rows, [])) == {"gate_unstable": "warning"}
    still = [row | {"gate_mean": 0.5} for row in rows]
    assert live_findings([], still, []) == []


def test_live_findings_use_the_newest_values_of_a_layer():
    rows = [{"epoch": 1, "layer": "2", "ratio": 30.0}, {"epoch": 2, "layer": "2", "ratio": 5.0}]
    diagnostics = [{"epoch": 2, "layers": {"2": {"cosine": 0.1}}}]
    assert rules(live_findings([], rows, diagnostics)) == {"cosine_poor": "warning"}


def test_a_loss_spike_is_twice_its_running_median():
    assert rules(spike_findings([1, 1, 1, 2.1, 1], DEFAULT)) == {"loss_spike": "warning"}
    assert spike_findings([1, 1, 1, 2.0, 1], DEFAULT) == []


def test_a_non_finite_loss_blocks_and_names_its_epoch():
    found = non_finite_findings([{"epoch": 1, "train_loss": 1.0}, {"epoch": 2, "train_loss": float("nan")}])
    assert rules(found) == {"non_finite": "blocking"}
    assert "train_loss is nan in epoch 2" in found[0].message


def finished(values, **changes):
    history = [{"epoch": i, "val_mae": value, "train_mae": value} for i, value in enumerate(values, 1)]
    options = {"metric": "val_mae", "mode": "min", "best_epoch": 1, "epochs": len(values),
               "prediction_sd": 1.0, "target_sd": 1.0}  # fmt: skip
    return rules(finished_findings(changes.pop("history", history), **options | changes))


def test_no_gain_in_the_last_third_is_a_plateau():
    assert finished([1.0, 0.5, 0.3, 0.2, 0.199, 0.199]) == {"plateau": "info"}
    assert finished([1.0, 0.5, 0.3, 0.2, 0.19, 0.18]) == {}


def test_a_best_epoch_that_is_the_last_is_under_trained():
    assert finished([1.0, 0.5, 0.2], best_epoch=3) == {"under_trained": "warning"}


def test_validation_twice_the_train_error_is_over_fitted():
    history = [{"epoch": 1, "val_mae": 0.21, "train_mae": 0.1}]
    assert finished([], history=history, epochs=9) == {"over_fitted": "warning"}
    assert finished([], history=[{"epoch": 1, "val_mae": 0.2, "train_mae": 0.1}], epochs=9) == {}


def test_predictions_that_hardly_vary_block():
    assert finished([1.0], prediction_sd=0.001) == {"constant_predictions": "blocking"}


def test_all_variants_worse_than_half_the_mean_predictor():
    assert rules(weak_findings([0.51, 0.8], 1.0, DEFAULT)) == {"all_weak": "warning"}
    assert weak_findings([0.5, 0.8], 1.0, DEFAULT) == []


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
    findings = fusion_findings({"2": {"ratio": 30, "cosine": 0.1}})
    assert worst(findings) == "blocking"
    assert worst([]) is None


@pytest.mark.parametrize("module", ["analysis.health", "analysis.choice", "analysis.thresholds"])
def test_modules_of_the_training_loop_import_neither_torch_nor_pandas(module):
    code = f"import sys, {module}; print(*({{'torch', 'pandas', 'numpy', 'pydantic'}} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


@pytest.mark.parametrize(("value", "shown"), [(0.4998, "0.4998"), (0.49999, "0.49999"), (0.45, "0.45"), (0.5, "0.5")])
def test_a_value_is_told_from_its_threshold(value, shown):
    assert number(value, 0.5) == shown

"""Every number that a health rule compares with, in one table. Free of torch and pandas.

An experiment file overrides them under `health:` (name: value); `select.ratio` sets `ratio_low` and `ratio_high`.
"Inferred" marks borders that the literature leaves open.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner.errors import Mistakes, Problem, nearest
from runner.health.quantities import Quantity, with_limits


@dataclass(frozen=True)
class Thresholds:
    """Borders of the health rules; lengths and shares without unit."""

    # weight ratio (1 + mean w_graph) / mean w_text
    ratio_low: float = 3.0  # below, and the contribution ratio too: the text weighs too much
    ratio_leaning: float = 4.0  # ratio_low to here: leaning to the graph (inferred)
    ratio_dominant: float = 6.0  # to here: graph-dominant (inferred); from here on: strongly
    ratio_high: float = 10.0  # above, and the contribution ratio too: the text is ignored
    ratio_suspect_low: float = 2.0  # below: suspect the descriptions, hidden_dim or dropout
    ratio_suspect_high: float = 20.0  # above: the same
    contribution_bands: bool = False  # judge contribution_ratio by the same bands, for fusions without weights
    # text_scale
    text_scale_exploding: float = 50.0  # by size: the sign is free
    text_scale_collapsed: float = 0.1
    text_scale_start: float = 12.0  # the two rules below are for a learnable scale that starts here
    text_scale_rising: float = 15.0  # above: the text wants more weight
    text_scale_falling: float = 8.0  # below: the text is being weakened
    # gates, 0 to 1
    gate_suppressed: float = 0.3  # of the gate that multiplies the text
    gate_saturated: float = 0.9
    gate_quality_low: float = 0.5
    gate_unstable: float = 0.1  # sd over the last third of the epochs (inferred)
    # alpha, the gate of `middle` and `improved`: over the atoms, of each atom's mean over its channels
    alpha_flat_std: float = 0.03
    alpha_flat_range: float = 0.12
    alpha_expressive_std: float = 0.06
    alpha_expressive_range: float = 0.20
    alpha_extreme_share: float = 0.5  # share of atoms < 0.1 or > 0.9 (inferred)
    # norms and directions of the two streams
    norm_ratio_low: float = 0.9  # mean‖h‖ / mean‖u‖, balanced from here …
    norm_ratio_high: float = 1.2  # … to here
    text_norm_in_low: float = 1.0  # ‖t‖/√width as it enters
    text_norm_in_high: float = 1.25
    text_norm_out_low: float = 1.6  # ‖u‖/√width as it leaves
    text_norm_out_high: float = 2.2
    cosine_poor: float = 0.3
    cosine_good_low: float = 0.5
    cosine_good_high: float = 0.65
    change_idle: float = 0.05  # mean‖out − out₀‖ / mean‖out₀‖, out₀: the layer's output with its text term at zero
    change_drowning: float = 0.5
    reliance_low: float = 0.01  # relative rise of the validation metric where its texts are shuffled
    # training
    spike: float = 2.0  # loss over the median of the losses before it
    plateau_share: float = 1 / 3  # the last part of the epochs that is looked at: 5 epochs of 15
    plateau_gain: float = 0.01  # relative gain of the best validation metric in that part
    over_fitted: float = 2.0  # validation error over train error: information above it,
    over_fitted_far: float = 4.0  # a warning above this
    rising: float = (
        0.01  # relative rise of the validation metric's trend over the last part: then a warning too (inferred)
    )
    annealed: float = 0.01  # the last learning rate over the highest one: at most this is an end at zero (inferred)
    transfer: float = 2.0  # test error over validation error; shown, never used for choosing
    constant_spread: float = 0.01  # sd of the predictions over sd of the targets (inferred)
    weak_share: float = 0.5  # of the error of the mean predictor
    alike: float = 0.01  # all variants within this share of the best
    quantities: tuple[Quantity, ...] = ()  # that the task declares, with their borders

    @property
    def ratio_middle(self) -> float:
        """The centre of the healthy band, on a logarithmic scale."""
        return float((self.ratio_low * self.ratio_high) ** 0.5)


DEFAULT = Thresholds()


def overridden(
    values: Mapping[str, Any] | None,
    ratio: Any = None,
    *,
    file: str | None = None,
    quantities: Sequence[Quantity] = (),
) -> Thresholds:
    """The table with `values` in place of the defaults, `ratio` as its healthy band, and what the task declares.

    Raises ConfigError naming every unknown key and every value that is not a number.
    """
    problems: list[Problem] = []
    accepted: dict[str, Any] = {}
    if isinstance(ratio, (list, tuple)) and len(ratio) == 2 and all(_is_number(value) for value in ratio):
        accepted |= {"ratio_low": float(ratio[0]), "ratio_high": float(ratio[1])}
    elif ratio is not None:
        problems.append(Problem(f"found {ratio!r}", "select.ratio", file, allowed="two numbers, as in [3, 10]"))
    if values is not None and not isinstance(values, Mapping):
        problems.append(Problem(f"found {values!r}", "health", file, allowed="threshold names with their values"))
        values = {}
    types = {field.name: type(field.default) for field in dataclasses.fields(Thresholds) if field.name != "quantities"}
    declared = {f"{each.stem}_{side}" for each in quantities for side in ("low", "high")} - types.keys()
    types |= dict.fromkeys(declared, float)
    for name, value in (values or {}).items():
        if name not in types:
            guess = nearest(str(name), types)
            problems.append(Problem("no such threshold", f"health.{name}", file, nearest=guess))
        elif value in (True, False) if types[name] is bool else _is_number(value):
            accepted[name] = value if types[name] is bool else float(value)
        else:
            allowed = "true or false" if types[name] is bool else "a number"
            problems.append(Problem(f"found {value!r}", f"health.{name}", file, allowed=allowed))
    Mistakes(problems).refuse()
    limits = {name: accepted.pop(name) for name in declared & accepted.keys()}
    return dataclasses.replace(DEFAULT, **accepted, quantities=with_limits(quantities, limits))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value

"""One verdict per fused layer: the first thing wrong in a fixed order, with the rest listed below it.

Sizes come first, because a stream that is ten times larger makes every number after it meaningless; then directions,
then what the fusion changes, then its gates and weights. Free of torch and pandas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runner.health.findings import Finding

ORDER = (
    "text_scale_exploding", "text_scale_collapsed", "text_scale_rising", "text_scale_falling",
    "norm_ratio", "t_norm", "u_norm",
    "cosine_poor", "cosine_good",
    "fusion_idle", "fusion_drowning",
    "alpha_extreme", "alpha_flat", "alpha_expressive",
    "gate_suppressed", "gate_saturated", "gate_quality", "gate_unstable",
    "ratio_low", "ratio_high",
)  # fmt: skip
LESS_TEXT = ("text_scale_exploding", "fusion_drowning", "gate_saturated", "ratio_low")  # what their advice asks for
MORE_TEXT = ("text_scale_collapsed", "fusion_idle", "gate_suppressed", "ratio_high")
UNUSED = "reliance_low"
DISAGREE = "the fused layers need opposite things: fuse fewer of them, one at a time"


def one_verdict_each(findings: Sequence[Finding]) -> list[Finding]:
    """The findings of all layers and of the training; of each layer the verdict first, what is `below` it after it.

    Information is no verdict: it stands for itself. Layers whose verdicts ask for opposite things get one advice.
    """
    unused = any(finding.rule == UNUSED for finding in findings)
    layers = dict.fromkeys(finding.layer for finding in findings)
    judged = [each for layer in layers for each in _of_layer([f for f in findings if f.layer == layer], layer)]
    if unused:  # measured on the prediction itself; an idle layer is the same fact again
        judged = [replace(f, below=UNUSED) if f.rule == "fusion_idle" else f for f in judged]
    verdicts = [f for f in judged if f.below is None and f.level != "info" and (f.layer or "").isdigit()]
    sides = [[f for f in verdicts if f.rule in rules] for rules in (LESS_TEXT, MORE_TEXT)]
    if not all(sides):
        return judged
    opposed = {id(finding) for side in sides for finding in side}
    return [replace(finding, advice=DISAGREE) if id(finding) in opposed else finding for finding in judged]


def _of_layer(findings: list[Finding], layer: str | None) -> list[Finding]:
    if layer is None:
        return findings
    place = {rule: number for number, rule in enumerate(ORDER)}
    ordered = sorted(findings, key=lambda finding: place.get(finding.rule, len(ORDER)))
    verdict = next((f for f in ordered if f.level != "info" and f.rule in place), None)
    if verdict is None:
        return ordered
    rest = [replace(f, below=verdict.rule) if f.level != "info" and f.rule in place else f for f in ordered
            if f is not verdict]  # fmt: skip
    return [replace(verdict, below=None), *rest]

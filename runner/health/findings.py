"""What a health rule says about a run or a variant. Free of torch and pandas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Level = Literal["info", "warning", "blocking"]
LEVELS: tuple[Level, ...] = ("info", "warning", "blocking")


@dataclass(frozen=True)
class Finding:
    """One thing that was noticed. `blocking` takes a variant out of a tie; it rests on train and validation data."""

    level: Level
    rule: str
    value: float | None
    threshold: float | None
    message: str  # what was seen, with value and threshold
    advice: str = ""  # what to do
    layer: str | None = None
    below: str | None = None  # rule of the layer's verdict that this one is listed below
    pattern: str = ""  # the message with {value} in place of the number: seeds are merged by it
    percent: bool = False  # whether the message shows the value in per cent

    def as_dict(self) -> dict[str, Any]:
        """What results and logs keep of it."""
        return {name: value for name, value in asdict(self).items() if name not in ("pattern", "percent")}


def finding(
    level: Level,
    rule: str,
    value: float,
    threshold: float,
    pattern: str,
    advice: str = "",
    layer: str | None = None,
    percent: bool = False,
) -> Finding:
    """A finding whose message is `pattern` with the numbers in place of {value} and {threshold}."""
    pattern = pattern.replace("{threshold}", _shown(threshold, percent))
    message = pattern.replace("{value}", _shown(value, percent, threshold))
    return Finding(level, rule, value, threshold, message, advice, layer, None, pattern, percent)


def _shown(value: float, percent: bool, beside: float | None = None) -> str:
    if percent:
        return f"{number(100 * value, None if beside is None else 100 * beside)} %"
    return number(value, beside)


def merged(findings: Sequence[Finding], seeds: int) -> Finding:
    """What some of `seeds` runs show alike, as one finding with mean and range; rarely blocking is a warning."""
    first = max(findings, key=lambda finding: LEVELS.index(finding.level))
    level = first.level
    if level == "blocking" and 2 * sum(finding.level == level for finding in findings) < seeds:
        level = "warning"
    values = [finding.value for finding in findings if finding.value is not None]
    message, value = first.message, first.value
    if first.pattern and len(values) > 1:
        value = sum(values) / len(values)
        mean, low, high = (_shown(each, first.percent) for each in (value, min(values), max(values)))
        message = first.pattern.replace("{value}", f"{mean} (mean; {low} to {high})" if low != high else mean)
    message += f" ({len(findings)} of {seeds} seeds)"
    return replace(first, level=level, value=value, message=message, below=None)


def worst(findings: Iterable[Finding]) -> Level | None:
    """The highest level among `findings`; None when there is none."""
    return max((finding.level for finding in findings), key=LEVELS.index, default=None)


def health_word(findings: Iterable[Finding]) -> str:
    """ok, warning or blocking, as `status`, the log and `summarize` say it. Information alone is ok."""
    level = worst(findings)
    return "ok" if level in (None, "info") else str(level)


def by_severity(findings: Sequence[Finding]) -> list[Finding]:
    """Blocking first; otherwise in the order found."""
    return sorted(findings, key=lambda finding: -LEVELS.index(finding.level))


def sentence(finding: Finding) -> str:
    """A finding as a line of the log says it; the advice of a layer's verdict goes before that of what is below it."""
    layer = finding.layer or ""
    name = f"layer {layer}" if layer.isdigit() else {"late": "late fusion"}.get(layer, layer)
    advice = f"; {finding.advice}" if finding.advice and finding.below is None else ""
    return (f"{name}: " if name else "") + finding.message + advice


def number(value: float, beside: float | None = None) -> str:
    """A value as a message shows it; with as many figures as tell it from the threshold `beside` it."""
    figures = 3
    while beside is not None and value != beside and figures < 9 and float(f"{value:.{figures}g}") == beside:
        figures += 1
    return f"{value:.{figures}g}"


# Sizes come first, because a stream that is ten times larger makes every number after it meaningless; then directions,
# then what the fusion changes, then its gates and weights.
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
    wrong = [f for f in ordered if f.level != "info" and f.rule in place]
    if not wrong:
        return ordered
    rest = [replace(f, below=wrong[0].rule) if f in wrong else f for f in ordered if f is not wrong[0]]
    return [replace(wrong[0], below=None), *rest]

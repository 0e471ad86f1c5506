"""What the script of the report draws, as one JSON value: variants, differences, curves, findings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from analysis.collect import reading
from analysis.formatting import axis_label, axis_value, percent, plural
from analysis.rank.comparison import Comparison
from analysis.rank.curves import Curve, VariantLogs, read_logs
from analysis.rank.ranking import Variant
from analysis.rank.summary import Summary
from analysis.task_definitions import FIGURES, declared_figures
from runner.config.template import flat
from runner.health.thresholds import Thresholds
from runner.rundir.layout import RunDir
from runner.terminal import safe

DRAWN = 200  # variants with curves and a row in the figures; the table has more
WITH_SEEDS = 40  # variants up to which every seed has a curve of its own
POINTS = 100  # of a curve
WAITING = ("queued", "running")


def report_data(summary: Summary) -> dict[str, Any]:
    """Everything in the page that a selection changes; texts cleaned, numbers to five figures."""
    manifest, select = summary.collection.manifest, summary.collection.manifest.select
    shown = _shown(summary)
    baseline = next((variant for variant in shown if variant.name == manifest.baseline and variant.val), None)
    reference = baseline or next((variant for variant in shown if variant.rank), None)
    against = {"val": _on_validation(summary, reference), "test": _on_test(summary, shown, reference)}
    panels = _panels(manifest.thresholds)
    single = len(shown) <= WITH_SEEDS
    return {
        "metric": select.metric,
        "test_metric": select.test_metric,
        "mode": select.mode,
        "unit": unit_of(summary),
        "within": select.within,
        "reference": reference.name if reference else None,
        "is_baseline": baseline is not None,
        "choice": summary.choice.variant if summary.choice else None,
        "reload": any(run.state in WAITING for run in summary.collection.runs),
        "axes": [{"key": axis, "label": axis.rsplit(".", 1)[-1]} for axis in manifest.axes],
        "panels": panels,
        "variants": [
            _card(summary, variant, reference)
            | {"against": {split: differences.get(variant.name) for split, differences in against.items()}}
            | _curves(read_logs(summary.collection.directory, variant), select.metric, panels, single)
            for variant in shown
        ],
    }


def embedded(data: Mapping[str, Any]) -> str:
    """`data` as JSON that cannot end the script element it stands in."""
    text = json.dumps(_rounded(data), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, str):
        return safe(value)
    if isinstance(value, Mapping):
        return {safe(str(key)): _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value


def _shown(summary: Summary) -> list[Variant]:
    """The first of the ranking, with the choice and the baseline in any case."""
    needed = {summary.collection.manifest.baseline, summary.choice.variant if summary.choice else None}
    return [variant for place, variant in enumerate(summary.variants) if place < DRAWN or variant.name in needed]


def unit_of(summary: Summary) -> str:
    """Of the metric that ranks, where the task declares one."""
    manifest = summary.collection.manifest
    return next((each.unit for each in manifest.thresholds.quantities if each.name == manifest.select.metric), "")


def _on_validation(summary: Summary, reference: Variant | None) -> dict[str, dict[str, Any]]:
    """Variant → its relative difference to the reference on the metric that ranks."""
    if reference is None:
        return {}
    metric = summary.collection.manifest.select.metric
    return {
        item.variant: _difference(summary.variant(item.variant), reference, metric, item.low, item.high)
        for item in summary.comparisons
    }


def _on_test(summary: Summary, variants: Sequence[Variant], reference: Variant | None) -> dict[str, dict[str, Any]]:
    """The same on the test split, with intervals of its own."""
    directory, select = summary.collection.directory, summary.collection.manifest.select
    metric = select.test_metric
    ranked = [variant for variant in variants if variant.rank is not None and variant.test]
    if reference is None or not reference.test or not reference.test.mean:
        return {}
    scale, comparison = abs(reference.test.mean), Comparison(directory, replace(select, metric=metric), ranked)
    differences = {}
    for variant in ranked:
        interval = comparison.interval(variant, reference) if variant is not reference else None
        bounds = (interval.low / scale, interval.high / scale) if interval else (None, None)
        differences[variant.name] = _difference(variant, reference, metric, *bounds)
    return differences


def _difference(
    variant: Variant, reference: Variant, metric: str, low: float | None, high: float | None
) -> dict[str, Any]:
    """Relative difference of the means, its interval, and that of every seed; none of the reference with itself."""
    mine, theirs = variant.values_by_seed(metric), reference.values_by_seed(metric)
    mean, base = (sum(values.values()) / len(values) for values in (mine, theirs))
    relative = (mean - base) / abs(base)
    bounds = "" if low is None or high is None else f" [{percent(low)}, {percent(high)}]"
    seeds = [(mine[seed] - theirs[seed]) / abs(base) for seed in mine if seed in theirs]
    return {"mean": relative, "low": low, "high": high, "seeds": seeds, "text": f"{percent(relative)}{bounds}"}


def _panels(thresholds: Thresholds) -> list[dict[str, Any]]:
    """The quantities of layers that the page draws by epoch, with the band that is healthy."""
    return [
        {"name": panel.quantity, "low": low, "high": high, "log": figure.log}
        for figure in (*FIGURES, *declared_figures(thresholds))
        for panel in figure.panels
        for low, high in [panel.band(thresholds)]
    ]


def _card(summary: Summary, variant: Variant, reference: Variant | None) -> dict[str, Any]:
    """What the page says of one variant."""
    tie = summary.ties.get(variant.name)
    return {
        "name": variant.name,
        "rank": variant.rank,
        "health": variant.health,
        "tied": tie is not None and tie.tied,
        "axes": {axis: axis_label(value) for axis, value in variant.axes.items()},
        "val": variant.val and variant.val.mean,
        "short": {"val": str(variant.val or ""), "test": str(variant.test or "")},
        "facts": _facts(variant, unit_of(summary), summary.collection.manifest.select.metric),
        "diff": _diff(variant, reference),
        "findings": [
            {name: getattr(each, name) for name in ("level", "rule", "layer", "message", "advice")}
            for each in variant.findings
        ],
        "runs": [
            {
                "seed": run.plan.seed,
                "state": run.state,
                "epoch": run.result.best_epoch if run.record.completed else run.record.epoch,
                "folder": f"../runs/{run.run_id}/",  # relative to the folder of the page
                "config": RunDir.config.name,
            }
            for run in variant.runs
        ],
    }


def _curves(logs: VariantLogs, metric: str, panels: Sequence[Mapping[str, Any]], single: bool) -> dict[str, Any]:
    """The metric and the quantities of layers by epoch; `single`: of every seed too."""
    alone = logs.runs if single and len(logs.runs) > 1 else ()
    layers: dict[str, dict[str, list[list[float]]]] = {}
    for layer in logs.layers:
        for panel in panels:
            if points := _points(logs.quantity(layer, panel["name"])):
                layers.setdefault(layer, {})[panel["name"]] = points
    return {
        "curve": _points(logs.metric(metric)),
        "curves": [_points(replace(logs, runs=(run,)).metric(metric)) for run in alone],
        "layers": layers,
    }


def _facts(variant: Variant, unit: str, metric: str) -> list[tuple[str, str]]:
    """Rows of the card of a variant."""
    cost = (
        f"{variant.seconds / 60:.1f} min" if variant.seconds else "",
        f"{variant.gpu_minutes:.1f} GPU minutes" if variant.gpu_minutes else "",
        f"{variant.parameters:,} parameters" if variant.parameters else "",
    )
    rows = {
        "rank": str(variant.rank or "–"),
        metric: f"{variant.val} {unit}".rstrip() if variant.val else "",
        "test (not used to choose)": f"{variant.test} {unit}".rstrip() if variant.test else "",
        "cost of a run": ", ".join(filter(None, cost)),
        "flags": ", ".join(flag.message for flag in variant.flags),
    }
    return [(name, text) for name, text in rows.items() if text]


def _diff(variant: Variant, reference: Variant | None) -> list[str]:
    """Lines of parameters that differ from the reference; seeds aside."""
    if reference is None or variant is reference:
        return []
    mine, theirs = (
        {key: axis_value(value) for key, value in flat(each.params).items() if not isinstance(value, Mapping)}
        for each in (variant, reference)
    )
    lines = []
    for key in sorted({*mine, *theirs}):
        if mine.get(key) != theirs.get(key) and not key.endswith("seed"):
            lines += [f"− {key}: {theirs[key]}"] if key in theirs else []
            lines += [f"+ {key}: {mine[key]}"] if key in mine else []
    return lines


def _points(curve: Curve) -> list[list[float]]:
    """[epoch, value] pairs, thinned to POINTS with both ends kept."""
    pairs = [[float(epoch), mean] for epoch, mean in zip(curve.epochs, curve.mean, strict=True)]
    if len(pairs) <= POINTS:
        return pairs
    return [pairs[round(place * (len(pairs) - 1) / (POINTS - 1))] for place in range(POINTS)]


def chips(summary: Summary) -> list[str]:
    """What a reader asks first: how many, on what, by which code, where, when."""
    runs, variants = summary.collection.runs, summary.variants
    seeds = max((len(variant.runs) for variant in variants), default=0)
    states = ", ".join(f"{count} {state}" for state, count in summary.states.most_common())
    parts = [f"{plural(len(variants), 'variant')} × {plural(seeds, 'seed')}", states]
    first = next((run for run in runs if run.record.completed), None)
    if first is not None:
        directory = summary.collection.directory.run(first.run_id)
        splits, provenance = (reading.json_object(file) or {} for file in (directory.splits, directory.provenance))
        sizes = [f"{len(ids):,} {name}" for name, ids in splits.items() if isinstance(ids, list)]
        parts += [" / ".join(sizes), _code(provenance), _device(provenance)]
    parts += [unit_of(summary), datetime.fromtimestamp(summary.moment, UTC).strftime("%d %b %Y")]
    return [part for part in parts if part]


def _code(provenance: Mapping[str, Any]) -> str:
    code = provenance.get("code")
    commit = code.get("commit") if isinstance(code, Mapping) else None
    changed = isinstance(code, Mapping) and (code.get("changes") or code.get("diff"))
    return f"commit {commit[:7]}{' + changes' if changed else ''}" if isinstance(commit, str) and commit else ""


def _device(provenance: Mapping[str, Any]) -> str:
    gpus = provenance.get("gpus")
    first = gpus[0] if isinstance(gpus, list) and gpus else None
    return str(first.get("name") if isinstance(first, Mapping) else first) if first else "CPU"


def verdict(summary: Summary) -> tuple[str, str]:
    """The answer in one line, and a second sentence with the recommendation."""
    manifest = summary.collection.manifest
    if summary.choice is None:
        return "Nothing to choose from yet.", f"No run has completed with {manifest.select.metric}."
    chosen = summary.variant(summary.choice.variant)
    reference = manifest.baseline if summary.baseline else None
    better = [item for item in summary.baseline if item.is_beyond_noise and item.relative * manifest.select.sign < 0]
    if reference is None:
        head = f"{summary.choice.variant} is recommended."
    elif not better:
        head = f"No variant beats {reference} beyond the noise."
    elif len(better) == 1:
        head = f"{better[0].variant} beats {reference} by {percent(abs(better[0].relative)).lstrip('+')}."
    else:
        head = f"{len(better)} variants beat {reference} beyond the noise."
    value = f"{chosen.val or ''} {unit_of(summary)}".rstrip()
    second = f"Recommended: {chosen.name} ({manifest.select.metric} {value})."
    aside = len(summary.choice.excluded)
    second += f" {plural(aside, 'tied variant')} set aside for health." if aside else ""
    return ("Provisional: " if summary.provisional else "") + head, second


def tiles(summary: Summary) -> list[tuple[str, str]]:
    """Number and what it is, beside the verdict."""
    select = summary.collection.manifest.select
    ranked = [variant for variant in summary.variants if variant.rank is not None and variant.val]
    result = []
    if ranked and ranked[0].val:
        result.append((f"{ranked[0].val.mean:#.4g}".rstrip("."), f"best {select.metric} {unit_of(summary)}".rstrip()))
    if summary.visible_effect is not None:
        half = f"± {100 * summary.visible_effect:.1f} %"
        result.append((half, "smallest effect that this search can see: the median half-width of the intervals"))
    blocking = sum(bool(variant.blocking) for variant in summary.variants)
    return [*result, (f"{blocking} / {len(summary.variants)}", "with a blocking health finding")]

"""Figures of training and accuracy: learning curves, variants, parity, cost."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.collect.predictions import Predictions
from analysis.formatting import shortened
from analysis.plots.figure import (
    INK,
    RULE,
    Plot,
    canvas,
    colour,
    draw_curve,
    finish,
    legend_beside,
    over_epochs,
    plain_log_labels,
)
from analysis.rank.curves import VariantLogs
from analysis.rank.ranking import Variant
from runner.rundir.planned import Select

MOST_VARIANTS = 40  # in one figure
MOST_NUMBERED = 20  # points that have room for a number


def learning_curves(logs: Sequence[VariantLogs], select: Select) -> Plot | None:
    """The selected metric by epoch, one line for each variant with a band of one sd over its seeds."""
    curves = [(item.name, curve) for item in logs if (curve := item.metric(select.metric)).epochs]
    if not curves:
        return None
    figure, (axes,) = canvas()
    for position, (name, curve) in enumerate(curves):
        draw_curve(axes, curve, curve.sd, color=colour(position), label=shortened([name])[0])
    axes.set_ylabel(select.metric)
    over_epochs(axes)
    if min(min(curve.mean) for _, curve in curves) > 0:
        axes.set_yscale("log")
        plain_log_labels(axes.yaxis)
    legend_beside(axes, len(curves))
    return finish(
        figure, "learning_curves", "Learning curves", f"{select.metric} by epoch; band: one sd over the seeds."
    )


def errors_by_variant(variants: Sequence[Variant], select: Select, chosen: str | None) -> Plot | None:
    """Mean and sd over seeds of every ranked variant, validation and test."""
    scored = [variant for variant in variants if variant.val]
    shown = scored[:MOST_VARIANTS]
    if not shown:
        return None
    figure, (axes,) = canvas(height=1.1 + 0.28 * len(shown))
    for name, mark, offset, values in (
        (select.metric, "o", -0.09, [variant.val for variant in shown]),
        (f"{select.test_metric} (not used)", "s", 0.14, [variant.test for variant in shown]),
    ):
        rows = [(row + offset, value) for row, value in enumerate(values) if value]
        axes.errorbar(
            [value.mean for _, value in rows], [row for row, _ in rows], xerr=[value.sd or 0 for _, value in rows],
            fmt=mark, color=colour("os".index(mark)), markerfacecolor=colour(0) if mark == "o" else "none",
            markersize=5, capsize=2, linewidth=1.2, label=name if rows else None,
        )  # fmt: skip
    axes.set_yticks(range(len(shown)), [_label(variant, variant.name == chosen) for variant in shown])
    axes.invert_yaxis()
    axes.set_xlabel("mean ± sd over the seeds; ▸ the choice")
    legend_beside(axes, 2)
    more = f" {len(scored) - len(shown)} more are in the table." if len(scored) > len(shown) else ""
    return finish(figure, "variants", "Error by variant", f"Validation ranks; the test split is shown beside.{more}")


def _label(variant: Variant, chosen: bool) -> str:
    """The name, marked where it is the choice, and how many of its seeds there are where some are missing."""
    (name,) = shortened([variant.name], 44)
    seeds = "" if variant.complete else f" ({len(variant.scored)}/{len(variant.runs)} seeds)"
    return f"{'▸ ' if chosen else ''}{name}{seeds}"


def parity(splits: dict[str, Predictions], variant: str) -> Plot | None:
    """Predicted against true values of the chosen variant, one panel for each split."""
    shown = {split: points for split, points in splits.items() if len(points)}
    if not shown:
        return None
    figure, panels = canvas(columns=len(shown), width=4.0 * len(shown), height=3.7)
    for axes, (split, points) in zip(panels, shown.items(), strict=True):
        values = points.targets + points.predictions
        axes.plot([min(values), max(values)], [min(values), max(values)], color=RULE, linewidth=1)
        axes.scatter(points.targets, points.predictions, s=9, color=colour(0), alpha=0.55, linewidth=0)
        axes.set_aspect("equal", adjustable="datalim")
        axes.set(title=f"{split}, {len(points):,} points", xlabel="target", ylabel="prediction")
    return finish(figure, "parity", "Parity", f"{variant}, all seeds; on the line the prediction is right.")


def accuracy_and_cost(variants: Sequence[Variant], select: Select) -> Plot | None:
    """The metric against trainable parameters and training time."""
    shown = [variant for variant in variants if variant.val and variant.parameters and variant.seconds][:MOST_VARIANTS]
    if len(shown) < 2:
        return None
    figure, panels = canvas(columns=2, height=3.2)
    on_gpus = all(variant.gpus for variant in shown)
    costs = {
        "parameters, millions": [(variant.parameters or 0) / 1e6 for variant in shown],
        "GPU minutes per run" if on_gpus else "minutes per run": [
            (variant.gpu_minutes if on_gpus else (variant.seconds or 0) / 60) or 0 for variant in shown
        ],
    }
    means = [variant.val.mean for variant in shown if variant.val]
    spreads = [variant.val.sd or 0 for variant in shown if variant.val]
    for axes, (label, cost) in zip(panels, costs.items(), strict=True):
        axes.errorbar(cost, means, yerr=spreads, fmt="o", color=colour(0), markersize=4.5)
        numbered = shown if len(shown) <= MOST_NUMBERED else []
        for at, variant in zip(zip(cost, means, strict=True), numbered, strict=False):
            axes.annotate(str(variant.rank or ""), at, (4, 4), textcoords="offset points", fontsize=7.5, color=INK)
        axes.set(xlabel=label, ylabel=select.metric)
        axes.margins(x=0.15)
    better = "Lower" if select.mode == "min" else "Upper"
    caption = f"Mean ± sd over the seeds; numbers: rank in the table. {better} left is better."
    return finish(figure, "cost", "Accuracy against cost", caption)

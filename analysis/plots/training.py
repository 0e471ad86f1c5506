"""Figures of training and accuracy: learning curves, variants, parity, cost."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.collect.manifest import Select
from analysis.collect.predictions import Predictions
from analysis.plots.figure import (
    INK,
    RULE,
    Plot,
    canvas,
    colour,
    finish,
    legend_beside,
    over_epochs,
    plain_log_labels,
    shortened,
)
from analysis.rank.curves import VariantLogs
from analysis.rank.ranking import Variant

MOST_VARIANTS = 40  # in one figure
MOST_NUMBERED = 20  # points that have room for a number


def learning_curves(logs: Sequence[VariantLogs], select: Select) -> Plot | None:
    """The selected metric by epoch, a line a variant with a band of one sd over its seeds."""
    curves = [(item.name, item.metric(select.metric)) for item in logs]
    curves = [(name, curve) for name, curve in curves if curve.epochs]
    if not curves:
        return None
    figure, (axes,) = canvas()
    for position, (name, curve) in enumerate(curves):
        (label,) = shortened([name])
        axes.plot(curve.epochs, curve.mean, color=colour(position), label=label)
        low = [mean - sd for mean, sd in zip(curve.mean, curve.sd, strict=True)]
        high = [mean + sd for mean, sd in zip(curve.mean, curve.sd, strict=True)]
        axes.fill_between(curve.epochs, low, high, color=colour(position), alpha=0.18, linewidth=0)
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
    shown = [variant for variant in variants if variant.val][:MOST_VARIANTS]
    if not shown:
        return None
    figure, (axes,) = canvas(height=1.1 + 0.28 * len(shown))
    for row, variant in enumerate(shown):
        for value, mark, offset, face in ((variant.val, "o", -0.09, colour(0)), (variant.test, "s", 0.14, "none")):
            if value:
                axes.errorbar(
                    value.mean, row + offset, xerr=value.sd or 0, fmt=mark, color=colour(0 if mark == "o" else 1),
                    markerfacecolor=face, markersize=5, capsize=2, linewidth=1.2,
                    label={"o": select.metric, "s": f"{select.test_metric} (not used)"}[mark] if row == 0 else None,
                )  # fmt: skip
    labels = [_label(variant, variant.name == chosen) for variant in shown]
    axes.set_yticks(range(len(shown)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("mean ± sd over the seeds; ▸ the choice")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.02), borderaxespad=0)
    more = len([variant for variant in variants if variant.val]) - len(shown)
    caption = "Validation ranks; the test split is shown beside." + (f" {more} more are in the table." if more else "")
    return finish(figure, "variants", "Error by variant", caption)


def _label(variant: Variant, chosen: bool) -> str:
    """The name, marked where it is the choice, and how many of its seeds there are where some are missing."""
    (name,) = shortened([variant.name], 44)
    seeds = "" if variant.complete else f" ({len(variant.scored)}/{len(variant.runs)} seeds)"
    return f"{'▸ ' if chosen else ''}{name}{seeds}"


def parity(found: dict[str, Predictions], variant: str) -> Plot | None:
    """Predicted against true values of the chosen variant, a panel a split."""
    shown = {split: points for split, points in found.items() if len(points)}
    if not shown:
        return None
    figure, panels = canvas(columns=len(shown), width=4.0 * len(shown), height=3.7)
    for axes, (split, points) in zip(panels, shown.items(), strict=True):
        values = points.targets + points.predictions
        ends = [min(values), max(values)]
        axes.plot(ends, ends, color=RULE, linewidth=1)
        axes.scatter(points.targets, points.predictions, s=9, color=colour(0), alpha=0.55, linewidth=0)
        axes.set_aspect("equal", adjustable="datalim")
        axes.set(title=f"{split}, {len(points):,} points", xlabel="target", ylabel="prediction")
    caption = f"{variant}, all seeds; on the line the prediction is right."
    return finish(figure, "parity", "Parity", caption)


def accuracy_and_cost(variants: Sequence[Variant], select: Select) -> Plot | None:
    """The metric against trainable parameters and training time."""
    shown = [variant for variant in variants if variant.val and variant.parameters and variant.seconds][:MOST_VARIANTS]
    if len(shown) < 2:
        return None
    figure, panels = canvas(columns=2, height=3.2)
    costs = (
        ("parameters, millions", [(variant.parameters or 0) / 1e6 for variant in shown]),
        ("GPU minutes a run", [variant.gpu_minutes or 0 for variant in shown])
        if all(variant.gpus for variant in shown)
        else ("minutes a run", [(variant.seconds or 0) / 60 for variant in shown]),
    )
    for axes, (label, cost) in zip(panels, costs, strict=True):
        for x, variant in zip(cost, shown, strict=True):
            assert variant.val is not None
            axes.errorbar(x, variant.val.mean, yerr=variant.val.sd or 0, fmt="o", color=colour(0), markersize=4.5)
            if variant.rank is not None and len(shown) <= MOST_NUMBERED:
                at = (x, variant.val.mean)
                axes.annotate(str(variant.rank), at, (4, 4), textcoords="offset points", fontsize=7.5, color=INK)
        axes.set(xlabel=label, ylabel=select.metric)
        axes.margins(x=0.15)
    better = "Lower" if select.mode == "min" else "Upper"
    says = f"Mean ± sd over the seeds; numbers: rank in the table. {better} left is better."
    return finish(figure, "cost", "Accuracy against cost", says)

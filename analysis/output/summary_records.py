"""A summary as plain records: the rows of results_summary.csv, and the JSON of `--format json`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from analysis.collect.collection import CollectedRun
from analysis.formatting import axis_value
from analysis.rank.ranking import Variant
from analysis.rank.statistics import MeanSd
from analysis.rank.summary import Summary
from runner.health.fusion import judged_ratio
from runner.spreadsheet import csv_text


def csv_columns(summary: Summary) -> list[str]:
    """Columns of results_summary.csv, in their order."""
    return [*_own_columns(summary), *declared_columns(summary)]


def _own_columns(summary: Summary) -> list[str]:
    select = summary.collection.manifest.select
    return [
        "rank", "variant", *summary.collection.manifest.axes, "state", "seeds",
        f"{select.metric}_mean", f"{select.metric}_std", f"{select.test_metric}_mean", f"{select.test_metric}_std",
        "final_w_graph", "final_w_text", "ratio", "band", "health", "parameters", "seconds", "gpu_minutes",
        "contribution_ratio", "reliance", "flags",
    ]  # fmt: skip


def declared_columns(summary: Summary) -> list[str]:
    """A column for every quantity that the task declares and some variant reports, but for names of ours."""
    reported = {name for variant in summary.variants for name in variant.quantities} - set(_own_columns(summary))
    return [
        each.name for each in summary.collection.manifest.thresholds.quantities if each.column and each.name in reported
    ]


def csv_rows(summary: Summary) -> list[dict[str, Any]]:
    """A row a variant. Weights and ratio are of the fused layer farthest from the healthy band."""
    declared = declared_columns(summary)
    return [_row(variant, summary, declared) for variant in summary.variants]


def _row(variant: Variant, summary: Summary, declared: list[str]) -> dict[str, Any]:
    select, thresholds = summary.collection.manifest.select, summary.collection.manifest.thresholds
    judged = variant.judged_layer(thresholds)
    values = judged[1] if judged else {}
    return {
        "rank": variant.rank,
        "variant": variant.name,
        **{axis: axis_value(variant.axes.get(axis)) for axis in summary.collection.manifest.axes},
        "state": variant.state,
        "seeds": len(variant.scored),
        f"{select.metric}_mean": variant.val and variant.val.mean,
        f"{select.metric}_std": variant.val and variant.val.sd,
        f"{select.test_metric}_mean": variant.test and variant.test.mean,
        f"{select.test_metric}_std": variant.test and variant.test.sd,
        "final_w_graph": values.get("w_graph"),
        "final_w_text": values.get("w_text"),
        "ratio": judged and judged[2],
        "band": variant.band(thresholds),
        "health": variant.health,
        "parameters": variant.parameters,
        "seconds": variant.seconds,
        "gpu_minutes": variant.gpu_minutes,
        "contribution_ratio": values.get("contribution_ratio"),
        "reliance": variant.reliance,
        "flags": ", ".join(flag.mark for flag in variant.flags),
        **{name: variant.quantities.get(name) for name in declared},
    }


def to_csv(summary: Summary) -> str:
    """results_summary.csv; a list is one quoted field."""
    return csv_text(csv_columns(summary), csv_rows(summary))


def to_json(summary: Summary) -> dict[str, Any]:
    """Everything, as JSON values."""
    manifest, choice = summary.collection.manifest, summary.choice
    return {
        "experiment": manifest.experiment,
        "metric": manifest.select.metric,
        "mode": manifest.select.mode,
        "states": dict(summary.states),
        "variants": [_variant(variant, summary) for variant in summary.variants],
        "unfinished": [_unfinished(run) for run in summary.unfinished],
        "findings": [finding.as_dict() for finding in summary.findings],
        "baseline": [
            {
                **{key: getattr(item, key) for key in ("variant", "relative", "low", "high", "verdict")},
                "p": item.interval and item.interval.p,
                "p_adjusted": item.adjusted,
            }
            for item in summary.baseline
        ],
        "baseline_note": summary.baseline_note,
        "smallest_visible_effect": summary.visible_effect,
        "choice": choice
        and {
            "variant": choice.variant,
            "best": choice.best,
            "tied": list(choice.tie_set),
            "excluded": {name: list(messages) for name, messages in choice.excluded.items()},
            "provisional": summary.provisional,
            "waiting": list(summary.waiting),
            "reason": choice.reason,
        },
        "loss_weights": summary.weights and summary.weights.as_dict(),
        "promoted": list(summary.promoted),
        "commands": [{"purpose": step.purpose, "command": step.command} for step in summary.steps],
        "notes": list(summary.notes),
    }


def _variant(variant: Variant, summary: Summary) -> dict[str, Any]:
    thresholds = summary.collection.manifest.thresholds
    tie = summary.ties.get(variant.name)
    fusion = {
        layer: {**values, "judged_ratio": judged_ratio(values, thresholds)} for layer, values in variant.fusion.items()
    }
    return {
        "rank": variant.rank,
        "variant": variant.name,
        "axes": dict(variant.axes),
        "state": variant.state,
        "seeds": {"planned": len(variant.runs), "scored": len(variant.scored)},
        "val": _mean(variant.val),
        "test": _mean(variant.test),
        "tie": tie and {"tied": tie.tied, "reason": tie.reason},
        "fusion": fusion,
        "reliance": variant.reliance,
        "fused_layers": variant.fused_layers,
        "band": variant.band(thresholds),
        "health": variant.health,
        "findings": [finding.as_dict() for finding in variant.findings],
        "parameters": variant.parameters,
        "seconds": variant.seconds,
        "gpu_minutes": variant.gpu_minutes,
        "flags": [asdict(flag) for flag in variant.flags],
    }


def _mean(value: MeanSd | None) -> dict[str, Any] | None:
    return {"mean": value.mean, "sd": value.sd, "n": value.n} if value else None


def _unfinished(run: CollectedRun) -> dict[str, Any]:
    failure = run.record.failure or {}
    return {
        "run_id": run.run_id,
        "variant": run.plan.variant,
        "seed": run.plan.seed,
        "state": run.state,
        "epoch": run.record.epoch,
        "kind": failure.get("kind"),
        "message": failure.get("message"),
    }

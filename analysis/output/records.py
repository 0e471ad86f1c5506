"""A summary as plain records: results_summary.csv, the JSON of `--format json`, and results.json with every run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from analysis.collect.collection import CollectedRun
from analysis.output.columns import Where, columns
from analysis.output.sections import sections
from analysis.rank.ranking import Variant
from analysis.rank.summary import Summary
from runner.health.fusion import judged_ratio
from runner.health.quantities import Quantity, grouped, quantity
from runner.spreadsheet import csv_text


def csv_rows(summary: Summary) -> list[dict[str, Any]]:
    """One row for each variant. Weights and ratio are of the fused layer farthest from the healthy band."""
    shown = columns(summary, Where.DATA)
    return [
        {name: value for column in shown for name, value in column.fields(variant).items()}
        for variant in summary.variants
    ]


def to_csv(summary: Summary) -> str:
    """results_summary.csv; a list is one quoted field."""
    names = [name for column in columns(summary, Where.DATA) for name in column.field_names]
    return csv_text(names, csv_rows(summary))


def to_json(summary: Summary) -> dict[str, Any]:
    """Everything, as JSON values."""
    manifest, choice = summary.collection.manifest, summary.choice
    rows = csv_rows(summary)
    return {
        "experiment": manifest.experiment,
        "metric": manifest.select.metric,
        "mode": manifest.select.mode,
        "states": dict(summary.states),
        "variants": [row | _variant(variant, summary) for row, variant in zip(rows, summary.variants, strict=True)],
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
        "search": list(summary.search),
        "loss_weights": summary.weights and summary.weights.as_dict(),
        "promoted": list(summary.promoted),
        "commands": [asdict(step) for step in summary.steps],
        "notes": list(summary.notes),
        "sections": [asdict(section) for section in sections(summary, verbose=True)],
    }


def _variant(variant: Variant, summary: Summary) -> dict[str, Any]:
    """What of a variant is no column, or has more in it."""
    thresholds = summary.collection.manifest.thresholds
    tie = summary.ties.get(variant.name)
    return {
        "axes": dict(variant.axes),
        "seeds": {"planned": len(variant.runs), "scored": len(variant.scored)},
        "val": variant.val and asdict(variant.val),
        "test": variant.test and asdict(variant.test),
        "tie": tie and asdict(tie),
        "fusion": {
            layer: {**values, "judged_ratio": judged_ratio(values, thresholds)}
            for layer, values in variant.fusion.items()
        },
        "fused_layers": variant.fused_layers,
        "findings": [finding.as_dict() for finding in variant.findings],
        "flags": [asdict(flag) for flag in variant.flags],
    }


def _unfinished(run: CollectedRun) -> dict[str, Any]:
    failure = run.record.failure or {}
    return _named(run) | {"epoch": run.record.epoch, "kind": failure.get("kind"), "message": failure.get("message")}


def _named(run: CollectedRun) -> dict[str, Any]:
    return {"run_id": run.run_id, "variant": run.plan.variant, "seed": run.plan.seed, "state": run.state}


def search_results(summary: Summary) -> dict[str, Any]:
    """All planned runs in the order of the manifest, those that are not done with what they have, and the verdict."""
    select, (early, done, epochs) = summary.collection.manifest.select, summary.effort
    groups = grouped(item for item in summary.collection.manifest.thresholds.quantities if item.group)
    runs = [_run(run, select.metric, groups) for run in summary.collection.runs]
    return {
        "experiment": summary.collection.manifest.experiment,
        "metric": select.metric,
        "mode": select.mode,
        "written": datetime.fromtimestamp(summary.moment, UTC).isoformat(timespec="seconds"),
        "planned": len(runs),
        "completed": done,
        "stopped_early": early,
        "stopped_early_share": early / done if done else None,
        "total_epochs": epochs,
        "verdict": summary.weights and summary.weights.as_dict(),
        "choice": summary.choice and summary.choice.variant,
        "best": summary.choice and summary.choice.best,
        "runs": runs,
    }


def as_text(results: dict[str, Any]) -> str:
    """`results` as JSON, one line for each run: quickly written, and a search for a run finds all of it."""
    head = json.dumps({**results, "runs": []}, indent=1, ensure_ascii=False)
    runs = ",\n".join(f"  {json.dumps(run, ensure_ascii=False)}" for run in results["runs"])
    return (head.removesuffix("]\n}") + f"\n{runs}\n ]\n}}" if runs else head) + "\n"


def _run(run: CollectedRun, metric: str, groups: Mapping[str, list[Quantity]]) -> dict[str, Any]:
    record, result = run.record, run.result
    logged = result.metrics | {name: value for values in result.fusion.values() for name, value in values.items()}
    return {
        **_named(run),
        "axes": dict(run.plan.axes),
        "best_loss": result.metrics.get(metric),
        "best_epoch": result.best_epoch,
        "total_epochs": result.epochs if record.completed else record.epoch,
        "stopped_early": result.stopped_early if record.completed else None,
        **{
            f"{stem}_weights": {
                item.member: value for item in items if (value := quantity(logged, item.name)) is not None
            }
            or None
            for stem, items in groups.items()
        },
        "metrics": result.metrics or record.last,
    }

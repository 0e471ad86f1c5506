"""results.json: every run of an experiment with its best value, epochs and declared quantities, at any moment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from analysis.collect.collection import CollectedRun
from analysis.rank.summary import Summary
from runner.health.quantities import Quantity, grouped, quantity


def search_results(summary: Summary) -> dict[str, Any]:
    """All planned runs in the order of the manifest, those that are not done with what they have, and the verdict."""
    manifest = summary.collection.manifest
    groups = grouped(each for each in manifest.thresholds.quantities if each.group)
    runs = [_run(run, manifest.select.metric, groups) for run in summary.collection.runs]
    done = [run.record for run in summary.collection.runs if run.record.completed]
    early = sum(record.stopped_early for record in done)
    return {
        "experiment": manifest.experiment,
        "metric": manifest.select.metric,
        "mode": manifest.select.mode,
        "written": datetime.fromtimestamp(summary.moment, UTC).isoformat(timespec="seconds"),
        "planned": len(runs),
        "completed": len(done),
        "stopped_early": early,
        "stopped_early_share": early / len(done) if done else None,
        "total_epochs": sum(record.epochs or 0 for record in done),
        "verdict": summary.weights and summary.weights.as_dict(),
        "choice": summary.choice and summary.choice.variant,
        "best": summary.choice and summary.choice.best,
        "runs": runs,
    }


def as_text(results: dict[str, Any]) -> str:
    """`results` as JSON, a run a line: quickly written, and a search for a run finds all of it."""
    head = json.dumps({**results, "runs": []}, indent=1, ensure_ascii=False)
    runs = ",\n".join(f"  {json.dumps(run, ensure_ascii=False)}" for run in results["runs"])
    return (head.removesuffix("]\n}") + f"\n{runs}\n ]\n}}" if runs else head) + "\n"


def _run(run: CollectedRun, metric: str, groups: Mapping[str, list[Quantity]]) -> dict[str, Any]:
    record = run.record
    logged = record.metrics | {name: value for values in record.fusion.values() for name, value in values.items()}
    return {
        "run_id": run.run_id,
        "variant": run.plan.variant,
        "seed": run.plan.seed,
        "axes": dict(run.plan.axes),
        "state": run.state,
        "best_loss": record.metrics.get(metric),
        "best_epoch": record.best_epoch,
        "total_epochs": record.epochs if record.completed else record.epoch,
        "stopped_early": record.stopped_early if record.completed else None,
        **{f"{stem}_weights": _weights(members, logged) for stem, members in groups.items()},
        "metrics": record.metrics or record.last,
    }


def _weights(members: list[Quantity], logged: Mapping[str, Any]) -> dict[str, float] | None:
    """Member → its value, of a group that a run logged; None where it logged none."""
    values = {each.member: value for each in members if (value := quantity(logged, each.name)) is not None}
    return values or None

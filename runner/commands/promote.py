"""`runner promote`: the next stage of a funnel, from its template and the variants that the summary promotes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.commands import next_stage
from runner.commands.status import take
from runner.config.experiment import load
from runner.config.extends import read_extended
from runner.config.yaml_output import dump
from runner.errors import CommandFailed, UserError
from runner.files import read_mapping, write_text
from runner.matrix.run_id import value_label
from runner.rundir import manifest
from runner.rundir.layout import ExperimentDir


@dataclass(frozen=True)
class Promoted:
    """A variant that goes on, and where it came from."""

    variant: str
    axes: dict[str, Any]
    origin: dict[str, Any]  # experiment, variant, rank, metric, checkpoint


def promote(directory: ExperimentDir, config: str | None, top: int | None, incomplete: bool) -> Path:
    """Write `experiment.yaml` of the next stage beside this experiment's directory; its path.

    Raises UserError where no next stage is known, where runs are not completed (unless `incomplete`), and where the
    summary promotes nothing.
    """
    plan = manifest.read(directory)
    following = plan.content.get("next") or {}
    template = config or following.get("config")
    if template is None:
        raise UserError(
            f"{plan.experiment} names no next stage",
            next_command="runner promote EXPERIMENT --next configs/stage2.yaml",
        )
    _refuse_incomplete(directory, incomplete)
    promoted = _promoted(directory, plan, top or int(following.get("top", 3)))
    source = read_extended(next_stage.template(template, plan.content.get("config")))
    content, left_out = next_stage.content(source, [(its.variant, its.axes, its.origin) for its in promoted])
    path = directory.path.parent / str(content["experiment"]) / "experiment.yaml"
    write_text(path, _text(plan.experiment, template, promoted, left_out, content))
    load(path)  # a template that does not fit shows now
    return path


def _refuse_incomplete(directory: ExperimentDir, allowed: bool) -> None:
    counts = take(directory).counts
    left = {state: number for state, number in counts.items() if state not in ("completed", "dropped")}
    if left and not allowed:
        listed = ", ".join(f"{number} {state}" for state, number in left.items())
        raise UserError(
            f"{directory.path.name} is not complete ({listed}); a promotion now could leave out the best",
            next_command=f"runner status {directory.path.name}, or runner promote {directory.path.name} --incomplete",
        )


def _promoted(directory: ExperimentDir, plan: manifest.Manifest, top: int) -> list[Promoted]:
    """The first `top` of the ranking of `analysis summarize`."""
    summary = summarize(directory)
    found = []
    for variant in [variant for variant in summary["variants"] if variant["rank"] is not None][:top]:
        name = variant["variant"]
        origin = {
            "experiment": summary["experiment"],
            "variant": name,
            "rank": variant["rank"],
            summary["metric"]: variant["val"]["mean"],
            "checkpoint": _checkpoint(directory, plan, name, summary["metric"]),
        }
        found.append(Promoted(name, variant["axes"], origin))
    if not found:
        raise UserError(f"the summary of {directory.path.name} ranks no variant", next_command="analysis summarize")
    return found


def _checkpoint(directory: ExperimentDir, plan: manifest.Manifest, variant: str, metric: str) -> str | None:
    """The best epoch of the variant's best seed; None where it is not kept."""
    sign = -1 if plan.content.get("select", {}).get("mode") == "max" else 1
    found: list[tuple[float, str]] = []
    for planned in plan.runs:
        run = directory.run(planned.run_id)
        value = read_mapping(run.result).get("metrics", {}).get(metric)
        if planned.variant == variant and value is not None and run.best_checkpoint.exists():
            found.append((sign * value, str(run.best_checkpoint)))
    return min(found)[1] if found else None


def summarize(directory: ExperimentDir) -> dict[str, Any]:
    """What `analysis summarize --format json` says; it writes the summary files as well."""
    command = [sys.executable, "-P", "-m", "analysis.cli", "summarize", str(directory.path), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise CommandFailed(f"analysis summarize failed: {done.stderr.strip()}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _text(previous: str, template: str, promoted: list[Promoted], left_out: list[str], content: dict[str, Any]) -> str:
    lines = [f"Written by `runner promote {previous}` from {template}; promoted:"]
    for variant in promoted:
        told = ", ".join(f"{key} {value_label(value)}" for key, value in variant.origin.items())
        lines.append(f"{variant.variant}: {told}")
    return dump(content, *lines, *left_out)

"""`runner promote`: the next stage of a funnel, from its template and the variants that the summary promotes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from analysis.commands import summarize as summary_command
from analysis.rank.ranking import Variant
from analysis.rank.summary import Summary
from analysis.rank.summary import summarize as summary_of
from runner.commands import next_stage
from runner.commands.status import take
from runner.config.experiment_file import load, read_extended
from runner.config.yaml_output import dump
from runner.errors import UserError
from runner.files import as_count, write_text
from runner.matrix.run_id import value_label
from runner.rundir import manifest
from runner.rundir.layout import ExperimentDir


class Promoted(NamedTuple):
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
    template = config or plan.next.get("config")
    if template is None:
        raise UserError(
            f"{plan.experiment} names no next stage",
            next_command="runner promote EXPERIMENT --next configs/stage2.yaml",
        )
    _refuse_incomplete(directory, incomplete)
    promoted = _promoted(summarize(directory), top or as_count(plan.next.get("top")) or 3)
    content, left_out = next_stage.content(read_extended(next_stage.template(template, plan.config)), promoted)
    path = ExperimentDir(directory.path.parent / str(content["experiment"])).experiment_file
    write_text(path, _text(plan.experiment, template, promoted, left_out, content))
    load(path)  # a template that does not fit shows now
    return path


def _refuse_incomplete(directory: ExperimentDir, allowed: bool) -> None:
    counts = take(directory).counts
    listed = ", ".join(f"{counts[state]} {state}" for state in counts if state not in ("completed", "dropped"))
    if listed and not allowed:
        raise UserError(
            f"{directory.path.name} is not complete ({listed}); a promotion now could leave out the best",
            next_command=f"runner status {directory.path.name}, or runner promote {directory.path.name} --incomplete",
        )


def _promoted(summary: Summary, top: int) -> list[Promoted]:
    """The first `top` of the ranking of `analysis summarize`."""
    manifest = summary.collection.manifest
    ranked = [variant for variant in summary.variants if variant.rank is not None][:top]
    if not ranked:
        raise UserError(f"the summary of {manifest.experiment} ranks no variant", next_command="analysis summarize")
    return [
        Promoted(
            variant.name,
            dict(variant.axes),
            {
                "experiment": manifest.experiment,
                "variant": variant.name,
                "rank": variant.rank,
                manifest.select.metric: variant.val and variant.val.mean,
                "checkpoint": _checkpoint(summary, variant),
            },
        )
        for variant in ranked
    ]


def _checkpoint(summary: Summary, variant: Variant) -> str | None:
    """The best epoch of the variant's best seed; None where it is not kept."""
    select, directory = summary.collection.manifest.select, summary.collection.directory
    best_first = sorted(variant.scored, key=lambda run: select.sign * run.result.metrics[select.metric])
    checkpoints = (directory.run(run.run_id).best_checkpoint for run in best_first)
    return next((str(path) for path in checkpoints if path.exists()), None)


def summarize(directory: ExperimentDir) -> Summary:
    """What `analysis summarize` says; it writes the summary files as well."""
    summary = summary_of(directory.path)
    summary_command.save(summary)
    return summary


def _text(previous: str, template: str, promoted: list[Promoted], left_out: list[str], content: dict[str, Any]) -> str:
    facts = [", ".join(f"{key} {value_label(value)}" for key, value in one.origin.items()) for one in promoted]
    lines = [f"{variant.variant}: {fact}" for variant, fact in zip(promoted, facts, strict=True)]
    return dump(content, f"Written by `runner promote {previous}` from {template}; promoted:", *lines, *left_out)

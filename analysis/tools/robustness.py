"""`analysis robustness NAME…`: errors with right, deleted, shuffled and truncated texts. Opens checkpoints."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from analysis.commands.arguments import DEFAULT_ROOT, FormatOption, OfExperiment, Root, summary_of, variants_named
from analysis.output.writing import write_rows
from runner.errors import CommandFailed
from runner.rundir.cache_root import cache_root
from runner.terminal import tell


def command(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Variants or runs; left out: every variant that reads a text."),
    ] = None,
    experiment: OfExperiment = None,
    root: Root = DEFAULT_ROOT,
    format: FormatOption = "table",
) -> None:
    """Errors with right and with wrong texts; healthy: right < deleted ≤ shuffled. Never used to choose."""
    summary = summary_of(experiment, root)
    manifest, directory = summary.collection.manifest, summary.collection.directory
    runs = {
        variant.name: [directory.run(run.run_id) for run in variant.scored]
        for variant in variants_named(summary, names or [])
    }
    from jobs.tasks.crystal.tools import robustness
    from jobs.tasks.crystal.tools.load_run import params_of

    rows: list[dict[str, Any]] = []
    metric, cache = manifest.select.metric, cache_root()
    for name, completed in runs.items():
        opened = completed if names else [run for run in completed if params_of(run).model.uses_text]
        if not opened:
            continue
        tell(f"{name}: {len(opened)} completed runs")
        errors = robustness.means([robustness.robustness(run, cache, lambda line: tell(f"  {line}")) for run in opened])
        reads = "yes" if robustness.reads_its_text(errors, metric, manifest.select.mode) else "no"
        for shown, healthy in ((metric, reads), (metric.replace("val_", "test_", 1), None)):
            by_text = {kind: errors[kind][shown] for kind in robustness.TEXTS}
            rows.append({"variant": name, "seeds": len(opened), "metric": shown, **by_text, "healthy": healthy})
    if not rows:
        raise CommandFailed(f"no completed run of {manifest.experiment} reads a text", next_command="runner status")
    write_rows(rows, format)

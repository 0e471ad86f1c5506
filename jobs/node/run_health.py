"""The health of a completed run, by the rules that its log and `summarize` apply too."""

from __future__ import annotations

import csv

from jobs.task import Outcome
from runner.files import content, read_json_lines
from runner.health.findings import health_word
from runner.health.judgement import Ending, Logs, finished_findings
from runner.health.training import standard_deviation
from runner.rundir.layout import RunDir
from runner.rundir.run_config import RunConfig


def health_of(outcome: Outcome, config: RunConfig, run: RunDir) -> str:
    """ok, warning or blocking."""
    table = csv.DictReader(content(run.predictions).decode().splitlines())
    rows = [row for row in table if row.get("split") == "val"]  # none where the task writes no predictions
    ending = Ending(
        metric=config.metric,
        mode=config.mode,
        metrics=outcome.metrics,
        best_epoch=outcome.best_epoch,
        epochs=outcome.epochs,
        fusion=outcome.fusion,
        prediction_sd=standard_deviation([float(row["prediction"]) for row in rows]),
        target_sd=standard_deviation([float(row["target"]) for row in rows]),
    )
    diagnostics = read_json_lines(run.diagnostics)
    layers = [{"epoch": r.get("epoch"), "layer": n, **v} for r in diagnostics for n, v in r.get("layers", {}).items()]
    logs = Logs(read_json_lines(run.metrics), layers)
    return health_word(finished_findings(logs, ending, config.params, config.thresholds()))

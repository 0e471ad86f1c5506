"""`runner expand`: the runs of an experiment file, and what already exists of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from runner.commands.loading import Loaded, units_in_words
from runner.commands.search import cost_lines
from runner.commands.tables import Column, fitted
from runner.config.quantities import counted, human_seconds
from runner.matrix.expansion import Run
from runner.matrix.resolution import Replaced, replaced
from runner.matrix.run_id import value_label
from runner.rundir.manifest import run_ids
from runner.spreadsheet import csv_text
from runner.submit.submission import array_tasks
from runner.submit.survey import survey

TABLE_ROWS = 50
SHARED_ROWS = 5
REPLACED_ROWS = 5


def as_json(loaded: Loaded) -> str:
    """The runs as JSON, with their whole parameters."""
    runs = [
        {"run_id": r.run_id, "variant": r.variant, "seed": r.seed, "axes": r.axes, "params": r.params}
        for r in loaded.expansion.runs
    ]
    return json.dumps({"experiment": loaded.experiment.experiment, "runs": runs}, allow_nan=False)


def as_csv(loaded: Loaded) -> str:
    """One row a run: number, id, variant, seed, and one column an axis (lists and mappings as JSON)."""
    made: dict[int, str] = {}  # values of the matrix are few objects in many runs
    rows = (
        {"number": run.number, "run_id": run.run_id, "variant": run.variant, "seed": run.seed}
        | {key: _cell(value, made) for key, value in run.axes.items()}
        for run in loaded.expansion.runs
    )
    return csv_text(["number", "run_id", "variant", "seed", *loaded.expansion.axes], rows)


def _cell(value: Any, made: dict[int, str]) -> str:
    if isinstance(value, str):
        return value
    text = made.get(id(value))
    if text is None:
        text = made[id(value)] = json.dumps(value)
    return text


def as_table(loaded: Loaded, width: int) -> Table:
    """The first fifty runs."""
    expansion = loaded.expansion
    runs = expansion.first_round[:TABLE_ROWS]
    states, _ = survey(loaded.directory, (run.run_id for run in runs))
    return fitted(
        [
            Column("#", [str(run.number) for run in runs], right=True),
            Column("variant", [_variant(run, expansion.baseline) for run in runs], fold=True),
            Column("seed", [str(run.seed) for run in runs], right=True),
            Column("state", [states[run.run_id].state for run in runs]),
            Column("run", [run.run_id for run in runs], keep=1),
        ],
        width,
    )


def _variant(run: Run, baseline: str | None) -> str:
    return f"{run.variant} *" if run.variant == baseline else run.variant


def lines(loaded: Loaded) -> Iterator[str]:
    """What stands below the table: counts, what the runs share, what they may cost."""
    expansion, experiment = loaded.expansion, loaded.experiment
    if len(expansion.runs) > TABLE_ROWS or experiment.search:
        shown = min(TABLE_ROWS, len(expansion.first_round))
        yield f"… and {len(expansion.runs) - shown:,} more; --format csv lists all"
    yield from cost_lines(expansion)
    if base := expansion.file.source.base:
        yield f"extends {base.path}, whose keys hold where this file has none"
    if expansion.baseline is not None:
        yield "* baseline, with which the others are compared"
    for variant, seed, listed in expansion.shared[:SHARED_ROWS]:
        yield f"not listed: {variant}, seed {seed}, is the same run as {listed}"
    if len(expansion.shared) > SHARED_ROWS:
        yield f"not listed: {len(expansion.shared) - SHARED_ROWS:,} more that are the same run as another"
    yield _counts(loaded)
    yield from _replaced(loaded)
    select = experiment.select
    yield f"ranked by {select.metric}, the {'smaller' if select.mode == 'min' else 'larger'} the better"
    axes = set(expansion.axes)
    shared = [f"{key}={value_label(value)}" for key, value in _flat(experiment.params) if key not in axes]
    if shared:
        yield "params, where a variant sets nothing else: " + " ".join(shared)
    yield from units_in_words(loaded)
    yield from _costs(loaded)


def _replaced(loaded: Loaded) -> Iterator[str]:
    """The sections of `params` that variants replace by another kind, whose options no longer count there."""
    variants: dict[Replaced, list[str]] = {}
    seen: dict[tuple[str, int], list[Replaced]] = {}  # a value of an axis is one object in many points
    for variant, point in loaded.expansion.points.items():
        for key, value in point.overrides.items():
            if (key, id(value)) not in seen:
                seen[key, id(value)] = replaced(loaded.experiment.params, key, value)
            for one in seen[key, id(value)]:
                variants.setdefault(one, []).append(variant)
    for one, names in list(variants.items())[:REPLACED_ROWS]:
        listed = f"{names[0]} and {len(names) - 1:,} more" if len(names) > 1 else names[0]
        options = ", ".join(one.lost)
        yield f"in {listed} {one.key} is {one.after} instead of {one.before}; not used there: {options}"
    if len(variants) > REPLACED_ROWS:
        yield f"… and {len(variants) - REPLACED_ROWS:,} more sections that are replaced by another kind"


def _counts(loaded: Loaded) -> str:
    """How many runs there are, and how many of them the directory knows."""
    expansion, seeds = loaded.expansion, loaded.experiment.matrix.seeds
    here = {run.run_id for run in expansion.runs}
    there = set()
    if loaded.directory.runs.is_dir():
        there = {entry.name for entry in loaded.directory.runs.iterdir() if entry.is_dir()}
    planned = run_ids(loaded.directory)
    rounds = "in all rounds" if loaded.experiment.search else f"× {counted(len(seeds), 'seed')}"
    of = f"{counted(len(expansion.variants), 'variant')} {rounds}"
    return (
        f"{counted(len(here), 'run')} ({of}): {len(here - there):,} new, {len(here & there):,} unchanged; "
        f"{len(planned - here):,} submitted earlier that the file no longer has"
    )


def _flat(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in params.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _costs(loaded: Loaded) -> Iterator[str]:
    """Estimates of disk and time; the time limit is all that is known before a run."""
    runs, experiment = loaded.expansion.runs, loaded.experiment
    estimate = getattr(loaded.task, "disk_bytes", None)
    if estimate is not None:
        looked_at = runs[:1000]
        total = sum(estimate(run.params) for run in looked_at) * len(runs) / len(looked_at)
        yield f"estimated disk: {total / 1e9:.1f} GB"
    if experiment.resources.time:
        tasks = array_tasks(runs, experiment.array)
        asked = [experiment.array.of_task(experiment.resources, len(task)) for task in tasks]
        hours = sum((task.time or 0) * max(1, task.nodes * task.gpus) for task in asked) / 3600
        what = "GPU hours" if experiment.resources.gpus else "hours"
        limit = human_seconds(max(task.time or 0 for task in asked))
        yield f"at most {hours:,.1f} {what}: {counted(len(tasks), 'array task')} of {limit} each"

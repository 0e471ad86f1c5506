"""`runner expand`: the runs of an experiment file, what already exists of them, and the rounds of a search."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator

from rich.table import Table

from runner.commands.loading import Loaded, units_in_words
from runner.commands.tables import Column, fitted
from runner.config.quantities import counted, human_seconds
from runner.config.template import flat
from runner.matrix.expansion import Expansion
from runner.matrix.resolution import Replaced, replaced
from runner.matrix.run_id import value_label
from runner.rundir.manifest import run_ids
from runner.search.rounds import cost, expected, generations, kept_part, most
from runner.spreadsheet import csv_text
from runner.submit.arrays import array_tasks
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
    """One row per run: number, id, variant, seed, and one column per axis (lists and mappings as JSON)."""
    values = {id(value): value for run in loaded.expansion.runs for value in run.axes.values()}  # few, in many runs
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
    rows = (
        {"number": run.number, "run_id": run.run_id, "variant": run.variant, "seed": run.seed}
        | {key: texts[id(value)] for key, value in run.axes.items()}
        for run in loaded.expansion.runs
    )
    return csv_text(["number", "run_id", "variant", "seed", *loaded.expansion.axes], rows)


def as_table(loaded: Loaded, width: int) -> Table:
    """The first fifty runs."""
    expansion = loaded.expansion
    runs = expansion.first_round[:TABLE_ROWS]
    states, _ = survey(loaded.directory, (run.run_id for run in runs))
    return fitted(
        [
            Column("#", [str(run.number) for run in runs], right=True),
            Column("variant", [run.variant + " *" * (run.variant == expansion.baseline) for run in runs], fold=True),
            Column("seed", [str(run.seed) for run in runs], right=True),
            Column("state", [states[run.run_id].state for run in runs]),
            Column("run", [run.run_id for run in runs], keep=1),
        ],
        width,
    )


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
    leaves = [(key, value) for key, value in flat(experiment.params).items() if not (isinstance(value, dict) and value)]
    if shared := " ".join(f"{key}={value_label(value)}" for key, value in leaves if key not in expansion.axes):
        yield f"params, where a variant sets nothing else: {shared}"
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
        yield f"in {listed} {one.key} is {one.after} instead of {one.before}; not used there: {', '.join(one.lost)}"
    if len(variants) > REPLACED_ROWS:
        yield f"… and {len(variants) - REPLACED_ROWS:,} more sections that are replaced by another kind"


def _counts(loaded: Loaded) -> str:
    """How many runs there are, and how many of them the directory knows."""
    expansion, seeds = loaded.expansion, loaded.experiment.matrix.seeds
    listed, existing = {run.run_id for run in expansion.runs}, loaded.directory.existing()
    rounds = "in all rounds" if loaded.experiment.search else f"× {counted(len(seeds), 'seed')}"
    return (
        f"{counted(len(listed), 'run')} ({counted(len(expansion.variants), 'variant')} {rounds}): "
        f"{len(listed - existing):,} new, {len(listed & existing):,} unchanged; "
        f"{len(run_ids(loaded.directory) - listed):,} submitted earlier that the file no longer has"
    )


def _costs(loaded: Loaded) -> Iterator[str]:
    """Estimates of disk and time; the time limit is all that is known before a run."""
    runs, experiment = loaded.expansion.runs, loaded.experiment
    estimate = getattr(loaded.task, "disk_bytes", None)
    if estimate is not None:
        total = statistics.fmean(estimate(run.params) for run in runs[:1000]) * len(runs)
        yield f"estimated disk: {total / 1e9:.1f} GB"
    if experiment.resources.time:
        tasks = array_tasks(runs, experiment.array)
        asked = [experiment.array.of_task(experiment.resources, len(task)) for task in tasks]
        hours = sum((task.time or 0) * max(1, task.nodes * task.gpus) for task in asked) / 3600
        what = "GPU hours" if experiment.resources.gpus else "hours"
        limit = human_seconds(max(task.time or 0 for task in asked))
        yield f"at most {hours:,.1f} {what}: {counted(len(tasks), 'array task')} of {limit} each"


def cost_lines(expansion: Expansion) -> Iterator[str]:
    """The points of each round, and what they cost, expected and at most."""
    search, plan = expansion.file.experiment.search, expansion.search
    if search is None or plan is None:
        return
    points, propose = len({run.point for run in expansion.runs}), search.propose
    part, first = kept_part(search), [points]
    if propose is not None:
        beside = len(expansion.file.experiment.matrix.named) + len(expansion.file.experiment.matrix.include)
        first = [beside + min(at * propose.at_once, propose.count) for at in range(1, generations(search) + 1)]
    ways = [first, first]
    for _ in plan.rounds[len(first) :]:
        ways = [[*way, rule(way[-1], part)] for way, rule in zip(ways, (expected, most), strict=True)]
    for number, (likely, largest) in enumerate(zip(*ways, strict=True), 1):
        at_most = "" if likely == largest else f", {largest:,} at most"
        yield f"search: {plan.named(number)}: {counted(likely, 'point')}{at_most}"
    if first[-1] > points:
        yield f"{counted(first[-1] - points, 'point')} will be proposed; the numbers of runs and hours below lack them"
    usual, highest = (cost(plan, way) for way in ways)
    yield f"expected cost {usual:.0%} of every point with all seeds and the full budget, {highest:.0%} at most"
    if plan.key and not plan.stable:
        saved = usual - cost(plan.model_copy(update={"stable": 1.0}), ways[0])
        yield f"each rung starts anew, which costs about {saved:.0%} of that; docs/search.md says when it need not"

"""The points that join a search after a round: proposed from its results, valid, and not there yet."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from statistics import fmean

from runner.config.experiment import Overrides
from runner.matrix.conditions import fit
from runner.matrix.expansion import Expansion
from runner.matrix.resolution import Resolver
from runner.matrix.run_id import axis_names, variant_label
from runner.search.proposals import suggestions
from runner.search.rounds import generations

LOOKS = 50  # suggestions for each point that is wanted


def joined(
    expansion: Expansion, number: int, seen: Mapping[str, Sequence[float | None]], known: Collection[str] = ()
) -> dict[str, Overrides]:
    """The points that join after round `number`, by name; fewer where the axes have no more that differ.

    seen: point → its metric with each seed. known: names of points that are the same as others.
    """
    experiment = expansion.file.experiment
    search, random, mode = experiment.search, experiment.matrix.random, experiment.select.mode or "min"
    if search is None or search.propose is None or random is None or number >= generations(search):
        return {}
    values = {point: fmean(value for value in row if value is not None) for point, row in seen.items()}
    budget = search.rungs.key if search.rungs else None
    results = [  # in the order of the points: TPE gives older ones less weight
        ({key: value for key, value in run.axes.items() if key != budget}, values[run.point])
        for run in expansion.runs
        if (run.rung, run.seed) == (0, experiment.matrix.seeds[0]) and run.point in values
    ]
    resolver = Resolver(expansion.schema, experiment.task, experiment.params)
    names, points = axis_names(expansion.axes), dict[str, Overrides]()
    taken = {run.point for run in expansion.runs}.union(known)
    wanted = min(search.propose.at_once, search.propose.count - number * search.propose.at_once)
    suggested = suggestions(random.axes, results, mode, search.propose.seed + number)
    for suggestion in islice(suggested, LOOKS * wanted):
        point = fit(resolver, random, expansion.seed_key, expansion.file.source, suggestion)
        if point is not None and (name := variant_label(point, names)) not in taken:
            points[name] = point
        if len(points) == wanted:
            break
    return points

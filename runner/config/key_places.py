"""Where a key belongs that stands in the wrong place: `matrix` below `params`, `train` at the top level."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pydantic import BaseModel

from runner.config.cluster import SlurmCluster
from runner.config.experiment import Experiment
from runner.config.validation import UNKNOWN_KEY, members, models_of
from runner.errors import Problem, nearest

_SHOWN = 3  # places of one name, of those nearest to the top


def with_place(problem: Problem, params: type[BaseModel] | None, *, of_matrix: bool = False) -> Problem:
    """`problem` with the place where its unknown key belongs, if it names none yet.

    params: the task's schema, where the task is known. of_matrix: the key is one that the matrix sets, so that the
    places below `params` are written as the matrix writes them.
    """
    if problem.what != UNKNOWN_KEY or problem.nearest or problem.key is None:
        return problem
    name = problem.key.rpartition(".")[2]
    prefix = "" if of_matrix and not problem.key.startswith("params.") else "params."
    places: dict[str, list[str]] = {}
    for key, path in [
        *(_paths(params, prefix) if params is not None else ()),
        *((key, f"{path} (at the top level)" if path == key else path) for key, path in _paths(Experiment, "")),
        *((key, f"{path} in a cluster file") for key, path in _paths(SlurmCluster, "")),
    ]:
        places.setdefault(key, []).append(path)
    guess = name if name in places else nearest(name, places)
    if guess is None:
        return problem
    least = min(path.count(".") for path in places[guess])
    shown = [path for path in places[guess] if path.count(".") == least]
    return replace(problem, nearest=" or ".join(shown[:_SHOWN]))


def _paths(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str]]:
    """Every key of `model` with its dotted path; options that several kinds share once."""
    level, seen = [(prefix, model)], set[str]()
    while level:
        below = []
        for start, one in level:
            for name, info in one.model_fields.items():
                if (path := f"{start}{name}") not in seen:
                    seen.add(path)
                    yield name, path
                below += [(f"{path}.", inner) for inner in models_of(members(info.annotation))]
        level = below

"""New points by TPE (Bergstra et al. 2011): Optuna's sampler, made anew in memory from the results each time."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runner.config.experiment import Draw, Overrides


def suggestions(
    axes: Mapping[str, Draw], results: Sequence[tuple[Overrides, float]], mode: str, seed: int
) -> Iterator[Overrides]:
    """Points to look at next, without end, each with a value for every axis; the same for the same arguments.

    results: points with their metric; one may lack axes. Those that the axes do not hold are left out.
    """
    import optuna  # an extra, and slow to import

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # group: axes that not every point has
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True)
    study = optuna.create_study(direction="minimize" if mode == "min" else "maximize", sampler=sampler)
    space = {key: _distribution(axis) for key, axis in axes.items()}
    for point, value in results:
        if point and all(key in axes and _holds(axes[key], item) for key, item in point.items()):
            params = {key: _text(item) if axes[key].choice else item for key, item in point.items()}
            own = {key: space[key] for key in point}
            study.add_trial(optuna.trial.create_trial(params=params, distributions=own, value=value))
    while True:
        yield {key: _value(axes[key], item) for key, item in study.ask(space).params.items()}


def _distribution(axis: Draw) -> Any:
    from optuna import distributions as kinds

    if axis.choice is not None:
        return kinds.CategoricalDistribution(list(dict.fromkeys(map(_text, axis.choice))))
    if axis.integer is not None:
        return kinds.IntDistribution(*axis.integer)
    low, high = axis.log_uniform or axis.uniform or (0.0, 1.0)  # one of the four is given
    return kinds.FloatDistribution(low, high, log=axis.log_uniform is not None)


def _holds(axis: Draw, value: Any) -> bool:
    if axis.choice is not None:
        return _text(value) in map(_text, axis.choice)
    low, high = axis.integer or axis.log_uniform or axis.uniform or (0.0, 1.0)
    return isinstance(value, (int, float)) and low <= value <= high


def _value(axis: Draw, item: Any) -> Any:
    if axis.choice is not None:
        return next(value for value in axis.choice if _text(value) == item)
    return item if axis.integer else axis.rounded(item)


def _text(value: Any) -> str:
    """A choice as Optuna is told it: a list or a mapping cannot be a choice there."""
    return json.dumps(value, sort_keys=True)

"""What ranks the variants: a metric and its good end, from the experiment file and the task, which must agree."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from runner.config.experiment import Select
from runner.config.experiment_file import ExperimentFile
from runner.config.metric_names import Mode, named_mode
from runner.errors import Problem, nearest

DEFAULT = "val_mae"


class Reported(NamedTuple):
    """What a task reports of the validation split."""

    followed: str  # the metric that says which epoch is the best
    modes: tuple[tuple[str, Mode], ...]  # metric → its good end, as far as the task knows it
    names: frozenset[str] | None = None  # all that is reported; None: not known before a run


def resolved_select(file: ExperimentFile, reported: Iterable[Reported]) -> tuple[Select, list[Problem]]:
    """`select` with the metric and mode that hold, and what contradicts the task or the name of the metric.

    reported: what the runs report; empty for a task that does not say.
    """
    select = file.experiment.select
    distinct = list(
        dict.fromkeys({id(report): report for report in reported}.values())
    )  # 100,000 runs share few objects
    metric = select.metric or (distinct[0].followed if distinct else DEFAULT)
    known = next((modes[metric] for report in distinct if metric in (modes := dict(report.modes))), None)
    mode = select.mode or known or named_mode(metric)
    problems = [problem for report in distinct for problem in _contradictions(file, metric, mode, report)]
    if mode is None:
        what = f"missing; neither the task nor its name says which end of {metric} is the good one"
        problems.append(file.source.problem(("select", "mode"), what, allowed="min or max"))
    elif mode == "min" and named_mode(metric) == "max":
        what = f"min of {metric}, which is better the larger it is: the worst variant would be taken"
        problems.append(file.source.problem(("select", "mode"), what, allowed="max"))
    return select.model_copy(update={"metric": metric, "mode": mode or "min"}), list(dict.fromkeys(problems))


def _contradictions(file: ExperimentFile, metric: str, mode: Mode | None, reported: Reported) -> list[Problem]:
    if reported.names is not None and metric not in reported.names:
        listed = [name for name in sorted(reported.names) if name.startswith("val_")]
        what, guess = f"found {metric!r}, which the task never reports", nearest(metric, listed)
        return [file.source.problem(("select", "metric"), what, allowed=", ".join(listed), nearest=guess)]
    known = dict(reported.modes).get(metric)
    if known is None or known == mode:
        return []
    what = f"found {mode}, but the task says that {metric} is better the {'smaller' if known == 'min' else 'larger'}"
    return [file.source.problem(("select", "mode"), what, allowed=f"{known}, or leave it out: the task says it")]


def reported_by(task: Any, models: Iterable[Any]) -> Iterable[Reported]:
    """What `task` reports of runs with these parameters; nothing where it does not say."""
    reported: Callable[[Any], Reported] | None = getattr(task, "reported", None)
    return map(reported, models) if reported else ()

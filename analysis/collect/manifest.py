"""What an experiment meant to run: its manifest, checked, and the rules of choosing that it carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from analysis.collect.reading import finite_items, json_object
from runner.config.metric_names import named_mode
from runner.errors import CommandFailed, ConfigError, Problem
from runner.files import as_number
from runner.health.quantities import read_quantities
from runner.health.thresholds import Thresholds, overridden
from runner.rundir.layout import ExperimentDir


@dataclass(frozen=True)
class PlannedRun:
    """One run of the manifest."""

    number: int  # its row, from 1
    run_id: str
    variant: str
    seed: int | None
    axes: Mapping[str, Any]  # dotted key → value
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Select:
    """How variants are ranked."""

    metric: str = "val_mae"
    mode: str = "min"
    within: float = 0.05  # share of the best; variants inside it are tied

    @property
    def test_metric(self) -> str:
        """The same metric on the test split; shown, never used."""
        return "test_" + self.metric.removeprefix("val_")

    @property
    def sign(self) -> int:
        """+1 where smaller is better."""
        return 1 if self.mode == "min" else -1


@dataclass(frozen=True)
class Manifest:
    """The manifest of one experiment."""

    experiment: str
    task: str | None
    description: str
    runs: tuple[PlannedRun, ...]
    select: Select
    thresholds: Thresholds
    baseline: str | None  # variant
    next_stage: Mapping[str, Any]  # {config, top}; empty: none planned
    target_mae: Mapping[str, float]  # {good, acceptable}: the user's own goal, shown only
    config: str | None  # the experiment file that was submitted
    adopted: bool = False  # its runs are another program's, and nothing of ours starts them again

    @property
    def runs_user_code(self) -> bool:
        """Whether the task is a command or a class of the user's."""
        return self.task is None or self.task == "command" or ":" in self.task

    @cached_property
    def axes(self) -> tuple[str, ...]:
        """Every axis in the order of its first use."""
        return tuple(dict.fromkeys(axis for run in self.runs for axis in run.axes))


def read_manifest(directory: ExperimentDir) -> Manifest:
    """Raises CommandFailed when there is no readable manifest, ConfigError when its choosing rules are wrong."""
    path = directory.manifest
    if not directory.path.is_dir():
        raise CommandFailed(f"no such experiment directory: {directory.path}")
    if not path.exists():
        raise CommandFailed(
            f"{directory.path} has no manifest.json: not the directory of an experiment, or nothing was submitted",
            next_command="runner submit CONFIG",
        )
    content = json_object(path)
    if content is None or not isinstance(content.get("runs"), list):
        raise CommandFailed(
            f"{path} is truncated or not a manifest",
            next_command="runner submit CONFIG (writes it anew; runs are kept)",
        )
    runs = tuple(run for row, item in enumerate(content["runs"], 1) if (run := _planned(row, item)) is not None)
    baseline, following = content.get("baseline"), content.get("next")
    select = _mapping(content.get("select"))
    target = content.get("target_mae", select.get("target_mae"))
    return Manifest(
        experiment=str(content.get("experiment") or directory.path.resolve().name),
        task=content["task"] if isinstance(content.get("task"), str) else None,
        description=str(content.get("description") or ""),
        runs=runs,
        select=_select(select, str(path)),
        thresholds=overridden(
            content.get("health"),
            select.get("ratio"),
            file=str(path),
            quantities=read_quantities(content.get("quantities")),
        ),
        baseline=baseline if isinstance(baseline, str) else None,
        next_stage=_mapping(following),
        target_mae=finite_items(target),
        config=content.get("config") if isinstance(content.get("config"), str) else None,
        adopted=content.get("adopted") is True,
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _planned(number: int, item: Any) -> PlannedRun | None:
    """A run of the manifest; None for what is none. A run_id names a directory, so it holds no separator."""
    if not isinstance(item, Mapping) or not isinstance(item.get("run_id"), str):
        return None
    run_id = item["run_id"]
    if not run_id or run_id in (".", "..") or Path(run_id).name != run_id:
        return None
    seed = item.get("seed")
    return PlannedRun(
        number=number,
        run_id=run_id,
        variant=str(item.get("variant") or run_id),
        seed=seed if isinstance(seed, int) else None,
        axes=_mapping(item.get("axes")),
        params=_mapping(item.get("params")),
    )


def _select(values: Mapping[str, Any], file: str) -> Select:
    problems = []
    metric = values.get("metric") or "val_mae"
    named = named_mode(str(metric))
    mode = values.get("mode") or named or "min"
    if not isinstance(metric, str) or not metric.startswith("val_"):
        allowed = "a metric of the validation split: val_…; the test split never takes part in a choice"
        problems.append(Problem(f"found {metric!r}", "select.metric", file, allowed=allowed))
    if mode not in ("min", "max"):
        problems.append(Problem(f"found {mode!r}", "select.mode", file, allowed="min or max"))
    elif mode == "min" and named == "max":
        what = f"min of {metric}, which is better the larger it is: the worst variant would be taken"
        problems.append(Problem(what, "select.mode", file, allowed="max"))
    within = share(values.get("within", 0.05))
    if within is None:
        problems.append(Problem(f"found {values['within']!r}", "select.within", file, allowed="a share, as 5% or 0.05"))
    if problems:
        raise ConfigError(problems)
    return Select(str(metric), str(mode), within or 0.0)


def share(value: Any) -> float | None:
    """`5%` and `0.05` as 0.05; None for anything else."""
    if isinstance(value, str):
        text = value.strip()
        try:
            number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            return None
    else:
        number = as_number(value)  # type: ignore[assignment]
    return number if number is not None and 0 <= number < 1 else None

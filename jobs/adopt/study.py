"""Trials of an Optuna study, read from its SQLite file with the standard library alone; nothing is written there."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from jobs.adopt.schema import StudyParams
from runner.files import LARGEST_FILE, as_number, open_file

_TABLES = (
    "studies", "study_directions", "trials", "trial_params", "trial_values", "trial_intermediate_values",
)  # fmt: skip
_DIRECTIONS: dict[Any, Literal["min", "max"]] = {"MINIMIZE": "min", "MAXIMIZE": "max"}
_SPECIAL = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}


@dataclass
class Trial:
    """One trial."""

    number: int
    state: str  # COMPLETE, PRUNED, FAIL, RUNNING or WAITING
    seconds: float | None  # from its start to its end
    params: dict[str, Any] = field(default_factory=dict)  # those it was given; conditional ones may be missing
    reported: dict[int, float] = field(default_factory=dict)  # step → intermediate value
    value: float | None = None  # of the objective


@dataclass(frozen=True)
class Study:
    """A study with its trials, by number."""

    name: str
    mode: Literal["min", "max"]  # which end of the objective is the good one
    trials: list[Trial]
    notes: list[str]


def read_study(params: StudyParams) -> Study:
    """The study that `params` name. Raises ValueError where there is none that can be read, and OSError."""
    path = Path(params.storage.removeprefix("sqlite:///"))
    with open_file(path, links=True) as file:
        if (size := file.seek(0, 2)) > LARGEST_FILE:
            raise ValueError(f"{path} has {size:,} bytes, more than is read ({LARGEST_FILE:,})")
    try:
        # immutable: no lock, no journal and no other file beside it is looked for or made
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            return _study(database, params, path)
    except (
        sqlite3.Error,
        TypeError,
        OverflowError,
        UnicodeDecodeError,
    ) as error:  # the latter: values of another type than Optuna writes
        raise ValueError(f"{path} cannot be read as the SQLite file of a study: {error}") from None


def _study(database: sqlite3.Connection, params: StudyParams, path: Path) -> Study:
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if missing := [name for name in _TABLES if name not in tables]:
        raise ValueError(f"{path} is no study of Optuna: it has no table {missing[0]}")
    known = {str(name): number for number, name in database.execute("SELECT study_id, study_name FROM studies")}
    wanted = params.study if params.study is not None else next(iter(known)) if len(known) == 1 else None
    if wanted not in known:
        what = "holds several studies; name one" if wanted is None else f"has no study {wanted!r}"
        raise ValueError(f"{path} {what}: {', '.join(sorted(known)) or 'it has none'}")
    number = known[wanted]
    directions = dict(
        database.execute("SELECT objective, direction FROM study_directions WHERE study_id = ?", (number,))
    )
    if directions.get(params.objective) not in _DIRECTIONS:
        raise ValueError(f"{wanted} has no objective {params.objective} to minimise or maximise; it has {directions}")
    trials = _trials(database, number, params.objective)
    beside = [path.with_name(f"{path.name}-{end}") for end in ("wal", "journal")]
    notes = [
        f"{other} holds changes that are not in {path.name} yet"
        for other in beside
        if other.is_file() and other.stat().st_size
    ]
    return Study(wanted, _DIRECTIONS[directions[params.objective]], trials, notes)


def _trials(database: sqlite3.Connection, study: int, objective: int) -> list[Trial]:
    columns = "trial_id, number, state, datetime_start, datetime_complete"
    cursor = database.execute(f"SELECT {columns} FROM trials WHERE study_id = ? ORDER BY number", (study,))
    trials = {key: Trial(int(number), str(state), _seconds(*times)) for key, number, state, *times in cursor}

    def rows(columns: str, table: str) -> Iterator[tuple[Trial, Any, Any, Any]]:
        for key, *row in database.execute(f"SELECT trial_id, {columns} FROM {table}"):
            if key in trials:
                yield trials[key], row[0], row[1], row[2]

    for trial, name, value, distribution in rows("param_name, param_value, distribution_json", "trial_params"):
        trial.params[str(name)] = _parameter(value, distribution)
    for trial, step, value, kind in rows(
        "step, intermediate_value, intermediate_value_type", "trial_intermediate_values"
    ):
        trial.reported[int(step)] = _number(value, kind)
    for trial, place, value, kind in rows("objective, value, value_type", "trial_values"):
        if place == objective:
            trial.value = _number(value, kind)
    return list(trials.values())


def _parameter(value: Any, distribution: Any) -> Any:
    """The value of a parameter: one of the choices, a whole number, or a number."""
    try:
        kind = json.loads(distribution)
        name, choices = kind["name"], kind["attributes"].get("choices")
        return choices[int(value)] if choices is not None else int(value) if "Int" in name else float(value)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise ValueError(f"a parameter of a trial is damaged: {str(value)[:40]!r}") from None


def _number(value: Any, kind: Any) -> float:
    number = as_number(value)
    return _SPECIAL.get(kind, math.nan) if number is None else number


def _seconds(start: Any, end: Any) -> float | None:
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    except (TypeError, ValueError):  # not started, or not ended
        return None

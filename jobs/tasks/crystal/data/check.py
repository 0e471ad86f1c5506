"""Checking the data parameters of a configuration at submit time, without torch and without reading structures."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from jobs.tasks.crystal.data import sources
from jobs.tasks.crystal.data.location import located
from jobs.tasks.crystal.data.params import DataParams
from jobs.tasks.crystal.data.properties import column_of, missing_target, refuse_without_logarithm
from jobs.tasks.crystal.data.records import SPLITS
from jobs.tasks.crystal.data.splits import alignn_sizes, choose, sizes
from jobs.tasks.crystal.data.summary import UNSPLIT, Summary
from runner.errors import CommandFailed, ConfigError, Problem, UserError, nearest
from runner.rundir.cache_root import cache_root

DESCRIBERS = ("jarvis", "robocrys")  # can be computed for any crystal


def check_data(data: DataParams, describe: str | None = None, root: Path | None = None) -> list[Problem]:
    """The mistakes in the data parameters, and in `describe`, the text column, where the model reads a text.

    Keys are those of the crystal task (`data.target`, `text.describe`). A data set that was not downloaded yet is
    checked by name alone; the rest shows when it is prepared.
    """
    problems = fractions = _check_fractions(data)
    try:
        summary = sources.summary_of(data.dataset, root)
    except ConfigError as error:
        return problems + error.problems
    except UserError as error:
        return [*problems, Problem(error.message.removeprefix("data.dataset: "), key="data.dataset")]
    if summary is None:
        return problems
    if describe is not None and describe not in {*DESCRIBERS, *summary.texts}:
        allowed = sorted({*DESCRIBERS, *summary.texts})
        what, near = f"{data.dataset} has no text column {describe!r}", nearest(describe, allowed)
        problems = [*problems, Problem(what, key="text.describe", allowed=", ".join(allowed), nearest=near)]
    column = column_of(data.target, summary.targets)
    named = column or data.target
    if named in summary.no_numbers:
        what = f"{data.dataset}: {named} is no number: {summary.no_numbers[named]}"
        numbers = "numbers with a decimal point and without a unit, such as 3.5; an empty cell for no value"
        return [*problems, Problem(what, key="data.target", allowed=numbers)]
    if column is None:
        counts = {name: summary.count(name) for name in summary.targets}
        return [*problems, missing_target(data.dataset, data.target, counts)]
    return problems if fractions else problems + _check_sizes(data, summary, column)


def missing_describer(dataset: str, describe: str, root: Path | None = None) -> list[Problem]:
    """The mistake of descriptions that have to be computed by a package that is not installed."""
    summary = sources.summary_of(dataset, root)
    shipped = () if summary is None else summary.texts
    if describe != "robocrys" or describe in shipped or importlib.util.find_spec("robocrys") is not None:
        return []
    what = f"{dataset} has no robocrys descriptions, and the package that computes them is not installed"
    allowed = ", ".join(sorted({"jarvis", *shipped}))
    return [Problem(what, key="text.describe", allowed=f"{allowed}; or: pip install robocrys")]


def check_crystals(data: DataParams, describe: str | None = None, root: Path | None = None) -> list[Problem]:
    """What is wrong with the crystals of a folder or table that a run will read, and with their texts.

    Reads all of them, and keeps them below `root`, so that they are read only once. Data that ship or are downloaded
    were checked by others, but for targets of which a logarithm is wanted.
    """
    kind, _ = located(data.dataset)
    if kind == "jarvis" or (kind == "shipped" and data.scale == "linear"):
        return []
    try:
        crystals = _kept(data, root or cache_root()).crystals
        refuse_without_logarithm(crystals, data.target, data.scale)
        chosen = set(choose(crystals, data, data.dataset).ids["train"])
    except ConfigError as error:
        return error.problems
    except UserError as error:
        key, _, what = error.message.partition(": ")
        known = key.startswith("data.")
        return [Problem(what if known else error.message, key=key if known else "data.dataset")]
    if describe in (None, *DESCRIBERS) or any(it.texts.get(describe) for it in crystals if it.material_id in chosen):
        return []
    what = f"all {len(chosen):,} train crystals of {data.dataset} have an empty {describe}"
    return [Problem(what, key="text.describe", allowed="a column of texts, or jarvis, which writes them")]


def _kept(data: DataParams, root: Path) -> sources.Dataset:
    try:
        return sources.load(data.dataset, data.target, root)
    except CommandFailed:  # no cache can be written here
        return sources.load(data.dataset, data.target)


def _check_fractions(data: DataParams) -> list[Problem]:
    if data.split == "official" or (min(data.fractions) > 0 and sum(data.fractions) <= 1 + 1e-9):
        return []
    percent = min(data.fractions) > 0 and sum(data.fractions) <= 100
    return [
        Problem(
            f"found {list(data.fractions)}",
            key="data.fractions",
            allowed="three numbers above 0 that add up to 1 or less: train, val, test",
            nearest=str([share / 100 for share in data.fractions]) if percent else None,
        )
    ]


def _check_sizes(data: DataParams, summary: Summary, column: str) -> list[Problem]:
    """Wanted numbers against what the split holds; `formula` cuts between formulas, so its sizes are known too late."""
    counts = dict(summary.targets[column])
    if data.split == "official" and not set(counts) - {UNSPLIT}:
        return [
            Problem(
                f"{data.dataset} has no official split for {data.target}",
                key="data.split",
                allowed="random, formula, alignn",
            )
        ]
    if data.split == "alignn":
        try:
            alignn_sizes(sum(counts.values()), data)
        except UserError as error:
            key, _, what = error.message.partition(": ")
            return [Problem(what, key=key)]
        return []
    present = counts if data.split == "official" else sizes(sum(counts.values()), data.fractions)
    problems = []
    for name in SPLITS:
        wanted: int | None = getattr(data, name)
        exists = present.get(name, 0)
        if exists == 0 or (wanted is not None and wanted > exists and data.split != "formula"):
            problems.append(
                Problem(
                    f"{'all' if wanted is None else f'{wanted:,}'} crystals wanted; the {data.split} split of "
                    f"{data.dataset} has {exists:,} with {data.target}",
                    key=f"data.{name}",
                    allowed=f"1 to {exists:,}, or null for all" if exists else "another split method or data set",
                )
            )
    return problems

"""Every kind of data set by name: the shipped sets, JARVIS sets, a folder in ALIGNN's convention, a table."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from jobs.tasks.crystal.data import folder, jarvis_sets, shipped_sets, table
from jobs.tasks.crystal.data.crystals import Crystal
from jobs.tasks.crystal.data.official_splits import official_split
from jobs.tasks.crystal.data.parsed_cache import parsed
from jobs.tasks.crystal.data.properties import column_of, missing_target
from jobs.tasks.crystal.data.records import refuse_twice
from jobs.tasks.crystal.data.summary import Summary
from runner.errors import ConfigError, Problem, UserError, nearest
from runner.rundir.cache_root import cache_root


@dataclass(frozen=True)
class Dataset:
    """The crystals of a data set that have the wanted target."""

    name: str
    target: str | None  # as the configuration names it; the key in every crystal's targets
    crystals: list[Crystal]
    notes: list[str]  # what a reader of the results must know: rows left out, older names


def load(dataset: str, target: str | None, root: Path | None = None) -> Dataset:
    """Read `dataset`; with a target, rows without it are left out and counted in the notes.

    `root` is the cache, where JARVIS sets lie and where parsed folders and tables are kept (without it, they are read
    anew). Raises UserError for an unknown data set or target, a file that is missing or cannot be read, and an id that
    stands twice.
    """
    kind = kind_of(dataset)
    notes: list[str] = []
    if kind == "shipped":
        crystals = shipped_sets.load(dataset)
    elif kind == "jarvis":
        crystals, notes = jarvis_sets.load(dataset, root or cache_root())
    else:
        crystals = _from_files(kind, Path(os.path.expanduser(dataset)), root)
    if not crystals:
        raise UserError(f"data.dataset: {dataset} holds no crystal")
    if target is None:
        return Dataset(dataset, target, crystals, notes)
    return _with_target(Dataset(dataset, target, crystals, notes), target)


def summary_of(dataset: str, root: Path | None = None) -> Summary | None:
    """Targets, text columns and splits with their sizes, without reading structures; None before a download."""
    kind = kind_of(dataset)
    if kind == "shipped":
        return shipped_sets.summary(dataset)
    if kind == "jarvis":
        return jarvis_sets.summary(dataset, root or cache_root())
    path = Path(os.path.expanduser(dataset))
    return folder.summary(path) if kind == "folder" else table.summary(path)


def kind_of(dataset: str) -> str:
    """`shipped`, `jarvis`, `folder` or `table`; raises UserError for a name that is none of them."""
    if dataset in shipped_sets.NAMES:
        return "shipped"
    if dataset in jarvis_sets.NAMES:
        return "jarvis"
    path = Path(os.path.expanduser(dataset))
    if os.path.isdir(path):  # unlike Path.is_dir false for a name that no file can have
        if not (path / folder.ID_PROP).is_file():
            raise UserError(f"data.dataset: the folder {dataset} has no {folder.ID_PROP}")
        return "folder"
    if os.path.isfile(path):
        if not table.readable(path):
            raise UserError(f"data.dataset: {dataset} is not a table; allowed: {', '.join(table.SUFFIXES)}")
        return "table"
    names = [*shipped_sets.NAMES, *jarvis_sets.NAMES]
    unknown = Problem(
        f"there is no data set, folder or file {dataset!r}",
        key="data.dataset",
        allowed=f"{', '.join(names)}, a folder with {folder.ID_PROP}, a table ({', '.join(table.SUFFIXES)})",
        nearest=nearest(dataset, names),
    )
    raise ConfigError([unknown])


def _from_files(kind: str, path: Path, root: Path | None) -> list[Crystal]:
    """The crystals of a folder or table, checked for ids that stand twice."""
    is_folder = kind == "folder"

    def read() -> list[Crystal]:
        crystals = folder.load(path) if is_folder else table.load(path)
        refuse_twice((it.material_id for it in crystals), path)
        return crystals

    if root is None:
        return read()
    key = folder.content(path) if is_folder else table.content(path)
    return parsed(path.name.split(".")[0], key, root, read)


def _with_target(data: Dataset, target: str) -> Dataset:
    """The crystals that have the target, under the name the configuration gives it, and with the target's split."""
    dataset, crystals, notes = data.name, data.crystals, list(data.notes)
    available = Counter(name for crystal in crystals for name in crystal.targets)
    nameless = set(available) == {folder.UNNAMED}  # an id_prop.csv without header: any name means its one target
    column = folder.UNNAMED if nameless else column_of(target, available)
    if column is None:
        raise ConfigError([missing_target(dataset, target, available)])
    kept = [crystal for crystal in crystals if column in crystal.targets]
    if split_of := official_split(dataset, column):
        kept = [replace(it, split=split_of.get(it.material_id)) for it in kept]
    if column != target:
        kept = [replace(it, targets={**it.targets, target: it.targets[column]}) for it in kept]
        if not nameless:
            notes.append(f"target {target} is called {column} in {dataset}")
    if len(kept) < len(crystals):
        notes.append(f"{len(crystals) - len(kept):,} of {len(crystals):,} crystals have no {target} and were left out")
    return Dataset(dataset, target, kept, notes)

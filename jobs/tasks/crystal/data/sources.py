"""Every kind of data set by name: the shipped sets, JARVIS sets, a folder in ALIGNN's convention, a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from jobs.tasks.crystal.data import folder, jarvis_sets, shipped_sets, table
from jobs.tasks.crystal.data.crystals import Crystal
from jobs.tasks.crystal.data.location import located
from jobs.tasks.crystal.data.parsed_cache import Parsed, parsed
from jobs.tasks.crystal.data.properties import UNNAMED, column_of, missing_target
from jobs.tasks.crystal.data.records import names_of, refuse_many_unread, refuse_twice
from jobs.tasks.crystal.data.summary import Summary
from runner.errors import ConfigError, UserError
from runner.rundir.cache_root import cache_root


@dataclass(frozen=True)
class Dataset:
    """The crystals of a data set that have the wanted target."""

    name: str
    target: str | None  # as the configuration names it; the key in every crystal's targets
    crystals: list[Crystal]
    notes: list[str]  # what a reader of the results must know: rows left out, older names
    unread: Mapping[str, str] = field(default_factory=dict)  # place of a row without a readable structure → why


def load(dataset: str, target: str | None, root: Path | None = None) -> Dataset:
    """Read `dataset`; with a target, rows without it are left out and counted in the notes.

    `root` is the cache, where JARVIS sets lie and where parsed folders and tables are kept (without it, they are read
    anew). Raises UserError for an unknown data set or target, a file that is missing or cannot be read, and an id that
    stands twice.
    """
    kind, path = located(dataset)
    notes: list[str] = []
    if kind == "shipped":
        rows = Parsed(shipped_sets.load(dataset))
    elif kind == "jarvis":
        crystals, notes = jarvis_sets.load(dataset, root or cache_root())
        rows = Parsed(crystals)
    else:
        rows = _from_files(kind, path, root)
    if not rows.crystals:
        raise UserError(f"data.dataset: {dataset} holds no crystal")
    if rows.unread:
        total = len(rows.crystals) + len(rows.unread)
        what = f"{len(rows.unread):,} of {total:,} rows of {dataset} have no readable structure and were left out"
        notes.append(f"{what}: {names_of(rows.unread)}")
    data = Dataset(dataset, target, list(rows.crystals), notes, rows.unread)
    return data if target is None else _with_target(data, target)


def summary_of(dataset: str, root: Path | None = None) -> Summary | None:
    """Targets, text columns and splits with their sizes, without reading structures; None before a download."""
    kind, path = located(dataset)
    if kind == "shipped":
        return shipped_sets.summary(dataset)
    if kind == "jarvis":
        return jarvis_sets.summary(dataset, root or cache_root())
    return folder.summary(path) if kind == "folder" else table.summary(path)


def _from_files(kind: str, path: Path, root: Path | None) -> Parsed:
    """The rows of a folder or table, checked for ids that stand twice and for too many without a structure."""
    layout = folder if kind == "folder" else table

    def read() -> Parsed:
        unread: dict[str, str] = {}
        crystals = layout.load(path, unread)
        refuse_many_unread(unread, len(crystals), path)
        refuse_twice((crystal.material_id for crystal in crystals), path)
        return Parsed(crystals, unread)

    return read() if root is None else parsed(path.name.split(".")[0], layout.content(path), root, read)


def _with_target(data: Dataset, target: str) -> Dataset:
    """The crystals that have the target, under the name the configuration gives it, and with the target's split."""
    dataset, crystals, notes = data.name, data.crystals, list(data.notes)
    available = Counter(name for crystal in crystals for name in crystal.targets)
    if (column := column_of(target, available)) is None:
        raise ConfigError([missing_target(dataset, target, available)])
    kept = [crystal for crystal in crystals if column in crystal.targets]
    if split_of := shipped_sets.official_split(dataset, column):
        kept = [replace(it, split=split_of.get(it.material_id)) for it in kept]
    if column != target:
        kept = [replace(it, targets={**it.targets, target: it.targets[column]}) for it in kept]
        if column != UNNAMED:
            notes.append(f"target {target} is called {column} in {dataset}")
    if len(kept) < len(crystals):
        notes.append(f"{len(crystals) - len(kept):,} of {len(crystals):,} crystals have no {target} and were left out")
    return replace(data, target=target, crystals=kept, notes=notes)

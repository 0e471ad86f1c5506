"""Folders that a pattern names, `results/layers_{layers}_seed{seed}`, with the values that stand in their names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.reading.files import natural
from runner.config.template import names_in, parts
from runner.config.yaml_source import scalar

SEED = "seed"  # the name whose value is the seed of a run, not an axis
MOST_FOLDERS = 100_000


@dataclass(frozen=True)
class Folder:
    """One folder, and what its name says."""

    path: Path
    values: dict[str, Any]  # name → value, as YAML reads it; the seed is one of them


@dataclass(frozen=True)
class Folders:
    """What lies where the pattern looks."""

    matching: list[Folder]  # in natural order: 2 before 10
    others: list[str]  # folders beside them that do not fit
    links: list[str]  # names that fit and are links, which are not followed


def folders(pattern: str) -> Folders:
    """Every folder that `pattern` names; `*` is any text, and nothing is followed out of the tree.

    Raises ValueError where there is no tree to look into, where a name can be read in two ways, and for more than
    MOST_FOLDERS.
    """
    components = pattern.split("/")
    fixed = next((at for at, part in enumerate(components) if "*" in part or names_in(part)), len(components))
    base = Path("/".join(components[:fixed]) or ("/" if pattern.startswith("/") else "."))
    if not base.is_dir():
        raise ValueError(f"there is no folder {base}")
    matching, rest = [], components[fixed:]
    others: list[str] = []
    links: list[str] = []
    for path in _below(base, rest, others, links):
        if (values := _values("/".join(rest), path.relative_to(base).as_posix())) is None:
            others.append(str(path))
        else:
            matching.append(Folder(path, values))
        if len(matching) > MOST_FOLDERS:
            raise ValueError(f"fits more than {MOST_FOLDERS:,} folders")
    return Folders(sorted(matching, key=lambda folder: natural(folder.path)), others, links)


def _below(base: Path, components: Sequence[str], others: list[str], links: list[str]) -> Iterator[Path]:
    """The folders below `base` whose names fit `components`, one level for each."""
    if not components:
        yield base
        return
    fitting = _expression(components[0], lazy=False)
    with os.scandir(base) as scan:
        entries = sorted(scan, key=lambda entry: entry.name)
    for entry in entries:
        fits = entry.name.isprintable() and fitting.fullmatch(entry.name) is not None
        if entry.is_dir(follow_symlinks=False):
            if fits:
                yield from _below(base / entry.name, components[1:], others, links)
            elif not entry.name.startswith("."):
                others.append(str(base / entry.name))
        elif fits and entry.is_symlink():
            links.append(str(base / entry.name))


def _values(pattern: str, name: str) -> dict[str, Any] | None:
    """What `name` says; None where a name that stands twice in the pattern has two values."""
    greedy, lazy = (_expression(pattern, lazy=lazy).fullmatch(name) for lazy in (False, True))
    if greedy is None or lazy is None:
        return None
    if greedy.groups() != lazy.groups():  # the first and the last of all readings
        readings = [
            ", ".join(f"{key} = {text}" for key, text in _named(pattern, match).items()) for match in (lazy, greedy)
        ]
        raise ValueError(f"reads {name!r} in two ways: {readings[0]}, or {readings[1]}")
    return {name: int(text) if name == SEED else scalar(text) for name, text in _named(pattern, greedy).items()}


def _named(pattern: str, match: re.Match[str]) -> dict[str, str]:
    names = dict.fromkeys(name for _, name in parts(pattern) if name is not None)
    return {name: match[f"n{at}"] for at, name in enumerate(names)}


def _expression(pattern: str, lazy: bool) -> re.Pattern[str]:
    """`pattern` as a regular expression with a group n0, n1, … for each name. lazy: earlier ones as short as may be."""
    seen: dict[str, str] = {}
    text, least = "", "?" if lazy else ""
    for literal, name in parts(pattern):
        text += f"([^/]*{least})".join(re.escape(piece) for piece in literal.split("*"))
        if name in seen:
            text += f"(?P={seen[name]})"
        elif name is not None:
            seen[name] = f"n{len(seen)}"
            text += f"(?P<{seen[name]}>{'[0-9]+' if name == SEED else '[^/]+'}{least})"
    return re.compile(text, re.DOTALL)

"""Experiment files that build on each other: `extends: base.yaml`, merged below the file that names it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.config import yaml_source
from runner.config.yaml_output import dump
from runner.config.yaml_source import Source
from runner.errors import ConfigError


def read_extended(path: Path, *, strict: bool = True, users: tuple[Path, ...] = ()) -> Source:
    """The file `path` merged over the one that its `extends` names, which may extend another one.

    The text of the result needs no other file. users: the files that extend this one. Raises ConfigError, UserError.
    """
    source = yaml_source.read(path, strict=strict)
    name = source.value.get("extends")
    if name is None:
        return source
    below = path.parent / str(name)
    if not isinstance(name, str) or not below.is_file():
        what = f"found {name!r}; there is no such file beside {path}"
        raise ConfigError([source.problem(("extends",), what, allowed="the path of an experiment file, from here")])
    if below.resolve() in (chain := (*users, path.resolve())):
        listed = " → ".join(one.name for one in (*chain, below))
        raise ConfigError([source.problem(("extends",), f"files extend each other without end: {listed}")])
    base = read_extended(below, strict=strict, users=chain)
    value = merge(base.value, {key: item for key, item in source.value.items() if key != "extends"})
    return replace(source, value=value, text=dump(value), base=base, mistakes=[*source.mistakes, *base.mistakes])


def merge(section: Any, value: Any) -> Any:
    """`value` set over `section`: a mapping key by key, unless its `name` selects another kind; anything else whole."""
    if not (isinstance(section, dict) and isinstance(value, dict)) or selects_another_kind(section, value):
        return value
    return section | {key: merge(section.get(key), item) for key, item in value.items()}


def selects_another_kind(section: dict[str, Any], value: dict[str, Any]) -> bool:
    """Whether the options of `section` belong to another kind than the `name` of `value` says."""
    return "name" in section and "name" in value and section["name"] != value["name"]

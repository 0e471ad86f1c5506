"""`--set key=value`: a key of an experiment file, given on the command line."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from runner.config import yaml_source
from runner.config.dotted import with_value
from runner.config.yaml_source import Source
from runner.errors import ConfigError, Problem
from runner.masking import MASK, is_secret

EXAMPLE = "--set train.epochs=5"


def override(source: Source, text: str, top_level: Collection[str]) -> None:
    """Set a key of `source` as `text` says; a key that is not one of `top_level` stands below `params`.

    Raises ConfigError when `text` is not key=value, or goes through something that holds no keys.
    """
    name, separator, written = text.partition("=")
    flag = f"--set {text}"
    if not separator or not name.strip():
        raise ConfigError([Problem("is not key=value", flag, allowed=EXAMPLE)])
    parts = name.strip().split(".")
    if parts[0] not in top_level:
        parts = ["params", *parts]
    for axes in (["matrix", "axes"], ["matrix", "random", "axes"]):
        if parts[: len(axes)] == axes and len(parts) > len(axes):
            parts = [*axes, ".".join(parts[len(axes) :])]  # the keys of axes are dotted themselves
    if is_secret(parts[-1], written.strip()):
        what = "the value looks like a token or a password, and would stand in many files of the experiment"
        allowed = f"export {parts[-1].upper()}=…, or `environment` in a cluster file that only you can read"
        raise ConfigError([Problem(what, f"--set {name}={MASK}", allowed=allowed)])
    value = _value(written, flag)
    section: Any = source.value
    for depth, part in enumerate(parts[:-1], 1):
        section = section.get(part) or {}  # an empty section
        if not isinstance(section, dict):
            what = f"{yaml_source.dotted(tuple(parts[:depth]))} holds {section!r}, so no key below it can be set"
            raise ConfigError([Problem(what, flag)])
    source.value.update(with_value(source.value, parts, value))
    source.replaced[tuple(parts)] = flag


def _value(written: str, flag: str) -> Any:
    try:
        read = yaml_source.parse(f"value: {written}", Path(flag)).value
    except ConfigError as error:
        raise ConfigError([Problem(problem.what, flag) for problem in error.problems]) from None
    if len(read) > 1:
        what = f"gives {', '.join(list(read)[1:])} on further lines; one --set sets one key"
        raise ConfigError([Problem(what, flag, allowed="--set a=1 --set b=2")])
    return read["value"]

"""For which runs a cache was filled before: a hint that lies in the cache and goes with it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from runner.files import read_json, write_json


def covers(root: Path, experiment: str, run_ids: Iterable[str]) -> bool:
    """Whether the cache was filled for all of `run_ids`. Their ids hold a hash of their parameters."""
    return set(run_ids) <= _recorded(root, experiment)


def record(root: Path, experiment: str, run_ids: Iterable[str]) -> None:
    """Note that the cache holds what `run_ids` need."""
    write_json(_path(root, experiment), sorted({*run_ids, *_recorded(root, experiment)}), indent=None)


def _recorded(root: Path, experiment: str) -> set[str]:
    listed = read_json(_path(root, experiment))
    return set(listed) if isinstance(listed, list) else set()


def _path(root: Path, experiment: str) -> Path:
    return root / "prepared" / f"{experiment}.json"

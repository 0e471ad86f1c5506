"""The cache of run records: in the user's own cache root, keyed by the experiment's path; always rebuildable.

An entry holds for the time, size and inode of every file read. A cache of another VERSION or of other thresholds is
ignored. It never lies in the experiment: a directory that somebody else made would bring its own.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from analysis.collect.reading import json_object
from analysis.collect.run_record import ReadingOptions, RunRecord
from runner.files import write_text
from runner.health.findings import Finding
from runner.rundir.cache_root import cache_root, make_folder, open_to_others
from runner.rundir.layout import ExperimentDir

Signature = str  # "name mtime_ns size inode" of every file that is read, joined by "/"; empty: no such run directory
Entry = tuple[Signature, RunRecord]
VERSION = 2  # raised by whoever changes what is read of a run, a rule of health, or an interval


def load_cache(directory: ExperimentDir, options: ReadingOptions) -> dict[str, Entry]:
    """run_id → what was read last time; empty when there is no cache of these rules."""
    content = read_cache(cache_file(directory, "runs.json"), _rules(options))
    try:
        return {run_id: (signature, _record(values)) for run_id, signature, values in content.get("entries", [])}
    except (TypeError, ValueError, KeyError):  # damaged
        return {}


def save_cache(directory: ExperimentDir, options: ReadingOptions, entries: dict[str, Entry]) -> str:
    """Replace the cache; returns why it cannot be written, as in a read-only copy, or nothing."""
    rows = [(run_id, signature, _plain(record)) for run_id, (signature, record) in entries.items()]
    content = {"rules": _rules(options), "entries": rows}
    return write_cache(cache_file(directory, "runs.json"), content)


def cache_file(directory: ExperimentDir, name: str) -> Path:
    """Where a cache of the experiment lies: below the cache root, in a folder named after its real path."""
    key = hashlib.sha256(os.path.realpath(directory.path).encode(errors="surrogateescape")).hexdigest()[:32]
    return cache_root() / "summaries" / key / name


def read_cache(path: Path, rules: str) -> dict[str, Any]:
    """The content of a cache file; empty where there is none of these rules, or another user could have written it."""
    content = json_object(path)
    if content is None or content.get("rules") != rules or open_to_others(path):
        return {}
    return content


def write_cache(path: Path, content: dict[str, Any]) -> str:
    """Replace a cache file; returns why it cannot be written: a summary does not need its cache."""
    try:
        make_folder(path.parent)
        write_text(path, json.dumps(content, separators=(",", ":")), private=True)
    except OSError as error:
        return f"{path}: {error.strerror}"
    return ""


def _rules(options: ReadingOptions) -> str:
    """What the cached findings depend on besides the files: version, options, thresholds."""
    return f"{VERSION} {options!r}"


def _plain(record: RunRecord) -> dict[str, Any]:
    return vars(record) | {"findings": [vars(finding) for finding in record.findings]}


def _record(values: dict[str, Any]) -> RunRecord:
    return RunRecord(**values | {"findings": [Finding(**finding) for finding in values["findings"]]})

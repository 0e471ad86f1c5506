"""The cache of run records in analysis/cache: keyed by the time and size of every file read, always rebuildable.

A cache that was written by another version of the rules, with other thresholds, or that cannot be read, is ignored.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import runner.health.findings
from analysis.reading import json_object
from analysis.run_record import ReadingOptions, RunRecord
from runner.files import leads_out, write_text
from runner.health.findings import Finding
from runner.layout import ExperimentDir

Signature = str  # "name mtime_ns size" of every file that is read, joined by "/"; empty: no such run directory
Entry = tuple[Signature, RunRecord]
RULES = (
    "reading",
    "run_record",
    "code_version",
    "predictions",
)


def load_cache(directory: ExperimentDir, options: ReadingOptions) -> dict[str, Entry]:
    """run_id → what was read last time; empty when there is no cache of these rules."""
    content = json_object(directory.record_cache)
    if content is None or content.get("rules") != _rules(options):
        return {}
    return {run_id: (signature, _record(values)) for run_id, signature, values in content["entries"]}


def save_cache(directory: ExperimentDir, options: ReadingOptions, entries: dict[str, Entry]) -> str:
    """Replace the cache; returns why it cannot be written, as in a read-only copy, or nothing."""
    rows = [(run_id, signature, _plain(record)) for run_id, (signature, record) in entries.items()]
    content = {"rules": _rules(options), "entries": rows}
    return write_cache(directory.record_cache, content, directory.path)


def write_cache(path: Path, content: dict[str, Any], inside: Path) -> str:
    """Replace a cache file below `inside`; returns why it cannot be written: a summary does not need its cache."""
    if leads_out(path, inside):
        return f"{path} leads out of {inside} by a link"
    try:
        write_text(path, json.dumps(content, separators=(",", ":")))
    except OSError as error:
        return f"{path}: {error.strerror}"
    return ""


def _rules(options: ReadingOptions) -> str:
    """What the cached findings depend on besides the files: options, thresholds, and the source of the rules."""
    digest = hashlib.sha256(repr(options).encode())
    rules = sorted(Path(runner.health.findings.__file__).parent.glob("*.py"))
    for path in [*(Path(__file__).with_name(f"{module}.py") for module in RULES), *rules]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _plain(record: RunRecord) -> dict[str, Any]:
    return vars(record) | {"findings": [vars(finding) for finding in record.findings]}


def _record(values: dict[str, Any]) -> RunRecord:
    return RunRecord(**values | {"findings": [Finding(**finding) for finding in values["findings"]]})

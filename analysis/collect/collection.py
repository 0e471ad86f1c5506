"""Every run of an experiment, complete or not, from its files; unchanged runs come from a rebuildable cache."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from analysis.collect.cache import Cache
from analysis.collect.manifest import read_manifest
from analysis.collect.run_record import ReadingOptions, RunRecord, read_run
from runner.files import LARGEST_FILE
from runner.health.findings import Finding
from runner.rundir.layout import ExperimentDir, RunDir
from runner.rundir.planned import Manifest, PlannedRun, Select
from runner.rundir.result import Result
from runner.rundir.states import run_state
from runner.submit.survey import survey

_READ = (
    RunDir.result, RunDir.failure, RunDir.metrics, RunDir.fusion_weights, RunDir.diagnostics, RunDir.predictions,
    RunDir.provenance,
)  # fmt: skip
WATCHED = frozenset(file.name for file in _READ)
Signature = str  # "name mtime_ns size inode" of every file that is read, joined by "/"; empty: no such run directory
UNREADABLE = "?"  # in a signature
PARALLEL_FROM = 200  # runs to read; below, starting a process costs more than it saves
CHUNK = 100  # runs handed to a process at a time


@dataclass(frozen=True)
class CollectedRun:
    """A planned run and what became of it."""

    plan: PlannedRun
    record: RunRecord
    state: str
    signature: Signature = ""  # time and size of its files

    @property
    def run_id(self) -> str:
        return self.plan.run_id

    @property
    def result(self) -> Result:
        """Of its result.json; empty unless it completed."""
        return self.record.result

    def is_scored(self, select: Select) -> bool:
        """Completed, with a finite validation metric."""
        return self.state == "completed" and select.metric in self.result.metrics


@dataclass(frozen=True)
class Collection:
    """An experiment with all its runs."""

    directory: ExperimentDir
    manifest: Manifest
    runs: tuple[CollectedRun, ...]  # in the order of the manifest
    unplanned: tuple[str, ...]  # directories below runs/ that the manifest does not name
    cache_error: str = ""  # why the cache could not be written, as in a read-only copy


def collect(path: Path, *, now: float | None = None, cache: bool = True) -> Collection:
    """Read the experiment at `path`; raises CommandFailed when it has no readable manifest."""
    directory = ExperimentDir(path)
    manifest = read_manifest(directory)
    options = ReadingOptions(manifest.select.metric, manifest.select.mode, manifest.thresholds, manifest.runs_user_code)
    stored = Cache(directory, "runs.json", repr(options)) if cache else None
    present = _names(directory.runs)
    folder = str(directory.runs)
    signatures = {run.run_id: _signature(folder, run.run_id) if run.run_id in present else "" for run in manifest.runs}
    unfinished = {run_id for run_id, signature in signatures.items() if RunDir.result.name not in _files(signature)}
    states, queue = survey(directory, unfinished, now)
    for run_id in unfinished & present:  # again: what the queue no longer has may have ended since
        signatures[run_id] = _signature(folder, run_id)
    keys = {run_id: f"{run_id} {signature}" for run_id, signature in signatures.items()}
    records = {run_id: record for run_id, key in keys.items() if stored and (record := _restored(stored, key))}
    changed = [run for run in manifest.runs if run.run_id not in records]
    for record in _read_all(directory, changed, signatures, options):
        records[record.run_id] = record
        if stored:
            stored[keys[record.run_id]] = asdict(record)
    runs = []
    for run in manifest.runs:
        record, state = records[run.run_id], states.get(run.run_id)
        if state is None and not record.completed:  # its result is damaged
            state = run_state(directory.run(run.run_id), queue.places.get(run.run_id), now)
        word = "completed" if record.completed or state is None else state.state
        runs.append(CollectedRun(run, record, word, signatures[run.run_id]))
    unplanned = tuple(sorted(present - signatures.keys() - manifest.below))
    return Collection(directory, manifest, tuple(runs), unplanned, stored.save() if stored else "")


def _restored(stored: Cache, key: str) -> RunRecord | None:
    """What was read of the same files before; None where nothing was, or the entry is damaged."""
    if key not in stored:
        return None
    try:
        values = dict(stored[key])
        result, findings = Result.of(values.pop("result")), [Finding(**each) for each in values.pop("findings")]
        return RunRecord(**values, result=result, findings=findings) if result else None
    except (TypeError, ValueError, KeyError):
        return None


def _names(path: Path) -> set[str]:
    """Names of the directories in `path`; empty when there is none to look into."""
    try:
        with os.scandir(path) as entries:
            return {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
    except OSError:
        return set()


def _signature(folder: str, run_id: str) -> Signature:
    """Time and size of every watched file of a run; paths are texts here, because there may be many thousands."""
    try:
        with os.scandir(f"{folder}/{run_id}") as entries:
            return "/".join(sorted(_seen(entry) for entry in entries if entry.name in WATCHED))
    except PermissionError:
        return f"{run_id} {UNREADABLE}"


def _seen(entry: os.DirEntry[str]) -> str:
    """Name, time, size and inode of a file; UNREADABLE in their place where it is none, a link, or too large."""
    with suppress(OSError):
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST_FILE:
            return f"{entry.name} {status.st_mtime_ns} {status.st_size} {status.st_ino}"
    return f"{entry.name} {UNREADABLE}"


def _files(signature: Signature) -> frozenset[str]:
    """The names of the files in a signature that can be read."""
    return frozenset(part.split(" ")[0] for part in signature.split("/") if not part.endswith(UNREADABLE))


def _unreadable(signature: Signature) -> frozenset[str]:
    return frozenset(part.removesuffix(f" {UNREADABLE}") for part in signature.split("/") if part.endswith(UNREADABLE))


def _read_all(
    directory: ExperimentDir, runs: Sequence[PlannedRun], signatures: dict[str, Signature], options: ReadingOptions
) -> Iterable[RunRecord]:
    work = [
        (run.run_id, _files(seen), run.params, _unreadable(seen)) for run in runs for seen in [signatures[run.run_id]]
    ]
    read = partial(_read_chunk, directory, options=options)
    if len(work) < PARALLEL_FROM or os.cpu_count() == 1:
        yield from read(work)
        return
    chunks = [work[start : start + CHUNK] for start in range(0, len(work), CHUNK)]
    with ProcessPoolExecutor(2) as pool:
        for records in pool.map(read, chunks):
            yield from records


def _read_chunk(
    directory: ExperimentDir,
    chunk: Sequence[tuple[str, frozenset[str], Mapping[str, Any], frozenset[str]]],
    options: ReadingOptions,
) -> list[RunRecord]:
    return [read_run(directory.run(run_id), files, params, options, bad) for run_id, files, params, bad in chunk]

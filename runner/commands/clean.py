"""`runner clean`: free the disk of what an experiment no longer needs; never of a run that may still be at work."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.commands.status import take
from runner.errors import CommandFailed, UserError
from runner.files import refuse_links
from runner.rundir import manifest
from runner.rundir.claim import Claim, acquire
from runner.rundir.layout import ExperimentDir, RunDir
from runner.rundir.lock import Holder

KINDS = {
    "checkpoints": "last.pt and best.pt of completed runs; results and logs stay",
    "failed": "whole runs that failed or were cancelled; submit starts them anew",
    "gone": "whole runs that the experiment file no longer has",
}
_INTERVAL_S = 30.0  # between two heartbeats: whose last one is older than three of them is dead


@dataclass(frozen=True)
class Waste:
    """What could be removed of one run."""

    run: RunDir
    paths: tuple[Path, ...]  # files of the run, or its whole directory

    @property
    def bytes(self) -> int:
        return sum(_size(path) for path in self.paths)


def find(directory: ExperimentDir, kinds: Sequence[str]) -> list[Waste]:
    """What is there of `kinds`, but for runs that a scheduler still has.

    CommandFailed where Slurm does not say which those are.
    """
    status = take(directory)
    if status.queue.unanswered:
        raise CommandFailed(f"Slurm does not answer, so nothing is removed: {status.queue.unanswered}")
    states = {run.run_id: state.state for run, state in status.rows}
    waste = []
    for path in sorted(directory.runs.iterdir()) if directory.runs.is_dir() else []:
        run, state = RunDir(path), states.get(path.name, "gone")
        if path.name in status.queue.places or path.is_symlink() or not path.is_dir():
            continue
        if state in ("gone", "failed", "cancelled") and ("gone" if state == "gone" else "failed") in kinds:
            waste.append(Waste(run, (path,)))
        elif state == "completed" and "checkpoints" in kinds:
            files = tuple(filter(os.path.lexists, (run.last_checkpoint, run.best_checkpoint)))
            waste += [Waste(run, files)] if files else []
    return waste


def clean(directory: ExperimentDir, kinds: Sequence[str], dry_run: bool = False) -> list[tuple[RunDir, int]]:
    """Remove it, each run under its claim; the runs and the bytes. A run that somebody holds meanwhile stays."""
    if dry_run:
        return [(waste.run, waste.bytes) for waste in find(directory, kinds)]
    refuse_links(*directory.folders)
    removed = []
    with manifest.submit_lock(directory):
        for waste in find(directory, kinds):
            claim = acquire(waste.run, Holder.of_this_process(None), _INTERVAL_S)
            if isinstance(claim, Claim):
                removed.append((waste.run, waste.bytes))
                _remove(waste, claim)
    return removed


def _remove(waste: Waste, claim: Claim) -> None:
    """The claim goes last: while it is there nobody starts the run."""
    try:
        for path in waste.paths:
            if path == waste.run.path:
                _empty(path, keep=waste.run.claim)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise CommandFailed(f"{error.filename or waste.run.path}: {error.strerror}; the rest stays") from None
    finally:
        claim.release()
    if waste.run.path in waste.paths:
        waste.run.path.rmdir()


def _empty(folder: Path, keep: Path) -> None:
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)  # follows no link
        elif Path(entry.path) != keep:
            os.unlink(entry.path)


def _size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; links count for nothing."""
    if not path.is_dir():
        return path.lstat().st_size
    return sum(os.lstat(f"{folder}/{name}").st_size for folder, _, names in os.walk(path) for name in names)


def checked(chosen: Mapping[str, bool]) -> list[str]:
    """The kinds that were chosen; UserError where none was."""
    if not any(chosen.values()):
        what = "\n".join(f"    --{kind}: {text}" for kind, text in KINDS.items())
        raise UserError(f"nothing was chosen; choose what to remove, and look first with --dry-run\n{what}")
    return [kind for kind, wanted in chosen.items() if wanted]

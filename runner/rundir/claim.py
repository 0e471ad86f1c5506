"""At most one live process per run directory, on file systems shared between machines.

claim.json is a lock (lock.py) whose holder also lives by the heartbeat of its run.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runner.rundir.layout import RunDir
from runner.rundir.lock import Holder, last_sign, take
from runner.rundir.processes import STALE_INTERVALS, Heartbeat


@dataclass(frozen=True)
class LockHolder:
    """A claim that was refused: its holder lives, or cannot be known to be dead yet."""

    holder: Holder
    beat: float  # time of its last sign of life; only to be compared


@dataclass(frozen=True)
class Claim:
    """A run directory that is ours until `release`."""

    directory: RunDir
    holder: Holder

    def is_ours(self) -> bool:
        """False when another process has judged us dead and taken the directory over: then write nothing more."""
        holder = Holder.read(self.directory.claim)
        return holder is None or holder.token == self.holder.token

    def renew(self) -> bool:
        """A sign of life for those on other machines; False when the directory is no longer ours."""
        if not self.is_ours():
            return False
        with suppress(FileNotFoundError):  # deleted by hand: the heartbeat still shows that the run lives
            os.utime(self.directory.claim)
        return True

    def release(self) -> None:
        if self.is_ours():
            self.directory.claim.unlink(missing_ok=True)


def acquire(directory: RunDir, holder: Holder, interval: float) -> Claim | LockHolder:
    """Claim `directory` for `holder`, or say who has it.

    interval: seconds between two heartbeats of a living run. Raises OSError where claim.json is damaged: claims appear
    complete, and waiting for its end would be in vain.
    """

    def judged(other: Holder, signs: Iterable[Path], now: float) -> LockHolder | None:
        if not other.token:
            raise OSError(f"{directory.claim} is damaged and must be looked at; delete it if no process runs this run")
        return _judge(directory, other, last_sign([*signs, directory.heartbeat]), now, interval)

    return take(directory.claim, holder, judged) or Claim(directory, holder)


def _judge(directory: RunDir, holder: Holder, beat: float, now: float, interval: float) -> LockHolder | None:
    """The holder to respect, or None when it is dead. Its child may outlive it for a moment, to write a checkpoint."""
    child = Heartbeat.read(directory.heartbeat)
    silent, patience = now - beat, STALE_INTERVALS * interval
    if child is None or not holder.is_here or child.parent_pid != holder.pid or child.ended:
        child = None
    alive = holder.is_alive(silent, patience) or (child is not None and child.is_alive(silent, patience))
    return LockHolder(holder, beat) if alive else None

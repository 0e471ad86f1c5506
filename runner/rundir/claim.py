"""One live process a run directory, on file systems shared between machines.

claim.json is a lock (lock.py) whose holder also lives by the heartbeat of its run.
"""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runner.files import read_json, read_mapping
from runner.rundir.layout import RunDir
from runner.rundir.lock import last_sign, take
from runner.rundir.processes import STALE_INTERVALS, is_alive, is_here, this_process


@dataclass(frozen=True)
class Holder:
    """Who holds a run directory: the content of claim.json."""

    token: str
    host: str
    machine: str
    pid: int
    start_time: str | None  # of the process `pid`
    job_id: str | None
    time: float  # Unix seconds

    @classmethod
    def here(cls, job_id: str | None) -> Holder:
        """This process."""
        return cls(secrets.token_hex(8), **this_process(), job_id=job_id, time=time.time())

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" + (f" (job {self.job_id})" if self.job_id else "")


@dataclass(frozen=True)
class Held:
    """A claim that was refused: its holder lives, or cannot be known to be dead yet."""

    holder: Holder
    here: bool  # on this machine, where a living process is certain
    beat: float  # time of its last sign of life; only to be compared


@dataclass(frozen=True)
class Claim:
    """A run directory that is ours until `release`."""

    directory: RunDir
    holder: Holder

    def is_ours(self) -> bool:
        """False when another process has judged us dead and taken the directory over: then write nothing more."""
        found = read_json(self.directory.claim)
        return found is None or found.get("token") == self.holder.token

    def renew(self) -> bool:
        """A sign of life for those on other machines; False when the directory is no longer ours."""
        if not self.is_ours():
            return False
        try:
            os.utime(self.directory.claim)
        except FileNotFoundError:  # deleted by hand: the heartbeat still shows that the run lives
            return True
        return True

    def release(self) -> None:
        if self.is_ours():
            self.directory.claim.unlink(missing_ok=True)


def acquire(directory: RunDir, holder: Holder, interval: float) -> Claim | Held:
    """Claim `directory` for `holder`, or say who has it.

    interval: seconds between two heartbeats of a living run. Raises OSError where claim.json is damaged: claims appear
    complete, and waiting for its end would be in vain.
    """

    def judged(record: dict[str, Any], signs: list[Path], now: float) -> Held | None:
        if not record.get("token"):
            raise OSError(f"{directory.claim} is damaged and must be looked at; delete it if no process runs this run")
        return _judge(directory, record, last_sign([*signs, directory.heartbeat]), now, interval)

    return take(directory.claim, asdict(holder), judged) or Claim(directory, holder)


def _judge(directory: RunDir, record: dict[str, Any], beat: float, now: float, interval: float) -> Held | None:
    """The holder to respect, or None when it is dead. Its child may outlive it for a moment, to write a checkpoint."""
    heartbeat = read_mapping(directory.heartbeat)
    silent, patience = now - beat, STALE_INTERVALS * interval
    child = is_here(record) and heartbeat.get("parent_pid") == record.get("pid") and not heartbeat.get("ended")
    alive = is_alive(record, silent, patience) or (child and is_alive(heartbeat, silent, patience))
    fields: dict[str, Any] = {name: record.get(name) for name in Holder.__dataclass_fields__}
    return Held(Holder(**fields), is_here(record), beat) if alive else None

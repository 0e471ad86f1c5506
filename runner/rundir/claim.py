"""One live process a run directory, on file systems shared between machines.

A claim is made by hard-linking a complete file to the name claim.json, which is atomic on NFS too and needs no lock
daemon. A claim whose holder is dead is taken over through a second link, named after the dead claim's token: of all
who judged it dead exactly one makes that link, and only that one replaces claim.json. One that dies between the two
steps is followed and taken over in the same way.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from runner.files import linked, read_bytes, read_json, write_json
from runner.rundir.layout import RunDir
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

    interval: seconds between two heartbeats of a living run.
    """
    proposal = directory.path / f".{directory.claim.name}.{holder.token}"
    write_json(proposal, asdict(holder))
    try:
        while True:
            if linked(proposal, directory.claim):
                return Claim(directory, holder)
            chain = _chain(directory)
            if not chain:  # released in this moment
                _refuse_damaged(directory.claim)
                continue
            held = _judge(directory, chain, interval)
            if held is not None:
                return held
            if _take_over(directory, chain, proposal):
                return Claim(directory, holder)
    finally:
        proposal.unlink(missing_ok=True)


def _successor(directory: RunDir, token: str) -> Path:
    """The link that decides who takes over from the claim with `token`."""
    return directory.path / f".{directory.claim.name}.after-{token}"


def _read(path: Path) -> Holder | None:
    found = read_json(path)
    return None if found is None else Holder(**{name: found.get(name) for name in Holder.__dataclass_fields__})


def _refuse_damaged(path: Path) -> None:
    """Claims appear complete: one that cannot be read was damaged, and waiting for its end would be in vain."""
    try:
        json.loads(read_bytes(path))
    except FileNotFoundError:
        return
    except ValueError as error:
        raise OSError(f"{path} is damaged ({error}); delete it if no process runs this run") from error


def _chain(directory: RunDir) -> list[Holder]:
    """The holder in claim.json and those who died while they took over from it; the last one counts."""
    chain: list[Holder] = []
    holder = _read(directory.claim)
    while holder is not None:
        chain.append(holder)
        holder = _read(_successor(directory, holder.token))
    return chain


def _judge(directory: RunDir, chain: list[Holder], interval: float) -> Held | None:
    """The last of `chain` as a holder to respect, or None when it is dead."""
    holder = chain[-1]
    heartbeat = read_json(directory.heartbeat) or {}
    signs = [directory.claim, directory.heartbeat, *(_successor(directory, older.token) for older in chain[:-1])]
    beat = max((_modified(sign) for sign in signs), default=0.0)
    record = asdict(holder)
    silent, patience = _now(directory) - beat, STALE_INTERVALS * interval
    # its child may outlive it for a moment, to write a checkpoint
    child = is_here(record) and heartbeat.get("parent_pid") == holder.pid and not heartbeat.get("ended")
    alive = is_alive(record, silent, patience) or (child and is_alive(heartbeat, silent, patience))
    return Held(holder, is_here(record), beat) if alive else None


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _now(directory: RunDir) -> float:
    """The time as the file system sees it, which is what the times of other machines' files are compared with."""
    probe = directory.path / f".now.{secrets.token_hex(8)}"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()


def _take_over(directory: RunDir, chain: list[Holder], proposal: Path) -> bool:
    """Replace the dead claim; False when another was faster."""
    successor = _successor(directory, chain[-1].token)
    if not linked(proposal, successor):
        return False
    head = _read(directory.claim)
    if head is None or head.token != chain[0].token:  # taken over and perhaps released since we looked
        successor.unlink()
        return False
    os.rename(proposal, directory.claim)
    for holder in chain:
        _successor(directory, holder.token).unlink(missing_ok=True)
    return True

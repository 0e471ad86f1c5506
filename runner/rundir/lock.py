"""A lock file that works on file systems shared between machines and outlives no crash for long.

The lock is taken by hard-linking a complete file to its name, which is atomic on NFS too. A lock whose holder is dead
is taken over through a second link, named after the dead holder's token: of all who judge it dead exactly one makes
that link, and only that one replaces the lock. One that dies between the two steps is taken over in the same way.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from runner.files import linked, write_json
from runner.record import JobId
from runner.rundir.processes import Process

RENEW_SECONDS = 60.0
STALE_SECONDS = 600.0  # a holder on another machine is dead when it has renewed nothing for so long


@dataclass(frozen=True)
class Holder(Process):
    """Who holds a lock or a run directory: the content of the lock's file."""

    token: str | None = None  # None where the file is damaged
    job_id: JobId | None = None
    time: float = 0.0  # Unix seconds

    @classmethod
    def of_this_process(cls, job_id: str | None = None) -> Holder:
        """This process."""
        return cls.this(token=secrets.token_hex(8), job_id=job_id, time=time.time())

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" + (f" (job {self.job_id})" if self.job_id else "")


class Locked(Exception):
    """Another process holds the lock."""


T = TypeVar("T")


def take(path: Path, mine: Holder, respected: Callable[[Holder, list[Path], float], T | None]) -> T | None:
    """Make `mine` the holder of `path`; what `respected` makes of a holder that keeps it, else None.

    respected: holder, files whose times are its signs of life, and the time, both as the file system sees them; None
    where the holder is dead.
    """
    proposal = path.with_name(f".{path.name}.{mine.token}")
    write_json(proposal, vars(mine))
    try:
        while not linked(proposal, path):
            if chain := _chain(path):  # else released in this moment
                signs = [path, *(_successor(path, older) for older in chain[:-1])]
                if (held := respected(chain[-1], signs, proposal.stat().st_mtime)) is not None:
                    return held
                if _taken_over(proposal, path, chain):
                    return None
    finally:
        proposal.unlink(missing_ok=True)
    return None


def last_sign(signs: Iterable[Path]) -> float:
    """The newest time of those files that are there; each of them may go at any moment."""
    newest = 0.0
    for sign in signs:
        with suppress(FileNotFoundError):
            newest = max(newest, sign.stat().st_mtime)
    return newest


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock `path`; raises Locked when a living process has it."""
    mine = Holder.of_this_process()
    if holder := take(path, mine, _living):
        raise Locked(holder)
    done = threading.Event()
    renewal = threading.Thread(target=_renew, args=(path, done), name="lock", daemon=True)
    renewal.start()
    try:
        yield
    finally:
        done.set()
        renewal.join()
        if _holder(path).token == mine.token:
            path.unlink(missing_ok=True)


def _holder(path: Path) -> Holder:
    """The holder that a file names; one without a token where it is damaged."""
    return Holder.read(path) or Holder()


def _living(holder: Holder, signs: list[Path], now: float) -> Holder | None:
    known = holder.is_here or holder.token  # else it was not written by us: nobody's
    return holder if known and holder.is_alive(now - last_sign(signs), STALE_SECONDS) else None


def _renew(path: Path, done: threading.Event) -> None:
    while not done.wait(RENEW_SECONDS):
        with suppress(FileNotFoundError):  # deleted by hand
            os.utime(path)


def _taken_over(proposal: Path, path: Path, chain: list[Holder]) -> bool:
    """Replace a dead holder; False when another was faster."""
    successor = _successor(path, chain[-1])
    if not linked(proposal, successor):
        return False
    if _holder(path).token != chain[0].token:  # taken over and perhaps released since we looked
        successor.unlink()
        return False
    os.rename(proposal, path)
    for holder in chain:
        _successor(path, holder).unlink(missing_ok=True)
    return True


def _chain(path: Path) -> list[Holder]:
    """The holder, and whoever began to take over from it; the last one counts."""
    chain: list[Holder] = []
    place = path
    while os.path.lexists(place):  # a link to nothing too
        holder = _holder(place)
        if holder.token is None:
            # damaged; or released while we looked: taken for a damaged one, the lock of whoever came next would go
            return [*chain, holder] if os.path.lexists(place) else chain
        chain.append(holder)
        place = _successor(path, holder)
    return chain


def _successor(path: Path, holder: Holder) -> Path:
    return path.with_name(f".{path.name}.after-{holder.token}")

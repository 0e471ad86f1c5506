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
from pathlib import Path
from typing import Any, TypeVar

from runner.files import linked, read_mapping, write_json
from runner.rundir.processes import is_alive, is_here, this_process

RENEW_SECONDS = 60.0
STALE_SECONDS = 600.0  # a holder on another machine is dead when it has renewed nothing for so long


class Locked(Exception):
    """Another process holds the lock."""

    def __init__(self, holder: dict[str, Any]) -> None:
        self.holder = holder
        super().__init__(f"process {holder.get('pid')} on {holder.get('host')}")


T = TypeVar("T")
Record = dict[str, Any]  # of a holder: token, and the process that it is


def take(path: Path, mine: Record, respected: Callable[[Record, list[Path], float], T | None]) -> T | None:
    """Make `mine` (with a token) the holder of `path`; what `respected` makes of a holder that keeps it, else None.

    respected: holder, files whose times are its signs of life, and the time, both as the file system sees them; None
    where the holder is dead.
    """
    proposal = path.with_name(f".{path.name}.{mine['token']}")
    write_json(proposal, mine)
    try:
        while not linked(proposal, path):
            chain = _chain(path)
            if not chain:
                continue  # released in this moment
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
    token = secrets.token_hex(8)
    if holder := take(path, {"token": token, **this_process(), "time": time.time()}, _living):
        raise Locked(holder)
    done = threading.Event()
    renewal = threading.Thread(target=_renew, args=(path, done), name="lock", daemon=True)
    renewal.start()
    try:
        yield
    finally:
        done.set()
        renewal.join()
        if read_mapping(path).get("token") == token:
            path.unlink(missing_ok=True)


def _living(holder: Record, signs: list[Path], now: float) -> Record | None:
    known = is_here(holder) or holder.get("token")  # else it was not written by us: nobody's
    return holder if known and is_alive(holder, now - last_sign(signs), STALE_SECONDS) else None


def _renew(path: Path, done: threading.Event) -> None:
    while not done.wait(RENEW_SECONDS):
        with suppress(FileNotFoundError):  # deleted by hand
            os.utime(path)


def _taken_over(proposal: Path, path: Path, chain: list[Record]) -> bool:
    """Replace a dead holder; False when another was faster."""
    successor = _successor(path, chain[-1])
    if not linked(proposal, successor):
        return False
    if read_mapping(path).get("token") != chain[0].get("token"):  # taken over and perhaps released since we looked
        successor.unlink()
        return False
    os.rename(proposal, path)
    for holder in chain:
        _successor(path, holder).unlink(missing_ok=True)
    return True


def _chain(path: Path) -> list[Record]:
    """The holder, and whoever began to take over from it; the last one counts."""
    chain: list[Record] = []
    place = path
    while os.path.lexists(place):  # a link to nothing too
        holder = read_mapping(place)
        if not holder and not os.path.lexists(place):
            break  # released while we looked: taken for a damaged one, the lock of whoever came next would be replaced
        chain.append(holder)
        if "token" not in holder:
            break
        place = _successor(path, holder)
    return chain


def _successor(path: Path, holder: Record) -> Path:
    return path.with_name(f".{path.name}.after-{holder.get('token')}")

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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from runner.files import linked, read_mapping, write_json
from runner.rundir.processes import is_alive, is_here, this_process

RENEW_SECONDS = 60.0
STALE_SECONDS = 600.0  # a holder on another machine is dead when it has renewed nothing for so long


class Locked(Exception):
    """Another process holds the lock."""

    def __init__(self, holder: dict[str, Any]) -> None:
        self.holder = holder
        super().__init__(f"process {holder.get('pid')} on {holder.get('host')}")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock `path`; raises Locked when a living process has it."""
    token = secrets.token_hex(8)
    proposal = path.with_name(f".{path.name}.{token}")
    write_json(proposal, {"token": token, **this_process(), "time": time.time()})
    try:
        while not (linked(proposal, path) or _taken_over(proposal, path)):
            pass  # it was released, or taken over by another, in this moment
    finally:
        proposal.unlink(missing_ok=True)
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


def _renew(path: Path, done: threading.Event) -> None:
    while not done.wait(RENEW_SECONDS):
        with suppress(FileNotFoundError):  # deleted by hand
            os.utime(path)


def _taken_over(proposal: Path, path: Path) -> bool:
    """Replace a dead holder's lock; False when the lock changed meanwhile. Raises Locked when the holder lives."""
    chain = _chain(path)
    if not chain:
        return False
    if _lives(path, chain, now=proposal.stat().st_mtime):  # the file system's clock, not this machine's
        raise Locked(chain[-1])
    successor = _successor(path, chain[-1])
    if not linked(proposal, successor):
        return False
    if read_mapping(path).get("token") != chain[0].get("token"):
        successor.unlink()
        return False
    os.rename(proposal, path)
    for holder in chain:
        _successor(path, holder).unlink(missing_ok=True)
    return True


def _chain(path: Path) -> list[dict[str, Any]]:
    """The holder of the lock, and whoever began to take over from it; the last one counts."""
    chain: list[dict[str, Any]] = []
    there = path
    while os.path.lexists(there):  # a link to nothing too
        holder = read_mapping(there)
        chain.append(holder)
        if "token" not in holder:  # not written by us: nobody's, so dead
            break
        there = _successor(path, holder)
    return chain


def _successor(path: Path, holder: dict[str, Any]) -> Path:
    return path.with_name(f".{path.name}.after-{holder.get('token')}")


def _lives(path: Path, chain: list[dict[str, Any]], now: float) -> bool:
    holder = chain[-1]
    if not (is_here(holder) or holder.get("token")):
        return False
    signs = [path, *(_successor(path, older) for older in chain[:-1])]
    beat = max((sign.stat().st_mtime for sign in signs if sign.exists()), default=0.0)
    return is_alive(holder, now - beat, STALE_SECONDS)

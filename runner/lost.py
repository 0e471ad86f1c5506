"""What became of an attempt that left no word: its node died, or it was killed together with its parent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NEVER_STARTED = "it has left the queue without having been started; the log of its array task may say why"
NEAR = 0.9  # of the limit: the last heartbeat before a kill is seldom exactly at it


def kind_of_lost(heartbeat: Mapping[str, Any]) -> str:
    """The kind of failure that the last `heartbeat` speaks for: out_of_memory, else node_failure."""
    peak, limit = heartbeat.get("peak_memory_bytes"), heartbeat.get("memory_limit_bytes")
    if not (isinstance(peak, int) and isinstance(limit, int)):
        return "node_failure"
    return "out_of_memory" if peak >= NEAR * limit else "node_failure"


def kind_of_unended(attempt: int, failure: Mapping[str, Any], heartbeat: Mapping[str, Any]) -> str:
    """The kind of an attempt that has no end in attempts.jsonl: what its parent wrote in advance, else as above."""
    if failure.get("attempt") == attempt and failure.get("kind"):
        return str(failure["kind"])
    return kind_of_lost(heartbeat if heartbeat.get("attempt") == attempt else {})


def message_of_lost(heartbeat: Mapping[str, Any]) -> str:
    """The same in words."""
    if kind_of_lost(heartbeat) == "node_failure":
        return "its process is gone and left no word"
    shown = f"{heartbeat['peak_memory_bytes'] / 2**20:.0f} of {heartbeat['memory_limit_bytes'] / 2**20:.0f} MiB allowed"
    return f"its process is gone and left no word; it was last seen with {shown}"

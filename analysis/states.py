"""The state of a run from its files alone, in the order of precedence; Slurm's knowledge is the runner's."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from analysis.run_record import RunRecord

HEARTBEAT_SECONDS = 30.0
STALE_INTERVALS = 3  # so many missed heartbeats mean that a run is dead


def state_of(record: RunRecord, now: float) -> str:
    """completed, running, failed, cancelled, lost or new; `now`: seconds since 1970."""
    if record.completed:
        return "completed"
    beat = seconds_since_1970((record.heartbeat or {}).get("time"))
    ended = record.failure is not None and not _started_after_failure(record, beat)
    if not ended and _beats(record.heartbeat or {}, beat, now):
        return "running"
    if ended:
        return "cancelled" if (record.failure or {})["kind"] == "cancelled" else "failed"
    if record.cancelled:
        return "cancelled"
    return "lost" if record.begun else "new"


def _beats(heartbeat: dict[str, Any], beat: float | None, now: float) -> bool:
    interval = heartbeat.get("interval")
    seconds = interval if isinstance(interval, (int, float)) and interval > 0 else HEARTBEAT_SECONDS
    return beat is not None and not heartbeat.get("ended") and now - beat <= STALE_INTERVALS * seconds


def _started_after_failure(record: RunRecord, beat: float | None) -> bool:
    """Whether the heartbeat is of an attempt after the one that failed."""
    failed, beating = (record.failure or {}).get("attempt"), (record.heartbeat or {}).get("attempt")
    if isinstance(failed, int) and isinstance(beating, int):
        return beating > failed
    failed_at = seconds_since_1970((record.failure or {}).get("time"))
    return beat is not None and failed_at is not None and beat > failed_at


def seconds_since_1970(time: Any) -> float | None:
    """A time as a file holds it, a number of seconds or an ISO 8601 text; None for anything else."""
    if isinstance(time, (int, float)) and not isinstance(time, bool):
        return float(time)
    if isinstance(time, str):
        try:
            return datetime.fromisoformat(time).timestamp()
        except ValueError:
            return None
    return None

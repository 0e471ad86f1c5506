"""The Slurm job a parent runs in, as its environment and scontrol tell it; without Slurm, nothing of the kind.

The only module on the compute node that talks to Slurm.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

_ASK_S = 5  # scontrol hangs when the controller is away, and we have little time
_REQUEUE_S = 60
# Slurm looks at time limits every 30 s and sends --signal up to that much early or late.
_SLACK_S = 65.0


@dataclass(frozen=True)
class Allocation:
    """What Slurm has given to this parent process."""

    job_id: str | None = None  # as Slurm writes it: 123 or 123_4
    raw_id: str | None = None  # the number of this array task alone, for scontrol show
    array_task_id: int | None = None
    restarts: int = 0  # how often Slurm has requeued it
    end: float | None = None  # Unix seconds when the time limit is reached
    signal_delay: float = 90.0  # seconds before the end at which the warning signal is sent
    may_requeue: bool = False
    submitted: float = 0.0  # Unix seconds; failures before it do not count for the circuit breaker

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], now: float) -> Allocation:
        """Read SLURM_* and RUNNER_*. now: Unix seconds at which the parent started."""
        raw = environ.get("SLURM_JOB_ID")
        submitted = float(environ.get("RUNNER_SUBMITTED_AT", 0))
        if raw is None:
            return cls(job_id=environ.get("RUNNER_JOB_ID"), submitted=submitted)
        array, task = environ.get("SLURM_ARRAY_JOB_ID"), environ.get("SLURM_ARRAY_TASK_ID")
        end = float(environ["SLURM_JOB_END_TIME"]) if "SLURM_JOB_END_TIME" in environ else None
        if end is None and "RUNNER_TIME_LIMIT_S" in environ:
            end = now + float(environ["RUNNER_TIME_LIMIT_S"])
        return cls(
            job_id=f"{array}_{task}" if array and task else raw,
            raw_id=raw,
            array_task_id=int(task) if task else None,
            restarts=int(environ.get("SLURM_RESTART_COUNT", 0)),
            end=end,
            signal_delay=float(environ.get("RUNNER_SIGNAL_DELAY_S", 90)),
            may_requeue=environ.get("RUNNER_REQUEUE") == "1",
            submitted=submitted,
        )

    def guess_reason(self, number: int, now: float) -> str:
        """Why signal `number` came, from what is known without asking: timeout, preempted or cancelled."""
        if number in (signal.SIGUSR1, signal.SIGUSR2):
            near = self.end is not None and self.end - now <= self.signal_delay + _SLACK_S
            return "timeout" if near else "preempted"
        if number == signal.SIGTERM and self.end is not None and self.end - now <= 0:
            return "timeout"
        return "cancelled"

    def ask_reason(self, number: int, now: float) -> str | None:
        """The same from Slurm itself; None when there is no Slurm, or it does not answer."""
        if self.raw_id is None or number == signal.SIGINT:
            return None
        try:
            shown = subprocess.run(
                ["scontrol", "--oneliner", "show", "job", self.raw_id], capture_output=True, text=True, timeout=_ASK_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            print(f"scontrol did not tell why signal {number} came: {error}", flush=True)
            return None
        return self._reason_shown(shown.stdout, number, now) if shown.returncode == 0 else None

    def _reason_shown(self, shown: str, number: int, now: float) -> str:
        facts = dict(re.findall(r"(JobState|PreemptTime|EndTime)=(\S+)", shown))
        state = facts.get("JobState", "")
        if state in ("CANCELLED", "TIMEOUT", "PREEMPTED"):
            return {"CANCELLED": "cancelled", "TIMEOUT": "timeout", "PREEMPTED": "preempted"}[state]
        if state in ("PENDING", "REQUEUED", "REQUEUE_HOLD") or _unix(facts.get("PreemptTime")) is not None:
            return "preempted"  # PENDING: Slurm has queued it again already
        end = _unix(facts.get("EndTime")) or self.end
        return Allocation(end=end, signal_delay=self.signal_delay).guess_reason(number, now)

    def requeue(self) -> str | None:
        """Ask Slurm to run this array task again; what went wrong, or None.

        The requeue may kill this very process: everything else must be done before.
        """
        try:
            done = subprocess.run(
                ["scontrol", "requeue", str(self.job_id)], capture_output=True, text=True, timeout=_REQUEUE_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        return None if done.returncode == 0 else done.stderr.strip()


def _unix(text: str | None) -> float | None:
    """Slurm's local time as Unix seconds; None for None, Unknown and N/A."""
    if text is None or not text[:1].isdigit():
        return None
    return datetime.fromisoformat(text).timestamp()

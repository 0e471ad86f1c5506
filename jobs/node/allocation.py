"""The Slurm job a parent runs in, as its environment and scontrol tell it; without Slurm, nothing of the kind.

The only module on the compute node that talks to Slurm.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from jobs.log import say
from runner.slurm_commands import SlurmCommands

_FACTS = "JobState|Restarts|PreemptTime|RunTime|TimeLimit|EndTime"
_ASK_S = 5  # scontrol hangs when the controller is away, and we have little time
_REQUEUE_S = 60
# Slurm looks at time limits every 30 s and sends --signal up to that much early or late.
_SLACK_S = 65.0


@dataclass(frozen=True)
class Verdict:
    """Why Slurm sent a signal."""

    reason: str  # timeout, preempted or cancelled
    requeued: bool = False  # Slurm will run this array task again by itself


@dataclass(frozen=True)
class Allocation:
    """What Slurm has given to this parent process."""

    job_id: str | None = None  # as Slurm writes it: 123 or 123_4
    in_slurm: bool = False
    array_task_id: int | None = None
    restarts: int = 0  # how often Slurm has requeued it
    end: float | None = None  # Unix seconds when the time limit is reached
    signal_delay: float = 90.0  # seconds before the end at which the warning signal is sent
    may_requeue: bool = False
    commands: SlurmCommands = field(default_factory=SlurmCommands)
    submitted: float = 0.0  # Unix seconds; failures before it do not count for the circuit breaker
    in_turn: bool = False  # runs of this array task follow one another: each ends at its own time

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
            in_slurm=True,
            array_task_id=int(task) if task else None,
            restarts=int(environ.get("SLURM_RESTART_COUNT", 0)),
            end=end,
            signal_delay=float(environ.get("RUNNER_SIGNAL_DELAY_S", 90)),
            may_requeue=environ.get("RUNNER_REQUEUE") == "1",
            commands=SlurmCommands.from_environment(environ),
            submitted=submitted,
        )

    def guess_reason(self, number: int, now: float) -> str:
        """Why signal `number` came, from what is known without asking: timeout, preempted or cancelled."""
        if number in (signal.SIGUSR1, signal.SIGUSR2):
            is_near = self.end is not None and self.end - now <= self.signal_delay + _SLACK_S
            return "timeout" if is_near else "preempted"
        if number == signal.SIGTERM and self.end is not None and self.end - now <= 0:
            return "timeout"
        return "cancelled"

    def ask(self, number: int, now: float) -> Verdict | None:
        """The same from Slurm itself; None when there is no Slurm, or it does not answer."""
        if not self.in_slurm or number == signal.SIGINT:
            return None
        # not SLURM_JOB_ID: one task of every array has the array's own number, under which all its tasks are shown
        words = ("--oneliner", "show", "job", str(self.job_id))
        try:
            shown = self.commands.run("scontrol", *words, timeout=_ASK_S)
            if shown.returncode < 0:  # the signals that Slurm sends to all of this job have ended it as well
                shown = self.commands.run("scontrol", *words, timeout=_ASK_S)
            if shown.returncode:
                raise OSError(shown.stderr.strip())
        except (OSError, subprocess.TimeoutExpired) as error:
            say(f"scontrol did not tell why signal {number} came: {error}")
            return None
        facts = dict(re.findall(rf"\b({_FACTS})=(\S+)", shown.stdout))
        say("Slurm says " + " ".join(f"{name}={value}" for name, value in facts.items()))
        return self.judge(facts, number, now)

    def judge(self, facts: Mapping[str, str], number: int, now: float) -> Verdict:
        """What `scontrol show job` means while the signal is fresh."""
        state = facts.get("JobState", "")
        if int(facts.get("Restarts", 0)) > self.restarts or state in ("PENDING", "REQUEUED", "REQUEUE_HOLD"):
            return Verdict("preempted", requeued=True)
        if state == "PREEMPTED" or _unix(facts.get("PreemptTime")) is not None:
            return Verdict("preempted")
        if state in ("CANCELLED", "TIMEOUT"):
            return Verdict(state.lower())
        if state == "COMPLETING":  # hides whether it is cancelled or out of time
            ran, limit = _seconds(facts.get("RunTime")), _seconds(facts.get("TimeLimit"))
            return Verdict("timeout" if ran is not None and limit is not None and ran >= limit else "cancelled")
        end = _unix(facts.get("EndTime")) or self.end
        return Verdict(replace(self, end=end).guess_reason(number, now))

    def requeue(self) -> str | None:
        """Ask Slurm to run this array task again; what went wrong, or None.

        The requeue may kill this very process: everything else must be done before.
        """
        try:
            done = self.commands.run("scontrol", "requeue", str(self.job_id), timeout=_REQUEUE_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        return None if done.returncode == 0 else done.stderr.strip()


def _unix(text: str | None) -> float | None:
    """Slurm's local time as Unix seconds; None for None, Unknown and N/A."""
    if text is None or not text[:1].isdigit():
        return None
    return datetime.fromisoformat(text).timestamp()


def _seconds(text: str | None) -> float | None:
    """Slurm's duration ([days-]hours:minutes:seconds) in seconds; None for None and UNLIMITED."""
    if text is None or not text[:1].isdigit():
        return None
    days, _, clock = text.rpartition("-")
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    return int(days or 0) * 86400 + hours * 3600 + minutes * 60 + seconds

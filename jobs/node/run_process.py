"""One run as its parent sees it: started, asked to stop, and written down when it has ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import Any

from jobs.failure import (
    EXIT_STOPPED,
    EXIT_SUPERSEDED,
    LEFT_WITH_CHECKPOINT,
    LEFT_WITHOUT,
    STOP_REASONS,
    failure_of_death,
    failure_of_exception,
)
from jobs.launch import child_environment, module_command
from jobs.node import disk_reserve, memory
from jobs.node.allocation import Allocation
from jobs.node.provenance import FACTS, machine_facts
from jobs.node.slots import Slot, bound_to
from jobs.patience import patiently
from runner.files import append_line, open_to_append
from runner.rundir.attempts import Attempt, begin_attempt, end_attempt
from runner.rundir.claim import Claim
from runner.rundir.failures import Failure, Kind, read_failure
from runner.rundir.layout import RunDir
from runner.rundir.run_config import RunConfig

_OLD_S = 3600.0  # a file that is older belongs to a dead process


def spawn(claim: Claim, config: RunConfig, allocation: Allocation, slot: Slot) -> RunProcess:
    """Start the next attempt of a claimed run as a child process, in a process group of its own."""
    directory = claim.directory
    attempt = begin_attempt(directory, allocation.job_id, os.getpid(), config.checkpoints)
    directory.failure.unlink(missing_ok=True)
    _sweep(directory)
    disk_reserve.hold(directory)
    directory.logs.mkdir(exist_ok=True)
    limit = memory.limit_bytes(os.environ)
    listen, lifeline = os.pipe()
    options = {
        "--attempt": attempt.number, "--claim": claim.holder.token, "--lifeline": listen, "--job-id": allocation.job_id,
        "--array-task-id": allocation.array_task_id, "--memory-limit": limit,
    }  # fmt: skip
    environment = child_environment(os.environ, config.threads) | {FACTS: json.dumps(machine_facts())}
    words = [str(word) for pair in options.items() if pair[1] is not None for word in pair]
    try:
        with open_to_append(directory.log(attempt.number)) as log, bound_to(slot.cores):
            process = subprocess.Popen(
                module_command("jobs.node.child", str(directory.path), *words, interpreter=config.interpreter),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, pass_fds=(listen,), process_group=0,
                env=environment | slot.environment(os.environ, config.gpus),
            )  # fmt: skip
    except OSError as error:
        os.close(lifeline)
        failure_of_exception(error, attempt.number, allocation.job_id).write(directory)
        end_attempt(directory, attempt, "failed")
        raise
    finally:
        os.close(listen)
    return RunProcess(claim, config, attempt, allocation, slot, process, lifeline, limit)


def _sweep(directory: RunDir) -> None:
    """Remove half-written files of killed processes, but for young ones of a rival for the claim or of `cancel`."""
    others = (directory.claim.name, directory.cancelled.name)
    for path in directory.path.glob(".*"):
        is_others = any(name in path.name for name in others) or not path.name.endswith(".part")
        with contextlib.suppress(FileNotFoundError):  # its owner was faster
            if not is_others or time.time() - path.stat().st_mtime > _OLD_S:
                path.unlink()


@dataclass
class RunProcess:
    """A started run: call `has_ended` until it is true, then `settle`."""

    claim: Claim
    config: RunConfig
    attempt: Attempt
    allocation: Allocation
    slot: Slot
    process: subprocess.Popen[bytes]
    lifeline: int  # its end tells the child that this parent is gone
    memory_limit: int | None  # bytes
    status: int = 0  # exit status, negative for a signal; valid once it has ended
    ending: str = ""  # how it ended, in a line
    failure: Failure | None = None  # when it has ended without completing
    own_reason: str | None = None  # why it alone has to stop
    _deadline: float = 0.0  # Unix seconds by which it must then have ended
    _peak: int = 0  # bytes
    _kills_before: int = field(default_factory=memory.oom_kills)
    _killed_for: str | None = None
    _memory_noted: bool = False
    _stopped: bool = False  # it wrote its checkpoint when it was asked to stop

    @property
    def directory(self) -> RunDir:
        return self.claim.directory

    @property
    def pid(self) -> int:
        return self.process.pid

    def ask_to_stop(self, reason: str) -> None:
        """Tell the child, and leave a failure.json for the case that neither of us gets to write another one."""
        with contextlib.suppress(BrokenPipeError):  # it is ending already
            os.write(self.lifeline, f"{reason}\n".encode())
        known = read_failure(self.directory)
        if known and known.attempt == self.attempt.number and not known.provisional:
            return  # it has just failed by itself
        message = f"asked to stop ({reason}); it had not left yet when this was written"
        self._failure(STOP_REASONS[reason], message, "asked", provisional=True).write(self.directory)

    def look_for_own_end(self, grace: float) -> None:
        """Ask the run to stop when a person has cancelled it alone, or its time is over and others wait for their turn.

        Kill it when it has not within `grace` s.
        """
        now, limit = time.time(), self.config.time if self.allocation.in_turn else None
        time_is_over = limit is not None and now > self.attempt.started + limit
        if self.own_reason is not None:
            if now > self._deadline:
                self.kill("did not stop in time and was killed")
        elif time_is_over or self.directory.cancelled.exists():
            self.own_reason, self._deadline = "timeout" if time_is_over else "cancelled", now + grace
            self.ask_to_stop(self.own_reason)

    def note_memory(self, used: int) -> None:
        """Leave a failure.json when memory becomes scarce: where Slurm itself watches it, it kills us and the child.

        used: bytes that this parent and all its runs have resident.
        """
        if self._memory_noted or self.memory_limit is None or used < memory.NEAR * self.memory_limit:
            return
        self._memory_noted = True
        shown = f"{used >> 20} of {self.memory_limit >> 20} MiB allowed"
        message = f"memory was scarce ({shown}); the process had not ended when this was written"
        self._failure(Kind.OUT_OF_MEMORY, message, "scarce", provisional=True).write(self.directory)

    def kill(self, why: str) -> None:
        """End the child and everything it has started."""
        self._killed_for = why
        _kill_group(self.pid)

    def renew(self) -> None:
        """Show that the run is alive; end it when the directory has been taken over."""
        if not self.claim.renew():
            self.kill("another process has taken the run over")

    def has_ended(self) -> bool:
        """Take note of the child's end, once; `settle` has to follow."""
        pid, raw, usage = os.wait4(self.pid, os.WNOHANG)
        if pid == 0:
            return False
        self.status = self.process.returncode = os.waitstatus_to_exitcode(raw)
        self._peak = memory.peak_of(usage)
        os.close(self.lifeline)
        _kill_group(self.pid)  # workers that it left behind
        return True

    def settle(self, reason: str | None, beside: int) -> None:
        """Write down how the run ended, and release it.

        reason: why all runs of this parent were asked to stop, if they were. beside: bytes that this parent and its
        other runs have resident.
        """
        if self.status == EXIT_SUPERSEDED or not patiently(self.claim.is_ours):
            self.ending = "taken over by another process; nothing written"
            return
        reason = self.own_reason or reason
        kills = memory.oom_kills() - self._kills_before
        disk_reserve.give_back(self.directory)
        evidence = memory.evidence(self._peak, beside, self.memory_limit, kills)
        try:
            patiently(lambda: self._write_end(reason, None if self._killed_for else evidence))
        finally:
            self.claim.release()

    def _write_end(self, reason: str | None, evidence: str | None) -> None:
        facts: dict[str, Any] = {
            "exit_status": self.status if self.status >= 0 else None,
            "signal": signal.Signals(-self.status).name if self.status < 0 else None,
            "peak_memory_bytes": self._peak,
        }
        if self.directory.result.exists():
            self.ending = "completed"
            self.directory.failure.unlink(missing_ok=True)
            end_attempt(self.directory, self.attempt, "completed", **facts)
            return
        self.failure = self._judge(reason, evidence)
        self.ending = f"{self.failure.kind}: {self.failure.message}"
        self.failure.write(self.directory)
        outcome = "stopped" if self._stopped else "failed"
        end_attempt(self.directory, self.attempt, outcome, kind=self.failure.kind, **facts)
        append_line(self.directory.log(self.attempt.number), self.ending)

    def _judge(self, reason: str | None, evidence: str | None) -> Failure:
        """Why the run did not complete: the parent's reason, else the child's own word, else the way it died."""
        status = self.status
        reported = read_failure(self.directory)
        if reported and (reported.attempt != self.attempt.number or reported.provisional):
            reported = None
        # Slurm's signals reach the child too; one may end it after its last word, while the interpreter shuts down
        self._stopped = status == EXIT_STOPPED or (reported is not None and reported.kind in STOP_REASONS.values())
        if reported and not (reason and self._stopped):
            return reported
        if reason is None or (status > 0 and status != EXIT_STOPPED):
            return failure_of_death(status, evidence, self.attempt.number, self.allocation.job_id)
        without = reported.message.endswith(LEFT_WITHOUT) if reported else not self.directory.last_checkpoint.exists()
        left = LEFT_WITHOUT if without else LEFT_WITH_CHECKPOINT
        ending = left if self._stopped else self._killed_for or "was ended before it had written a checkpoint"
        return self._failure(STOP_REASONS[reason], f"asked to stop ({reason}): {ending}", "stopped")

    def _failure(self, kind: Kind, message: str, what: str, *, provisional: bool = False) -> Failure:
        number, now = self.attempt.number, time.time()
        return Failure(kind, message, number, now, self.allocation.job_id, "", f"{kind}:{what}", provisional)


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # nothing of it is left
        os.killpg(group, signal.SIGKILL)

"""The parent: starts each run as a child process, looks after it, and writes down how it ended.

It is small and free of torch, so that it survives what kills a run (memory, a fault in a driver) and can say what it
was. Slurm starts `ArrayTask` through submitit, the local pool starts `python -m jobs.node.parent RUN_DIR [RUN_DIR …]`.
Runs that are more than fit side by side follow in turn: the next one takes the slot of one that has ended.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jobs.failure import EXIT_STOPPED, Kind
from jobs.heartbeat import interval_from_environment
from jobs.log import say
from jobs.node import memory
from jobs.node.allocation import Allocation
from jobs.node.preflight import Refused, StartConditions, begin
from jobs.node.run_process import RunProcess
from jobs.node.signals import Signals
from jobs.node.slots import Slot, slots
from runner.rundir.attempts import not_counting, read_attempts
from runner.rundir.claim import LockHolder
from runner.rundir.layout import RunDir

_GRACE_S = 60.0  # a run that is asked to stop has so long for its checkpoint, unless Slurm gives more
_MARGIN_S = 10.0  # before the time limit, for what the parent has to write
_POLL_S = 1.0
_LOOK_S = 5.0  # for runs that were cancelled: a question to a shared file system for each run
_SAME_SIGNAL_S = 0.5
_PATIENCE = 4  # heartbeats; a holder that dies is known to be dead after three


@dataclass(frozen=True)
class ArrayTask:
    """What submitit pickles: the run directories of one array task and how they share it, nothing else."""

    run_dirs: tuple[str, ...]
    side_by_side: int | None = None  # None: all at once
    in_turn: bool = False  # each run ends at its own time, since others may follow

    def __call__(self) -> None:
        if status := supervise(self.run_dirs, self.side_by_side, self.in_turn):
            sys.exit(status)  # Slurm shows the array task as failed; submitit writes no traceback of ours


def supervise(run_dirs: Sequence[str], side_by_side: int | None = None, in_turn: bool = False) -> int:
    """Run all `run_dirs` to their ends; 0 when each is completed or somebody else's, else 1."""
    with Signals() as signals:
        allocation = replace(Allocation.from_environment(os.environ, time.time()), in_turn=in_turn)
        free = slots(min(side_by_side or len(run_dirs), len(run_dirs)), os.environ)
        task_runner = ArrayTaskRunner(
            signals, allocation, free, deque(RunDir(Path(path).resolve()) for path in run_dirs)
        )
        task_runner.work()
        task_runner.requeue()
    return 1 if task_runner.failed else 0


@dataclass(frozen=True)
class Waiting:
    """A run whose holder may be dead or dying: only time can tell."""

    directory: RunDir
    first: LockHolder  # what was found at first
    until: float  # monotonic seconds


@dataclass
class ArrayTaskRunner:
    """One stay of a parent on a node."""

    signals: Signals
    allocation: Allocation
    free: list[Slot]
    pending: deque[RunDir]
    begun: int = 0  # how many runs were started
    interval: float = field(default_factory=interval_from_environment)
    running: list[RunProcess] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    reason: str | None = None  # why everything has to stop
    deadline: float = 0.0  # Unix seconds at which runs that do not stop are killed
    failed: bool = False
    wants_requeue: bool = False
    requeued: bool = False  # by Slurm itself, which will run this array task again

    def work(self) -> None:
        """Until every run has ended, been left to somebody else or been put off."""
        renewed = looked = time.monotonic()
        self._fill()
        while self.running or self.waiting or self.pending:
            for number in self.signals.wait(_POLL_S):
                self._stop(number)
            self._reap()
            self._each_run(RunProcess.note_memory, self._resident())
            self._fill()
            if self.reason and time.time() > self.deadline:
                self._each_run(RunProcess.kill, "did not stop in time and was killed")
            if time.monotonic() - looked > _LOOK_S:  # Slurm ends a run that is cancelled alone only with the others
                looked = time.monotonic()
                self._each_run(RunProcess.look_for_own_end, _grace())
            if time.monotonic() - renewed > self.interval:
                renewed = time.monotonic()
                self._each_run(RunProcess.renew)

    def requeue(self) -> None:
        """Ask Slurm to run this array task again. Last of all, since it may end this process."""
        if self.requeued:
            say(f"requeue of job {self.allocation.job_id} by Slurm itself")
        elif self.wants_requeue and self.allocation.may_requeue:
            say(f"requeue of job {self.allocation.job_id}")
            if problem := self.allocation.requeue():
                say(f"not requeued: {problem}")

    def _fill(self) -> None:
        """Start those that wait for a holder, and the next ones, while there is room.

        What is still pending when everything stops is put off last: checkpoints are more urgent.
        """
        again, self.waiting = self.waiting, []
        for wait in again:
            if self.free:
                self._start(wait.directory, wait)
            else:
                self.waiting.append(wait)
        while self.pending and self.free and not (self.reason and self.running):
            self._start(self.pending.popleft())

    def _start(self, directory: RunDir, earlier: Waiting | None = None) -> None:
        slot = self.free[0]
        is_first = self.begun < slot.count
        started = begin(directory, StartConditions(self.allocation, self.interval, slot, is_first, self.reason))
        if isinstance(started, RunProcess):
            say(f"{directory.run_id}: attempt {started.attempt.number} started, process {started.pid}")
            self.running.append(started)
            self.free.remove(slot)
            self.begun += 1
        elif isinstance(started, Refused):
            say(f"{directory.run_id}: {started.why}")
            self.failed |= started.failed
            self.wants_requeue |= started.postponed
        elif self._is_worth_waiting(started, earlier):
            if earlier is None:
                say(f"{directory.run_id}: held by {started.holder}; waiting to see whether it still lives")
            self.waiting.append(earlier or Waiting(directory, started, time.monotonic() + _PATIENCE * self.interval))
        else:
            say(f"{directory.run_id}: left to {started.holder}, which runs it")

    def _is_worth_waiting(self, held: LockHolder, earlier: Waiting | None) -> bool:
        """Could the holder be dying? An earlier start of this array task may be (Slurm does not always wait for its
        end), and one on another machine is dead when its heartbeat stays away."""
        if self.reason or (earlier and time.monotonic() > earlier.until):
            return False
        if held.holder.job_id is not None and held.holder.job_id == self.allocation.job_id:
            return True
        return not held.holder.is_here and (earlier is None or held.beat == earlier.first.beat)

    def _stop(self, number: signal.Signals) -> None:
        """A signal asks everything to stop: first tell the runs, then find out why in full."""
        now, first = time.time(), self.reason is None
        if not first and number == signal.SIGINT:
            self.deadline = now  # Ctrl-C a second time
            return
        if first:
            self._tell(self.allocation.guess_reason(number, now), now)
        elif number != signal.SIGTERM:
            return
        if (verdict := self.allocation.ask(number, now)) is None:
            return
        self.requeued = verdict.requeued
        if verdict.reason != self.reason and (first or verdict.reason == "cancelled"):
            self._tell(verdict.reason, now)

    def _tell(self, reason: str, now: float) -> None:
        say(f"asked to stop ({reason})")
        self.reason = reason
        end = self.allocation.end
        enough = reason == "timeout" and end is not None and end - _MARGIN_S > now
        self.deadline = end - _MARGIN_S if enough and end is not None else now + _grace()
        self._each_run(RunProcess.ask_to_stop, reason)

    def _each_run(self, act: Callable[..., None], *arguments: Any) -> None:
        """What an error stops for one run (a file could not be written) is said, and the runs beside it go on."""
        for run in self.running:
            try:
                act(run, *arguments)
            except OSError as error:
                say(f"{run.directory.run_id}: {error}")

    def _resident(self) -> int:
        """Bytes of this parent and its runs, which one limit holds together."""
        return sum(memory.resident_bytes(pid) for pid in (os.getpid(), *(run.pid for run in self.running)))

    def _reap(self) -> None:
        for run in [run for run in self.running if run.has_ended()]:
            if run.status == EXIT_STOPPED and self.reason is None and run.own_reason is None:
                for number in self.signals.wait(_SAME_SIGNAL_S):  # the child may have got the signal before us
                    self._stop(number)
            self.running.remove(run)
            self.free.append(run.slot)
            try:
                run.settle(self.reason, self._resident())
            except OSError as error:  # a full disk: the runs beside it may still be saved
                say(f"{run.directory.run_id}: its end could not be written: {error}")
                self.failed = True
                continue
            say(f"{run.directory.run_id}: {run.ending}")
            if run.failure is not None:
                self.failed = True
                unfinished = run.failure.kind in (Kind.TIMEOUT, Kind.PREEMPTED)
                tries = run.attempt.number - not_counting(read_attempts(run.directory))
                self.wants_requeue |= unfinished and tries < run.config.retry.max_attempts


def _grace() -> float:
    """Seconds that a run has for its checkpoint."""
    return float(os.environ.get("RUNNER_GRACE_S", _GRACE_S))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m jobs.node.parent", description="Work through an array task.")
    parser.add_argument("run_dirs", nargs="+")
    parser.add_argument("--side-by-side", type=int)
    parser.add_argument("--in-turn", action="store_true")
    return supervise(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())

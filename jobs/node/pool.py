"""The local pool: an array on one machine, without Slurm.

`python -m jobs.node.pool EXPERIMENT_DIR NUMBER --max-parallel N` works through the tasks of a submission, N parents
at a time. pool.json says at any moment which runs are queued and which are running.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from jobs.heartbeat import interval_from_environment
from jobs.launch import module_command, python_path
from jobs.node.signals import Signals
from jobs.node.slots import Slot, bound_to, slots, visible_gpus
from runner.files import read_json, write_json
from runner.rundir.layout import ExperimentDir
from runner.rundir.processes import PoolState

_POLL_S = 1.0


@dataclass
class Parent:
    """A parent process and what it was given."""

    run_ids: list[str]
    gpus: list[str]
    slot: Slot
    process: subprocess.Popen[bytes]


@dataclass
class Pool:
    """The tasks of one submission and the parents that work on them."""

    experiment: ExperimentDir
    number: int
    max_parallel: int
    pending: list[list[str]]  # run ids, one list per task
    gpus: list[str]
    side_by_side: int = 1  # runs at once in each task
    in_turn: bool = False  # others follow them
    gpus_of_task: int = 0
    running: list[Parent] = field(default_factory=list)
    free: list[Slot] = field(init=False)
    stopping: bool = False
    interval: float = field(default_factory=interval_from_environment)

    def __post_init__(self) -> None:
        """A run that is alone uses any core; runs side by side have their own, which their parents deal out."""
        free = slots(self.max_parallel, os.environ)
        self.free = free if self.side_by_side > 1 else [replace(slot, all_cores=()) for slot in free]

    def work(self, signals: Signals) -> None:
        """Until nothing is left to do, or all parents have ended after a signal."""
        written = 0.0
        while self.running or (self.pending and not self.stopping):
            if self._fill() or time.monotonic() - written > self.interval:
                self.write_state()
                written = time.monotonic()
            for number in signals.wait(_POLL_S):
                self._stop(number)
            if ended := [parent for parent in self.running if parent.process.poll() is not None]:
                self.free += [parent.slot for parent in ended]
                self.running = [parent for parent in self.running if parent not in ended]
                written = 0.0
        self.pending = []
        self.write_state(ended=True)

    def write_state(self, ended: bool = False) -> None:
        state = PoolState.this(
            time=time.time(),
            interval=self.interval,
            ended=ended,
            pending=[run_id for task in self.pending for run_id in task],
            running=[run_id for parent in self.running for run_id in parent.run_ids],
        )
        write_json(self.experiment.pool_state(self.number), vars(state))

    def _fill(self) -> bool:
        """Start parents while there is room; True when anything changed."""
        changed = False
        while self.pending and self.free and not self.stopping:
            task = self.pending.pop(0)
            if wanted := [run_id for run_id in task if not self.experiment.run(run_id).cancelled.exists()]:
                self.running.append(self._start(wanted))
            changed = True
        return changed

    def _start(self, run_ids: list[str]) -> Parent:
        used = Counter(gpu for parent in self.running for gpu in parent.gpus)
        gpus = sorted(self.gpus, key=lambda gpu: used[gpu])[: self.gpus_of_task]  # shared when there are not enough
        slot = self.free.pop(0)
        environ = {
            **os.environ,
            "PYTHONPATH": python_path(os.environ),
            "RUNNER_JOB_ID": f"local-{self.number}",
            "RUNNER_SUBMITTED_AT": str(self.experiment.pool_tasks(self.number).stat().st_mtime),
        }
        if gpus:
            environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        words = ["--side-by-side", str(self.side_by_side), *(["--in-turn"] if self.in_turn else [])]
        command = module_command(
            "jobs.node.parent", *words, *(str(self.experiment.run(run_id).path) for run_id in run_ids)
        )
        with bound_to(slot.cores):
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0, env=environ)
        return Parent(run_ids, gpus, slot, process)

    def _stop(self, number: signal.Signals) -> None:
        self.stopping = True
        for parent in self.running:
            parent.process.send_signal(number)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m jobs.node.pool", description="Work through a submission.")
    parser.add_argument("experiment", type=Path)
    parser.add_argument("number", type=int)
    parser.add_argument("--max-parallel", type=int, default=1)
    options = parser.parse_args(arguments)
    experiment = ExperimentDir(options.experiment.resolve())
    if (tasks := read_json(experiment.pool_tasks(options.number))) is None:
        print(f"no tasks in {experiment.pool_tasks(options.number)}", file=sys.stderr)
        return 2
    state = PoolState.read(experiment.pool_state(options.number))
    if state is not None and state.is_beating(time.time()):
        print(f"submission {options.number} has a pool already", file=sys.stderr)
        return 2
    with Signals() as signals:
        packing = (tasks.get("side_by_side", 1), tasks.get("in_turn", 1) > 1, tasks.get("gpus", 0))
        gpus = visible_gpus(os.environ) if tasks.get("gpus") else []
        Pool(experiment, options.number, options.max_parallel, tasks["tasks"], gpus, *packing).work(signals)
    return 0


if __name__ == "__main__":
    sys.exit(main())

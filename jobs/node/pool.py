"""The local pool: an array on one machine, without Slurm.

`python -m jobs.node.pool EXPERIMENT_DIR NUMBER --max-parallel N` works through the tasks of a submission, N parents
at a time. pool.json says at any moment which runs are queued and which are running.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jobs.heartbeat import interval_from_environment
from jobs.launch import module_command, python_path
from jobs.node.signals import Signals
from runner.errors import UserError
from runner.files import read_json, write_json
from runner.rundir.layout import ExperimentDir, RunDir
from runner.rundir.processes import PoolState
from runner.rundir.run_config import read_run_config

_POLL_S = 1.0


def _has_pool(experiment: ExperimentDir, number: int) -> bool:
    """Does the pool of submission `number` work?"""
    state = PoolState.read(experiment.pool_state(number))
    return state is not None and state.is_beating(time.time())


def visible_gpus(environ: Mapping[str, str]) -> list[str]:
    """The GPUs that may be used: CUDA_VISIBLE_DEVICES, else what nvidia-smi counts."""
    if "CUDA_VISIBLE_DEVICES" in environ:
        return [name for name in environ["CUDA_VISIBLE_DEVICES"].split(",") if name]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=60)
    return [str(i) for i, line in enumerate(line for line in listed.stdout.splitlines() if line.startswith("GPU"))]


@dataclass
class Parent:
    """A parent process and what it was given."""

    run_ids: list[str]
    gpus: list[str]
    process: subprocess.Popen[bytes]


@dataclass
class Pool:
    """The tasks of one submission and the parents that work on them."""

    experiment: ExperimentDir
    number: int
    max_parallel: int
    pending: list[list[str]]  # run ids, a list a task
    gpus: list[str]
    running: list[Parent] = field(default_factory=list)
    stopping: bool = False
    interval: float = field(default_factory=interval_from_environment)

    def work(self, signals: Signals) -> None:
        """Until nothing is left to do, or all parents have ended after a signal."""
        written = 0.0
        while self.running or (self.pending and not self.stopping):
            changed = self._fill()
            if changed or time.monotonic() - written > self.interval:
                self.write_state()
                written = time.monotonic()
            for number in signals.wait(_POLL_S):
                self._stop(number)
            ended = [parent for parent in self.running if parent.process.poll() is not None]
            if ended:
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
        while self.pending and len(self.running) < self.max_parallel and not self.stopping:
            task = self.pending.pop(0)
            wanted = [run_id for run_id in task if not self.experiment.run(run_id).cancelled.exists()]
            if wanted:
                self.running.append(self._start(wanted))
            changed = True
        return changed

    def _start(self, run_ids: list[str]) -> Parent:
        directories = [self.experiment.run(run_id) for run_id in run_ids]
        gpus = self._free_gpus(max((_gpus_of(directory) for directory in directories), default=0))
        submitted = self.experiment.pool_tasks(self.number).stat().st_mtime
        environ = {
            **os.environ,
            "PYTHONPATH": python_path(os.environ),
            "RUNNER_JOB_ID": f"local-{self.number}",
            "RUNNER_SUBMITTED_AT": str(submitted),
        }
        if gpus:
            environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        command = module_command("jobs.node.parent", *(str(directory.path) for directory in directories))
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0, env=environ)
        return Parent(run_ids, gpus, process)

    def _free_gpus(self, count: int) -> list[str]:
        """The `count` GPUs with the fewest parents on them; they are shared when there are not enough."""
        used = Counter(gpu for parent in self.running for gpu in parent.gpus)
        return sorted(self.gpus, key=lambda gpu: used[gpu])[:count]

    def _stop(self, number: signal.Signals) -> None:
        self.stopping = True
        for parent in self.running:
            parent.process.send_signal(number)


def _gpus_of(directory: RunDir) -> int:
    try:
        return read_run_config(directory).gpus
    except UserError:  # its parent says what is wrong with it
        return 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m jobs.node.pool", description="Work through a submission.")
    parser.add_argument("experiment", type=Path)
    parser.add_argument("number", type=int)
    parser.add_argument("--max-parallel", type=int, default=1)
    options = parser.parse_args(arguments)
    experiment = ExperimentDir(options.experiment.resolve())
    tasks = read_json(experiment.pool_tasks(options.number))
    if tasks is None:
        print(f"no tasks in {experiment.pool_tasks(options.number)}", file=sys.stderr)
        return 2
    if _has_pool(experiment, options.number):
        print(f"submission {options.number} has a pool already", file=sys.stderr)
        return 2
    with Signals() as signals:
        pool = Pool(experiment, options.number, options.max_parallel, tasks["tasks"], visible_gpus(os.environ))
        pool.work(signals)
    return 0


if __name__ == "__main__":
    sys.exit(main())

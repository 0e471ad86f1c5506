"""`runner prepare`, and the small job that fills the caches before an array starts: what runs share is computed once.

Like a run that job has a small parent, which says in each run's failure.json why the caches could not be filled: Slurm
then cancels the array, and nothing else would tell.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from jobs.launch import child_environment, module_command
from jobs.log import say
from jobs.node.allocation import Allocation
from jobs.node.signals import Signals
from jobs.task import Preparation
from runner.commands.loading import Loaded, load
from runner.config.cluster import Cluster, parse
from runner.errors import UserError
from runner.files import content, open_to_append
from runner.rundir import manifest
from runner.rundir.cache_root import cache_root, record_prepared
from runner.rundir.failures import Failure, Kind
from runner.rundir.layout import ExperimentDir, RunDir
from runner.submit import submission


def prepare(loaded: Loaded, cluster: Cluster, say: Callable[[str], None]) -> list[Preparation]:
    """Let the task prepare all runs, in the cache that the cluster's workers will read."""
    root = cache_root(cluster.cache)
    os.environ["RUNNER_CACHE"] = str(root)
    items = loaded.task.prepare(loaded.models(loaded.expansion.runs), root, say)
    if all(item.ready for item in items):
        record_prepared(root, loaded.experiment.experiment, (run.run_id for run in loaded.expansion.runs))
    return items


def line_of(item: Preparation) -> str:
    """One thing that was prepared, or is missing, as a line."""
    return f"{'ready  ' if item.ready else 'MISSING'}  {item.what}" + (f": {item.detail}" if item.detail else "")


@dataclass(frozen=True)
class PrepareJob:
    """What submitit pickles: whose caches to fill."""

    directory: str
    number: int  # of the submission

    def __call__(self) -> None:
        if status := supervise(ExperimentDir(Path(self.directory)), self.number):
            sys.exit(status)


def supervise(directory: ExperimentDir, number: int) -> int:
    """Fill the caches in a child process; 0, or 1 after writing down why not."""
    allocation = Allocation.from_environment(os.environ, time.time())
    log = directory.prepare_log(number)
    runs = [directory.run(run_id) for task in manifest.submission(directory, number).tasks for run_id in task]
    end = _End(runs, Failure(Kind.DATA_MISSING, "", 0, time.time(), allocation.job_id, fingerprint="prepare"), log)
    end.tell("had not ended when this was written", provisional=True)
    command = module_command("runner.commands.prepare", str(directory.path), str(number))
    with Signals() as signals, open_to_append(log) as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, process_group=0,
            env=child_environment(os.environ, len(os.sched_getaffinity(0))),
        )  # fmt: skip
        reason = _await(process, signals, allocation)
    if process.returncode == 0:
        end.forget()
        return 0
    if reason == "preempted":  # Slurm runs it again; the arrays wait
        return 1
    status = process.returncode
    what = f"was ended by {signal.Signals(-status).name}" if status < 0 else "failed"
    why = {"timeout": "reached its time limit (`prepare: {time: …}` in the cluster file)", "cancelled": "was cancelled"}
    end.tell(why.get(reason or "", what), kind=Kind.CANCELLED if reason == "cancelled" else Kind.DATA_MISSING)
    return 1


def _await(process: subprocess.Popen[bytes], signals: Signals, allocation: Allocation) -> str | None:
    """Until the child has ended; why it was made to, if it was."""
    reason = None
    while process.poll() is None:
        for number in signals.wait(1.0):
            if number in (signal.SIGTERM, signal.SIGINT):  # others warn; there is no checkpoint to write
                verdict = allocation.ask(number, time.time())
                reason = verdict.reason if verdict else allocation.guess_reason(number, time.time())
                os.killpg(process.pid, signal.SIGKILL)
    return reason


@dataclass(frozen=True)
class _End:
    """What the runs are told of the job that was to prepare them."""

    runs: list[RunDir]
    failure: Failure
    log: Path

    def tell(self, what: str, *, kind: Kind = Kind.DATA_MISSING, provisional: bool = False) -> None:
        text = content(self.log).decode(errors="replace").splitlines()
        last = f": {text[-1]}" if text and not provisional else ""
        message = f"its prepare job {self.failure.job_id} {what}{last}\nsee {self.log}"
        say(message)
        for run in self.runs:
            if run.config.exists() and not run.result.exists():  # a refused array takes its directories back
                replace(self.failure, kind=kind, message=message, provisional=provisional).write(run)

    def forget(self) -> None:
        for run in self.runs:
            run.failure.unlink(missing_ok=True)


def fill(directory: ExperimentDir, number: int, tell: Callable[[str], None]) -> bool:
    """Prepare the runs of a submission as it was sent; whether nothing is missing."""
    origin = submission.origin_of(directory, manifest.submission(directory, number))
    os.chdir(origin.folder)
    loaded = load(directory.experiment_copy(number), directory.path.parent, origin.overrides, kept=True)
    items = prepare(loaded, parse(origin.cluster, directory.cluster_file(number)), tell)
    for item in items:
        tell(line_of(item))
    return all(item.ready for item in items)


def main() -> int:
    try:
        return 0 if fill(ExperimentDir(Path(sys.argv[1])), int(sys.argv[2]), say) else 1
    except UserError as error:
        say(f"error: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())

"""`python -m jobs.node.child RUN_DIR --attempt N`: one attempt of one run, in a process of its own."""

from __future__ import annotations

import argparse
import faulthandler
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from pydantic import ValidationError

from jobs.context import RunContext, as_json, not_finite
from jobs.failure import EXIT_FAILED, EXIT_STOPPED, EXIT_SUPERSEDED, Kind, RunFailure, Stopped, failure_of_exception
from jobs.heartbeat import HeartbeatThread, interval_from_environment
from jobs.log import say
from jobs.node.disk_reserve import give_back, is_full_disk
from jobs.node.memory import MIB, peak_bytes
from jobs.node.provenance import write_provenance
from jobs.node.run_health import health_of
from jobs.patience import patiently
from jobs.task import Outcome
from jobs.tasks.registry import load_task
from runner.errors import ConfigError
from runner.record import finite_items
from runner.rundir.attempts import read_attempts, seconds_before
from runner.rundir.layout import RunDir
from runner.rundir.lock import Holder
from runner.rundir.processes import host_name
from runner.rundir.result import Result
from runner.rundir.run_config import RunConfig, problems_of, read_run_config

_ORPHAN_S = 300.0  # a run whose parent is gone has so long for its checkpoint
_LEAVE_S = 60.0  # an interpreter that cannot end (a thread that never returns) is ended


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m jobs.node.child")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--attempt", type=int, required=True)
    parser.add_argument("--claim", help="token of the claim that the parent holds")
    parser.add_argument("--lifeline", type=int, help="descriptor on which the parent says why to stop; its end: orphan")
    parser.add_argument("--job-id")
    parser.add_argument("--array-task-id", type=int)
    parser.add_argument("--memory-limit", type=int, help="bytes, for those who read the heartbeat")
    options = parser.parse_args(arguments)
    faulthandler.enable()
    directory = RunDir(options.directory)
    try:
        status = _attempt(directory, options)
    except Exception as error:
        failure = failure_of_exception(error, options.attempt, options.job_id)
        if is_full_disk(error):
            give_back(directory)
        patiently(lambda: failure.write(directory))
        shown = isinstance(error, RunFailure) and error.output is not None  # by the program itself
        say(failure.message if shown else failure.traceback or failure.message)
        status = EXIT_STOPPED if isinstance(error, Stopped) else EXIT_FAILED
    _leave_in(_LEAVE_S, status)
    return status


def _attempt(directory: RunDir, options: argparse.Namespace) -> int:
    """Run the task from its configuration to result.json."""
    config = read_run_config(directory)
    heartbeat = HeartbeatThread(
        directory,
        {
            "job_id": options.job_id,
            "array_task_id": options.array_task_id,
            "attempt": options.attempt,
            "memory_limit_bytes": options.memory_limit,
        },
        interval_from_environment(),
        lambda: _leave_if_taken(directory, options),
    )
    context = RunContext(
        directory, variant=config.variant, seed=config.seed, attempt=options.attempt, threads=config.threads,
        gpus=config.gpus, heartbeat=heartbeat, thresholds=config.thresholds(),
        params=config.params, config_dir=config.config_dir, keep_stable=config.keep_stable,
        below=directory.experiment.run(config.below) if config.below else None,
    )  # fmt: skip
    _listen(context, options.lifeline)
    heartbeat.start()
    try:
        context.say(f"{config.run_id}: attempt {options.attempt} on {host_name()}, process {os.getpid()}")
        result = result_of(_run(directory, config, context), config, directory, options.attempt)
    finally:
        heartbeat.end()
    patiently(lambda: result.write(directory))  # last: from here on the run is completed
    context.say(f"{config.run_id}: completed")
    if config.keep.checkpoints == "none" or (config.keep.checkpoints == "best" and directory.best_checkpoint.exists()):
        directory.last_checkpoint.unlink(missing_ok=True)
    if config.keep.checkpoints == "none":
        directory.best_checkpoint.unlink(missing_ok=True)
    return 0


def _run(directory: RunDir, config: RunConfig, context: RunContext) -> Outcome:
    task = load_task(config.task, config.code_path)
    try:
        params = task.Params.model_validate(config.adjusted())
    except ValidationError as error:
        raise ConfigError(problems_of(error, str(directory.config), "params")) from None
    write_provenance(directory, config.code_path)
    return task.run(params, context)


def result_of(outcome: Outcome, config: RunConfig, directory: RunDir, attempt: int) -> Result:
    """What a completed run reports; a metric that is not finite raises RunFailure(diverged)."""
    if wrong := not_finite(outcome.metrics):
        raise RunFailure(Kind.DIVERGED, f"the task ended with {wrong}")
    now = time.time()
    took = now - next((a.started for a in read_attempts(directory) if a.number == attempt), now)
    return Result(
        run_id=config.run_id,
        variant=config.variant,
        seed=config.seed,
        metrics={name: float(value) for name, value in outcome.metrics.items()},
        best_epoch=outcome.best_epoch,
        epochs=outcome.epochs,
        stopped_early=outcome.stopped_early,
        seconds=seconds_before(directory, attempt) + took,
        parameters=outcome.parameters,
        attempts=attempt,
        gpus=config.gpus,
        cost=cost_of(config, took),
        adjustments=as_json(config.adjustments),
        fusion=as_json(outcome.fusion),
        health=health_of(outcome, config, directory),
        extra=as_json(outcome.extra),
    )


def cost_of(config: RunConfig, seconds: float) -> dict[str, float]:
    """What the last attempt was given, and what it used of it in `seconds`: memory at its peak, on the GPU too."""
    torch = sys.modules.get("torch")
    uses_gpu = torch is not None and config.gpus > 0 and torch.cuda.is_initialized()
    return finite_items({
        "asked_memory_mib": config.memory,
        "asked_seconds": config.time,
        "memory_mib": peak_bytes() / MIB,
        "gpu_memory_mib": torch.cuda.max_memory_allocated() / MIB if torch is not None and uses_gpu else None,
        "seconds": seconds,
    })  # fmt: skip


def _listen(context: RunContext, lifeline: int | None) -> None:
    """Set `context.stop_reason` from signals and from the parent's word, which counts more."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        if context.stop_reason is None:
            context.ask_to_stop("cancelled" if number in (signal.SIGTERM, signal.SIGINT) else "preempted")

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, on_signal)
    if lifeline is not None:
        threading.Thread(target=_hold, args=(context, lifeline), name="lifeline", daemon=True).start()


def _hold(context: RunContext, lifeline: int) -> None:
    with os.fdopen(lifeline, encoding="ascii") as words:
        for word in words:
            context.ask_to_stop(word.strip())
    context.ask_to_stop("parent_gone")
    context.say("the parent process is gone: stopping after a checkpoint")
    _leave_in(_ORPHAN_S, EXIT_STOPPED)


def _leave_in(seconds: float, status: int) -> None:
    timer = threading.Timer(seconds, os._exit, (status,))
    timer.daemon = True
    timer.start()


def _leave_if_taken(directory: RunDir, options: argparse.Namespace) -> None:
    """End this process at once when another has taken the run directory over: two must not write to it."""
    holder = Holder.read(directory.claim) if options.claim is not None else None
    if holder is not None and holder.token != options.claim:
        say(f"taken over by {holder}: leaving")
        os._exit(EXIT_SUPERSEDED)


if __name__ == "__main__":
    sys.exit(main())

"""The directories of runs before they are sent, with their config.yaml; and after a refusal."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from runner.files import refuse_links
from runner.health.quantities import as_data
from runner.matrix.expansion import Expansion, Run
from runner.rundir import manifest
from runner.rundir.layout import ExperimentDir
from runner.rundir.run_config import Keep, Retry, RunConfig
from runner.submit.plan import Plan, RetryPlan

WRITERS = 8  # at once: a shared file system takes its time for each file, and takes several


def write_runs(
    directory: ExperimentDir, expansion: Expansion, plan: Plan, ids: set[str], origin: manifest.Origin
) -> None:
    """Write many at once: flushing to disk is waiting, on a shared file system all the more."""
    chosen = [run for run in plan.send if run.run_id in ids]
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda run: write_run(directory, expansion, run, plan.retry_plans[run.run_id], origin), chosen))


def write_run(
    directory: ExperimentDir, expansion: Expansion, run: Run, needed: RetryPlan, origin: manifest.Origin
) -> None:
    """Make the directory of one run with its config.yaml."""
    target = directory.run(run.run_id)
    refuse_links(*target.folders)
    target.path.mkdir(parents=True, exist_ok=True)
    run_config(expansion, run, needed, origin).write(target)
    target.cancelled.unlink(missing_ok=True)


def run_config(expansion: Expansion, run: Run, needed: RetryPlan, origin: manifest.Origin) -> RunConfig:
    """What the worker is told of a run; its parameters were checked when it was expanded."""
    experiment = expansion.file.experiment
    return RunConfig.model_construct(
        experiment=experiment.experiment,
        run_id=run.run_id,
        variant=run.variant,
        seed=run.seed,
        axes=run.axes,
        task=experiment.task,
        threads=experiment.resources.cpus,
        gpus=experiment.resources.gpus,
        memory=needed.resources.memory,
        time=needed.resources.time,
        keep=Keep(checkpoints=experiment.keep.checkpoints),
        retry=Retry(max_attempts=experiment.retry.max_attempts),
        stop_after_same_error=experiment.stop_after_same_error,
        interpreter=experiment.interpreter,
        health=experiment.health,
        quantities=as_data(each for each in expansion.quantities if (each.low, each.high) != (None, None)),
        ratio=experiment.select.ratio,
        metric=str(experiment.select.metric),
        mode=experiment.select.mode or "min",
        code_path=Path(origin.folder),
        config_dir=Path(origin.config_dir) if origin.config_dir else None,
        **expansion.of_search(run),
        adjustments=dict(needed.adjustments),
        params=run.params,
    )


def take_back(directory: ExperimentDir, number: int, tasks: list[list[str]]) -> None:
    """After a refusal: runs that were not sent and have never started are new again, not lost."""
    chunks = [chunk for chunk in manifest.submission(directory, number).chunks if chunk.job_id]
    kept = {run_id for chunk in chunks for task in chunk.of(tasks) for run_id in task}
    for run_id in {run_id for task in tasks for run_id in task} - kept:
        run = directory.run(run_id)
        if not run.attempts.exists():
            run.config.unlink(missing_ok=True)
        if not any(run.path.iterdir()):
            run.path.rmdir()

"""`runner submit`: send what is new, lost or may be retried; say what was left and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from jobs.parent import ArrayTask
from runner import manifest, submission
from runner.cluster import Cluster, SlurmCluster
from runner.commands.loading import Loaded, refuse_without_time
from runner.commands.prepare_job import PrepareJob
from runner.errors import CommandFailed, ConfigError
from runner.expansion import Run
from runner.plan import Plan, Policy, plan
from runner.quantities import counted
from runner.retry import RETRIED, Limits
from runner.schedulers import limits, slurm
from runner.selection import filter_runs

WORKERS = submission.Workers(task=ArrayTask, prepare=PrepareJob)


@dataclass(frozen=True)
class Outcome:
    """What a submission did, or would do."""

    plan: Plan
    sent: submission.Sent | None
    settled: list[str] = field(default_factory=list)  # what an interrupted submission had left behind


def submit(
    loaded: Loaded, cluster: Cluster, origin: submission.Origin, runs: Sequence[Run], policy: Policy, dry_run: bool
) -> Outcome:
    """Plan and send `runs` under the experiment's lock; with `dry_run` nothing is written."""
    experiment = loaded.experiment
    own_code = _own_code(loaded, runs, origin)
    policy = replace(policy, limits=_limits(loaded, cluster), shrink=getattr(loaded.task, "shrink", None))
    if dry_run:
        return Outcome(plan(loaded.directory, runs, experiment, policy), None)
    with manifest.submit_lock(loaded.directory):
        settled = submission.settle_orphans(loaded.directory)
        planned = plan(loaded.directory, runs, experiment, policy)
        if planned.queue.unanswered:
            raise _unanswered(planned.queue.unanswered)
        manifest.write(loaded.directory, loaded.expansion, experiment.task)
        sent = None
        if planned.send:
            sent = submission.send(loaded.directory, loaded.expansion, cluster, planned, WORKERS, origin, own_code)
    return Outcome(planned, sent, settled)


def chosen(loaded: Loaded, only: str | None) -> list[Run]:
    """The runs of --only, else all."""
    return filter_runs(loaded.expansion.runs, only) if only else loaded.expansion.runs


def _own_code(loaded: Loaded, runs: Sequence[Run], origin: submission.Origin) -> dict[str, Path]:
    """The user's files that `runs` start, by their name in the copy of the code; ConfigError where one is missing."""
    look = getattr(loaded.task, "own_code", None)
    if look is None or not runs:
        return {}
    folder = Path(origin.config_dir or loaded.expansion.file.path.absolute().parent)
    files, problems = look(loaded.models(runs), Path(origin.folder), folder)
    report = loaded.expansion.reporter(runs[0].variant)
    if problems:
        raise ConfigError([report(tuple(p.key.split(".")), p.what, allowed=p.allowed) for p in problems])
    return dict(files)


def _limits(loaded: Loaded, cluster: Cluster) -> Limits:
    if not isinstance(cluster, SlurmCluster):
        return Limits()
    refuse_without_time(loaded.expansion.file, cluster)
    slurm.check_commands()
    try:
        found = limits.limits(loaded.experiment.resources, cluster)
    except CommandFailed as error:
        raise _unanswered(error.message) from None
    limits.refuse_beyond(found, loaded.experiment.resources, cluster)
    return found


def _unanswered(why: str) -> CommandFailed:
    return CommandFailed(f"Slurm does not answer, so nothing was submitted: {why}")


def lines(outcome: Outcome, loaded: Loaded, cluster: Cluster, dry_run: bool) -> list[str]:
    """What happened, in words, with the next command."""
    done, sent = outcome.plan, outcome.sent
    name = loaded.experiment.experiment
    told = list(outcome.settled)
    if sent is not None and sent.tasks:
        where = (
            f"Slurm array {', '.join(sent.jobs)}" if cluster.kind == "slurm" else f"local pool (process {sent.jobs[0]})"
        )
        told.append(f"{name}: sent {counted(sent.runs, 'run')} in {counted(sent.tasks, 'array task')} to {where}")
    elif dry_run and done.send:
        told.append(f"{name}: would send {_listed(done.send)} to {cluster.kind}; nothing was sent (--dry-run)")
    else:
        told.append(f"{name}: {'nothing to send' if sent is None else 'nothing sent'}")
    if sent is not None and sent.waiting:
        more = counted(sent.waiting, "array task")
        told.append(f"{more} more than the site takes at once; submit again later, or let --supervise do it")
    if done.completed:
        told.append(f"{len(done.completed)} completed already")
    if done.under_way:
        told.append(f"{len(done.under_way)} queued or running")
    alike: dict[str, list[Run]] = {}
    for run in done.held_back:
        alike.setdefault(_why(done, run, loaded.experiment.retry.max_attempts), []).append(run)
    told += [f"{_listed(runs)}: {why}" for why, runs in alike.items()]
    if done.held_back:
        told.append(f"next: runner failures {name}, runner resubmit {name} --force")
    elif not dry_run:
        told.append(f"next: runner status {name}")
    return told


def _why(done: Plan, run: Run, most: int) -> str:
    """Why `run` was held back. most: retry.max_attempts."""
    state = done.states[run.run_id]
    refused = done.needs[run.run_id].refused if run.run_id in done.needs else None
    if state.state == "cancelled":
        return "cancelled; not sent again by itself"
    word = f"{state.state} ({state.kind}, attempt {state.attempt})"
    if refused:
        return f"{word}; {refused}"
    if state.attempt == 0 and state.state == "lost":
        return f"lost; sent {done.queue.sent[run.run_id]} times and never started"
    retried = state.state == "lost" or state.kind in RETRIED
    return f"{word}; retry.max_attempts is {most}" if retried else f"{word}; not retried by the policy"


def _listed(runs: Sequence[Run]) -> str:
    shown = ", ".join(run.run_id for run in runs[:6])
    return f"{counted(len(runs), 'run')} ({shown}{', …' if len(runs) > 6 else ''})"

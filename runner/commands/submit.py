"""`runner submit`: send what is new, lost or may be retried; say what was left and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.parent import ArrayTask
from runner import manifest, submission
from runner.cluster import Cluster, SlurmCluster
from runner.commands.loading import Loaded
from runner.errors import UserError
from runner.expansion import Run
from runner.schedulers import slurm
from runner.selection import filter_runs


@dataclass(frozen=True)
class Outcome:
    """What a submission did, or would do."""

    plan: submission.Plan
    sent: submission.Sent | None


def submit(loaded: Loaded, cluster: Cluster, only: str | None, dry_run: bool, force: bool = False) -> Outcome:
    """Plan and send under the experiment's lock; with `dry_run` nothing is written."""
    experiment = loaded.experiment
    if isinstance(cluster, SlurmCluster):
        slurm.check(experiment.resources, cluster, loaded.expansion.file.path)
    runs = filter_runs(loaded.expansion.runs, only) if only else loaded.expansion.runs
    if dry_run:
        return Outcome(submission.plan(loaded.directory, runs, experiment, force), None)
    with manifest.submit_lock(loaded.directory):
        plan = submission.plan(loaded.directory, runs, experiment, force)
        if plan.queue.unanswered:
            raise UserError(f"Slurm does not answer, so nothing was submitted: {plan.queue.unanswered}")
        manifest.write(loaded.directory, loaded.expansion, experiment.task)
        sent = submission.send(loaded.directory, loaded.expansion, cluster, plan.send, _task) if plan.send else None
    return Outcome(plan, sent)


def _task(run_dirs: tuple[str, ...]) -> Callable[[], Any]:
    return ArrayTask(run_dirs)


def lines(outcome: Outcome, loaded: Loaded, cluster: Cluster, dry_run: bool) -> list[str]:
    """What happened, in words, with the next command."""
    plan, sent = outcome.plan, outcome.sent
    name = loaded.experiment.experiment
    told = []
    if sent is not None:
        where = (
            f"Slurm array {', '.join(sent.jobs)}" if cluster.kind == "slurm" else f"local pool (process {sent.jobs[0]})"
        )
        told.append(f"{name}: sent {len(plan.send)} runs in {sent.tasks} array tasks to {where}")
        if sent.waiting:
            told.append(f"{sent.waiting} array tasks wait: the site takes {sent.tasks} at once; submit again later")
    elif plan.send:
        told.append(f"{name}: would send {_listed(plan.send)} to {cluster.kind}; nothing was sent (--dry-run)")
    else:
        told.append(f"{name}: nothing to send")
    if plan.completed:
        told.append(f"{len(plan.completed)} completed already")
    if plan.under_way:
        told.append(f"{len(plan.under_way)} queued or running")
    for run in plan.held_back:
        state = plan.states[run.run_id]
        told.append(f"{run.run_id}: {state.state} ({state.kind}, attempt {state.attempt}); not retried by the policy")
    if plan.held_back:
        told.append(f"next: runner resubmit {name} --force")
    elif not dry_run:
        told.append(f"next: runner status {name}")
    return told


def _listed(runs: Sequence[Run]) -> str:
    shown = ", ".join(run.run_id for run in runs[:6])
    return f"{len(runs)} runs ({shown}{', …' if len(runs) > 6 else ''})"

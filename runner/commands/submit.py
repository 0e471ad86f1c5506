"""`runner submit`: send what is new, lost or may be retried; say what was left and why."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from jobs.node.parent import ArrayTask
from runner.commands.loading import Loaded, refuse_without_time, units_in_words
from runner.commands.prepare import PrepareJob
from runner.commands.status import gone_line
from runner.config import yaml_source
from runner.config.cluster import Cluster, SlurmCluster
from runner.config.quantities import counted, shortened
from runner.errors import CommandFailed, ConfigError, Mistakes, Problem, UserError
from runner.extras import require
from runner.files import write_json
from runner.matrix.expansion import Run
from runner.rundir import manifest
from runner.rundir.failures import Failure, Kind
from runner.rundir.ledger import SearchPlan
from runner.slurm_commands import SlurmCommands, from_the_shell
from runner.submit import arrays, submission
from runner.submit.plan import Limits, Plan, Policy, plan
from runner.submit.rounds import Step, advance
from runner.submit.run_selection import filter_runs
from runner.submit.schedulers import limits, slurm
from runner.terminal import tell

WORKERS = submission.Workers(task=ArrayTask, prepare=PrepareJob)


@dataclass(frozen=True)
class Outcome:
    """What a submission did, or would do."""

    plan: Plan
    sent: submission.Sent | None
    waiting: int = 0  # array tasks that the site's limit leaves for a later submission
    settled: list[str] = field(default_factory=list)  # what an interrupted submission had left behind
    step: Step | None = None  # where a search stands


def submit(
    loaded: Loaded, cluster: Cluster, origin: submission.Origin, runs: Sequence[Run], policy: Policy, dry_run: bool
) -> Outcome:
    """Plan and send `runs` under the experiment's lock; with `dry_run` nothing is written."""
    experiment = loaded.experiment
    manifest.refuse_adopted(loaded.directory)
    if experiment.search is not None and experiment.search.propose is not None:
        require("search")
    own_code = _own_code(loaded, runs, origin)
    policy = replace(policy, limits=_limits(loaded, cluster, origin), shrink=getattr(loaded.task, "shrink", None))
    if dry_run:
        planned, step = _planned(loaded, runs, policy, writes=False)
        sendable, waiting = arrays.within_limit(planned, experiment, cluster)
        now = {run_id for _, tasks in sendable for task in tasks for run_id in task}
        send = [run for run in planned.send if run.run_id in now]
        return Outcome(replace(planned, send=send), None, waiting, step=step)
    with manifest.submit_lock(loaded.directory):
        settled = submission.settle_orphans(loaded.directory)
        planned, step = _planned(loaded, runs, policy)
        if step is not None and step.expansion is not loaded.expansion:  # points have joined the search
            loaded = replace(loaded, expansion=step.expansion)
            own_code = _own_code(loaded, loaded.expansion.runs, origin)
        if planned.queue.unanswered:
            raise _unanswered(planned.queue.unanswered)
        _keep_states(loaded, planned)
        manifest.write(loaded.directory, loaded.expansion, experiment.task, loaded.advice)
        sent = None
        if planned.send:
            before = len(manifest.submissions(loaded.directory))
            try:
                sent = submission.send(loaded.directory, loaded.expansion, cluster, planned, WORKERS, origin, own_code)
            except KeyboardInterrupt:
                tell(_interrupted(loaded, manifest.submissions(loaded.directory)[before:]))
                raise
    return Outcome(planned, sent, sent.waiting if sent else 0, settled, step)


def _planned(loaded: Loaded, runs: Sequence[Run], policy: Policy, *, writes: bool = True) -> tuple[Plan, Step | None]:
    """What is to be done with `runs`; of a search, with those of the round that is under way."""
    if loaded.experiment.search is None:
        return plan(loaded.directory, runs, loaded.experiment, policy), None
    step = advance(loaded.directory, loaded.expansion, runs, policy, writes=writes)
    if step.round is None and writes:  # nothing begins from them any more
        for run in loaded.expansion.runs:
            loaded.directory.run(run.run_id).stable_checkpoint.unlink(missing_ok=True)
    return step.plan, step


def _keep_states(loaded: Loaded, planned: Plan) -> None:
    """Write down what Slurm alone knows: what was taken from its queue, and what it ended for its memory."""
    for run in planned.send:
        state, target = planned.states[run.run_id], loaded.directory.run(run.run_id)
        if state.state == "lost" and state.kind == Kind.OUT_OF_MEMORY and state.attempt:
            Failure(Kind.OUT_OF_MEMORY, state.message or "", state.attempt, time.time()).write(target)
    for run in planned.held_back:
        target = loaded.directory.run(run.run_id)
        if planned.states[run.run_id].state == "cancelled" and not target.cancelled.exists():
            write_json(target.cancelled, {"time": time.time()})


def chosen(loaded: Loaded, only: Sequence[str]) -> list[Run]:
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
    Mistakes([report(tuple(p.key.split(".")), p.what, allowed=p.allowed) for p in problems]).refuse()
    return dict(files)


def _limits(loaded: Loaded, cluster: Cluster, origin: submission.Origin) -> Limits:
    if not isinstance(cluster, SlurmCluster):
        return Limits()
    refuse_without_time(loaded.expansion.file, cluster)
    slurm.check_commands(SlurmCommands(cluster.commands))
    resources, source = loaded.experiment.resources, loaded.expansion.file.source
    try:
        limit = limits.limits(resources, cluster)
    except CommandFailed as error:
        raise _unanswered(error.message) from None
    except UserError as error:  # no such partition
        raise ConfigError([_partition_problem(loaded, cluster, origin, error.message)]) from None
    beside = min(loaded.experiment.array.side_by_side, len(loaded.expansion.runs))
    mistakes = limits.beyond(limit, resources, beside, cluster)
    Mistakes([source.problem(("resources", key), what) for key, what in mistakes.items()]).refuse()
    return limit if limit.mebibytes is None else replace(limit, mebibytes=limit.mebibytes // beside)


def _partition_problem(loaded: Loaded, cluster: SlurmCluster, origin: submission.Origin, what: str) -> Problem:
    """At the key that names the partition: of the experiment file, else of the cluster file, else of the shell."""
    if loaded.experiment.resources.partition:
        return loaded.expansion.file.source.problem(("resources", "partition"), what)
    if cluster.partition:
        name = Path(origin.cluster_option or loaded.experiment.cluster)
        return yaml_source.parse(origin.cluster, name, strict=False).problem(("partition",), what)
    return Problem(what, file="SBATCH_PARTITION")


def _interrupted(loaded: Loaded, begun: Sequence[manifest.Submission]) -> str:
    """What is in the queue although the submission was interrupted, and what does the rest."""
    name = loaded.experiment.experiment
    chunks = [chunk for sent in begun for chunk in sent.chunks]
    jobs = [chunk.job_id for chunk in chunks if chunk.job_id]
    kind = "Slurm array" if begun and begun[-1].kind == "slurm" else "local pool, process"
    queued = f"in the queue: {kind} {', '.join(jobs)}" if jobs else "nothing is known to be in the queue"
    if len(jobs) < len(chunks):
        queued += "; one more was just being sent, and the next submit finds out whether it was"
    stop = f", or runner cancel {name}" if chunks else ""
    return f"interrupted; {queued}\n  next: runner submit {loaded.expansion.file.path}, which sends the rest{stop}"


def _unanswered(why: str) -> CommandFailed:
    return CommandFailed(f"Slurm does not answer, so nothing was submitted: {why}")


def lines(outcome: Outcome, loaded: Loaded, cluster: Cluster, dry_run: bool) -> list[str]:
    """What happened, in words, with the next command."""
    done, sent = outcome.plan, outcome.sent
    name = loaded.experiment.experiment
    text = [*outcome.settled, *_rounds(outcome, loaded.expansion.search)]
    if isinstance(cluster, SlurmCluster):
        resources = loaded.experiment.resources
        text += arrays.warnings(cluster, loaded.experiment.array.of_task(resources, len(loaded.expansion.runs)))
        if dry_run and (kept := from_the_shell(os.environ, slurm.given(cluster, resources))):
            text.append(f"Slurm's commands get from your shell: {', '.join(kept)}")
    if sent is not None and sent.tasks:
        jobs = ", ".join(sent.jobs)
        where = f"Slurm array {jobs}" if cluster.kind == "slurm" else f"local pool (process {jobs})"
        text.append(f"{name}: sent {counted(sent.runs, 'run')} in {counted(sent.tasks, 'array task')} to {where}")
    elif dry_run and done.send:
        text.append(f"{name}: would send {_listed(done.send)} to {cluster.kind}; nothing was sent (--dry-run)")
        text += units_in_words(loaded)
    else:
        text.append(f"{name}: {'nothing to send' if sent is None else 'nothing sent'}")
    if outcome.waiting:
        more = counted(outcome.waiting, "array task")
        text.append(f"{more} more than the site takes at once; submit again later, or let --supervise do it")
    unknown = sum(done.states[run.run_id].state == "unknown" for run in done.under_way)
    numbers = {
        "completed already": len(done.completed),
        "queued or running": len(done.under_way) - unknown,
        "unknown, since Slurm does not answer; they are not sent": unknown,
    }
    text += [f"{number} {what}" for what, number in numbers.items() if number]
    expansion = outcome.step.expansion if outcome.step else loaded.expansion
    if gone := sorted(done.queue.places.keys() - {run.run_id for run in expansion.runs}):
        text.append(gone_line(gone, name))
    alike: dict[str, list[Run]] = {}
    for run in done.held_back:
        alike.setdefault(_why(done, run, loaded.experiment.retry.max_attempts), []).append(run)
    text += [f"{_listed(runs)}: {why}" for why, runs in alike.items()]
    if done.held_back:
        text.append(f"next: runner failures {name}, runner resubmit {name} --force")
    elif not dry_run:
        text.append(f"next: runner status {name}")
    return text


def _rounds(outcome: Outcome, plan: SearchPlan | None) -> list[str]:
    """What a submission has decided of a search, and which round it goes on with."""
    step = outcome.step
    if step is None or plan is None:
        return []
    ended = [
        f"{plan.named(page.round)}: {len(page.kept)} kept, {len(page.dropped)} left"
        + (f", {len(page.proposed)} proposed" if page.proposed else "")
        for page in step.decided
    ]
    return [*ended, f"search: {plan.named(step.round)}" if step.round else "search: all rounds are decided"]


def _why(done: Plan, run: Run, most: int) -> str:
    """Why `run` was held back. most: retry.max_attempts."""
    state, retry = done.states[run.run_id], done.retry_plans.get(run.run_id)
    why = f"retry.max_attempts is {most}" if state.retried else "not retried by the policy"
    if state.state == "cancelled":
        return "cancelled; not sent again by itself"
    if state.attempt == 0 and state.state == "lost" and not (retry and retry.refused):
        return f"lost; sent {done.queue.sent[run.run_id]} times and never started"
    return f"{state.state} ({state.kind}, attempt {state.attempt}); {(retry and retry.refused) or why}"


def _listed(runs: Sequence[Run]) -> str:
    return f"{counted(len(runs), 'run')} ({shortened([run.run_id for run in runs], 6)})"

"""Supervision: when an experiment's arrays have ended, retry what may be retried, else summarise and go on to the next.

On Slurm each turn is a small job that depends on the arrays (`afterany`), so Slurm itself carries the funnel and nobody
has to stay logged in. On one machine a background process waits instead.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from runner.commands.loading import load
from runner.commands.promote import promote, summarize
from runner.commands.resubmit import reload
from runner.commands.status import take
from runner.commands.submit import chosen, submit
from runner.config.cluster import Cluster, SlurmCluster
from runner.config.experiment import Notify
from runner.errors import CommandFailed, UserError
from runner.files import content, open_to_append, write_json
from runner.rundir import manifest
from runner.rundir.layout import ExperimentDir
from runner.rundir.processes import Process
from runner.slurm_commands import SlurmCommands
from runner.submit import submission
from runner.submit.plan import Policy
from runner.submit.scheduler_snapshot import look
from runner.terminal import tell

POLL_SECONDS = 2.0
AGAIN_SECONDS = 20.0  # after which a turn is tried again while Slurm does not answer
PATIENCE_SECONDS = 15 * 60.0
LATER_SECONDS = 600


@dataclass(frozen=True)
class SupervisorStep:
    """What submitit pickles for a supervisor job: the experiment to look after."""

    directory: str
    only: tuple[str, ...] = ()  # what --only chose; empty: all runs

    def __call__(self) -> None:
        try:
            patiently(ExperimentDir(Path(self.directory)), self.only)
        except UserError as error:
            _say(f"error: {error}")
            sys.exit(1)


def patiently(directory: ExperimentDir, only: Sequence[str]) -> ExperimentDir | None:
    """`take_turn`, again and again while it cannot do its work; what it gives up with is kept for `runner status`.

    Slurm may be away for minutes, and nobody else would look after the experiment.
    """
    until = time.monotonic() + PATIENCE_SECONDS
    reported = None
    while True:
        try:
            following = take_turn(directory, only)
        except UserError as error:
            if error.message != reported:  # kept at once: the job may be ended before its patience is
                manifest.log_submission(directory, {"event": "supervision_failed", "message": error.message})
                reported = error.message
            if not isinstance(error, CommandFailed) or time.monotonic() > until:
                raise
            _say(f"{error}; tried again in {AGAIN_SECONDS:.0f} s")
            time.sleep(AGAIN_SECONDS)
        else:
            if following is None or following.path.name != directory.path.name:
                manifest.log_submission(directory, {"event": "supervision_ended"})
            return following


def take_turn(directory: ExperimentDir, only: Sequence[str] = ()) -> ExperimentDir | None:
    """Send again what may be sent of the runs of --only; when nothing is left, summarise and submit the next stage.

    The experiment that has to be waited for next, or None at the end of the funnel.
    """
    again = reload(directory, None)
    directory = again.loaded.directory
    runs = chosen(again.loaded, only)
    outcome = submit(again.loaded, again.cluster, again.origin, runs, Policy(), dry_run=False)
    if outcome.sent or outcome.plan.under_way:
        sent = len(outcome.plan.send)
        _say(f"{directory.path.name}: {sent} runs sent again, {len(outcome.plan.under_way)} still queued or running")
        full = outcome.sent is not None and not outcome.sent.jobs and not outcome.plan.under_way
        watch(directory, again.cluster, only, later=full)
        return directory
    summary = summarize(directory)
    _say(f"{directory.path.name}: {summary.choice.reason if summary.choice else 'no variant can be ranked'}")
    following = again.loaded.experiment.next
    if following is not None and only and not take(directory).all_completed:
        _say(f"{directory.path.name}: no next stage, since --only left out runs that are not completed")
        following = None
    if following is None:
        commands = SlurmCommands(getattr(again.cluster, "commands", {}))
        for line in notify(directory, again.loaded.experiment.notify, commands):
            _say(line)
        return None
    path = promote(directory, None, None, incomplete=False)
    stage, origin = load(path.absolute(), directory.path.parent), replace(again.origin, overrides=[])
    outcome = submit(stage, again.cluster, origin, stage.expansion.runs, Policy(), dry_run=False)
    _say(f"{stage.experiment.experiment}: {len(outcome.plan.send)} runs sent")
    watch(stage.directory, again.cluster)
    return stage.directory


def watch(directory: ExperimentDir, cluster: Cluster, only: Sequence[str] = (), *, later: bool = False) -> None:
    """Arrange for the next turn once the arrays that are under way have ended; locally, `follow` does so itself.

    later: the site has taken none, since it has enough of this user's; the next turn comes after a while.
    """
    if not isinstance(cluster, SlurmCluster):
        return
    path = ExperimentDir(directory.path.absolute())
    sent = manifest.submissions(path)
    jobs = {chunk.job_id for chunk in sent[-1].chunks if chunk.job_id and sent[-1].kind == "slurm"}
    jobs |= {place.job.partition("_")[0] for place in look(path).places.values() if not place.in_pool}
    dependency = {"dependency": f"afterany:{':'.join(sorted(jobs))}"} if jobs else {}
    job = submission.send_job(
        path, sent[-1].number, "supervisor", SupervisorStep(str(path.path), tuple(only)), cluster.supervisor, cluster,
        options={"use_srun": False, **dependency}, further={"begin": f"now+{LATER_SECONDS}"} if later else {},
    )  # fmt: skip
    manifest.log_submission(path, {"event": "supervised", "submission": sent[-1].number, "job_id": job})
    _say(f"{path.path.name}: job {job} supervises it")


def follow(directory: ExperimentDir, only: Sequence[str] = ()) -> None:
    """Take turns in this process until the funnel has ended; `only` chooses runs of the first stage."""
    manifest.refuse_adopted(directory)
    current: ExperimentDir | None = directory
    while current is not None:
        write_json(current.follower, vars(Process.this()))
        while not take(current).has_ended:
            time.sleep(POLL_SECONDS)
        following = patiently(current, only)
        if following is not None and following.path.name != current.path.name:
            only = ()
        current = following


def begin(directory: ExperimentDir, cluster: Cluster, only: Sequence[str]) -> None:
    """Let an experiment be supervised: by jobs of Slurm, or by a background process of this machine (`follow`)."""
    if isinstance(cluster, SlurmCluster):
        watch(directory, cluster, only)
        return
    log = directory.supervisor_log
    chosen_runs = [word for name in only for word in ("--only", name)]
    with open_to_append(log) as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-u", "-m", "runner.cli", "supervise", str(directory.path.absolute()), *chosen_runs],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    time.sleep(0.2)
    if process.poll() is not None:
        raise CommandFailed(f"the supervisor did not start; see {log}")
    tell(f"supervised by process {process.pid}; log: {log}")


def _say(text: str) -> None:
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}", flush=True)


PATIENCE_S = 120.0  # for the program


def notify(directory: ExperimentDir, wanted: Notify, commands: SlurmCommands) -> Iterator[str]:
    """Send what is wanted, once; what was done, or why it could not be. Call it when the summary is written."""
    if wanted.mail:
        yield _mail(os.environ.get("SLURM_JOB_ID"), commands)
    if wanted.command:
        yield _command(wanted.command, directory)


def _mail(job: str | None, commands: SlurmCommands) -> str:
    """Let Slurm write when this supervisor job, the last one, ends."""
    if job is None:
        return "no e-mail: only Slurm sends one; notify.command works on any machine"
    try:
        commands.call("scontrol", "update", f"JobId={job}", "MailType=END")
    except UserError as error:
        return f"no e-mail: {error.message}"
    return "Slurm sends an e-mail when this job ends"


def _command(words: list[str], directory: ExperimentDir) -> str:
    try:
        done = subprocess.run(words, input=content(directory.summary_markdown), capture_output=True, timeout=PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"notify.command {words[0]}: {error}"
    end = (done.stderr or done.stdout).decode(errors="replace").strip()[-300:]
    return f"notify.command {words[0]}: exit status {done.returncode}" + (f": {end}" if done.returncode and end else "")

"""`runner resubmit`: send again what failed, from what the last submission kept of its files."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from runner.commands.loading import Loaded, load, load_cluster
from runner.commands.submit import Outcome, chosen, submit
from runner.config import cluster as clusters
from runner.errors import Problem, UserError, nearest
from runner.rundir import manifest
from runner.rundir.failures import Kind
from runner.rundir.layout import ExperimentDir
from runner.rundir.states import run_state
from runner.submit import submission
from runner.submit.plan import Policy


@dataclass(frozen=True)
class Again:
    """The last submission, loaded again."""

    loaded: Loaded
    cluster: clusters.Cluster
    origin: submission.Origin


def reload(directory: ExperimentDir, cluster: str | None) -> Again:
    """Load the experiment as it was last submitted, in the working directory of that submission."""
    path = ExperimentDir(directory.path.absolute())
    manifest.refuse_adopted(directory)
    sent = manifest.submissions(path)
    if not sent:
        raise UserError(f"{directory.path} was never submitted", next_command="runner submit CONFIG")
    origin = submission.origin_of(path, sent[-1], cluster)
    other = (Path(cluster).absolute() if Path(cluster).exists() else cluster) if cluster else None
    os.chdir(origin.folder)
    loaded = load(path.experiment_copy(sent[-1].number), path.path.parent, origin.overrides, kept=True)
    if other:
        site = load_cluster(loaded.expansion.file, str(other))
        return Again(loaded, site.cluster, replace(origin, cluster=site.text, cluster_option=str(other)))
    return Again(loaded, clusters.parse(origin.cluster, path.cluster_file(sent[-1].number)), origin)


def resubmit(again: Again, names: list[str], kinds: list[str], force: bool, dry_run: bool) -> Outcome:
    """Send the runs that failed or were lost, of those that `names` mean; with `force` also what needs a person."""
    if unknown := [kind for kind in kinds if kind not in list(Kind)]:
        what, guess = f"--kind {unknown[0]!r} is no kind of failure", nearest(unknown[0], list(Kind))
        raise UserError(str(Problem(what, allowed=", ".join(Kind), nearest=guess)))
    directory = again.loaded.directory
    ended = ("failed", "cancelled", "lost")  # what of these Slurm still has is left alone by the plan
    runs = [run for run in chosen(again.loaded, names) if run_state(directory.run(run.run_id)).state in ended]
    return submit(again.loaded, again.cluster, again.origin, runs, Policy(force, tuple(kinds)), dry_run)

"""Commands that start and stop runs: submit, resubmit, run, cancel, supervise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runner.cli.options import (
    ClusterName,
    Config,
    Experiment,
    Names,
    Only,
    Root,
    Set,
    directory_of,
    opened,
    opened_with_cluster,
)
from runner.errors import EXIT_FAILED
from runner.terminal import RUN_SYNTAX, tell


def submit(
    config: Config,
    root: Root = None,
    set_: Set = None,
    cluster: ClusterName = None,
    only: Only = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, send nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Show progress until all runs have ended.")] = False,
    supervise: Annotated[
        bool, typer.Option("--supervise", help="Retry, summarise and go on to the next stage unattended.")
    ] = False,
) -> None:
    """Send new and lost runs, and failed ones that the policy may retry."""
    from runner.commands import submit as command
    from runner.commands.loading import refuse_bad_data, refuse_missing
    from runner.commands.supervise import begin
    from runner.commands.watch import wait as wait_for
    from runner.commands.watch import watch_all
    from runner.submit.plan import Policy
    from runner.submit.submission import Origin

    loaded, destination = opened_with_cluster(config, root, set_, cluster)
    runs = command.chosen(loaded, only or [])
    site = destination.cluster
    refuse_bad_data(loaded, runs)
    if not (site.kind == "slurm" and site.prepare and site.prepare.internet):  # which fetches it
        refuse_missing(loaded, runs)
    origin = Origin(set_ or [], destination.text, str(Path.cwd()), cluster, str(config.absolute().parent))
    outcome = command.submit(loaded, site, origin, runs, Policy(), dry_run)
    tell(*command.lines(outcome, loaded, site, dry_run))
    if supervise and not dry_run:
        begin(loaded.directory, site, only or [])
    if wait and not dry_run:
        while outcome.step is not None and (outcome.plan.send or outcome.plan.under_way):  # a round of a search
            watch_all(loaded, set(outcome.plan.states))
            outcome = command.submit(loaded, site, origin, runs, Policy(), dry_run)
            tell(*command.lines(outcome, loaded, site, dry_run))
        wait_for(loaded, set(outcome.plan.states))


def resubmit(
    experiment: Experiment = None,
    name: Names = None,
    root: Root = None,
    only: Only = None,
    cluster: ClusterName = None,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Only failures of this kind (may be repeated).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Also send what the retry policy leaves to a person.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent; send nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Show progress until all runs have ended.")] = False,
) -> None:
    """Send failed and lost runs again, with more of what they ran out of."""
    from runner.commands import resubmit as command
    from runner.commands.submit import lines
    from runner.commands.watch import wait as wait_for

    again = command.reload(directory_of(experiment, root), cluster)
    outcome = command.resubmit(again, [*(name or []), *(only or [])], kind or [], force, dry_run)
    tell(*lines(outcome, again.loaded, again.cluster, dry_run))
    if wait and not dry_run:
        wait_for(again.loaded, set(outcome.plan.states))


def run(
    config: Config,
    name: Annotated[str, typer.Argument(metavar="RUN", help=f"One run: {RUN_SYNTAX}.")],
    root: Root = None,
    set_: Set = None,
) -> None:
    """Train one run here, in the foreground."""
    from runner.commands import run as command

    raise typer.Exit(EXIT_FAILED if command.execute(command.prepare(opened(config, root, set_), name)) else 0)


def cancel(
    experiment: Experiment = None,
    name: Names = None,
    root: Root = None,
    only: Only = None,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", help="Only runs in this state; else queued, running and gone (from the file)."),
    ] = None,
) -> None:
    """Stop runs that are queued or running."""
    from runner.commands import cancel as command
    from runner.config.quantities import counted

    chosen = command.cancel(directory_of(experiment, root), [*(name or []), *(only or [])], state or command.USUAL)
    for planned in chosen:
        print(planned.run_id)
    tell(f"{counted(len(chosen), 'run')} cancelled" if chosen else "no run to cancel")


def supervise(experiment: Experiment = None, root: Root = None, only: Only = None) -> None:
    """Look after an experiment in this process: wait, retry, summarise, go on to the next stage."""
    from runner.commands.supervise import follow

    follow(directory_of(experiment, root), only or [])

"""The command `runner`: arguments in, a command's module called, its answer printed.

Modules are imported inside the commands, so that `runner --help` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runner import terminal
from runner.commands.examples import EXAMPLES
from runner.commands.options import (
    ClusterName,
    Config,
    Experiment,
    Format,
    Names,
    Only,
    Root,
    Set,
    StatusFormat,
    collector_paused,
    directory_of,
    opened,
    opened_with_cluster,
)
from runner.errors import EXIT_FAILED, CommandFailed, UserError
from runner.terminal import RUN_SYNTAX, Voice, tell
from runner.usage import SETTINGS, Version, grouped

if TYPE_CHECKING:
    from runner.commands.loading import Loaded

app = typer.Typer(
    name="runner",
    cls=grouped(EXAMPLES),
    context_settings=SETTINGS,
    help="Train every variant of a YAML matrix as Slurm job arrays, and look after them until all are done.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _options(
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress and no advice: errors and results only.")
    ] = False,
    version: Version = False,
) -> None:
    """Train every variant of a YAML matrix as Slurm job arrays, and look after them until all are done."""
    Voice.quiet = quiet


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Where to write.")] = Path("configs"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
    script: Annotated[
        Path | None, typer.Option("--script", help="Instead, an experiment file for this Python script with argparse.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", help="The validation metric, by the name that the script prints.")
    ] = None,
    mode: Annotated[
        str | None, typer.Option("--mode", help="Its good end, where its name does not tell: min or max.")
    ] = None,
) -> None:
    """Write starter experiment and cluster files here, or an experiment file for a script of your own."""
    from runner.commands.init import starters, write
    from runner.commands.own_script import LIKE, experiment

    if (script is None) != (metric is None):
        raise UserError("--script and --metric go together", next_command=LIKE)
    texts = starters() if script is None or metric is None else experiment(script, metric, mode, tell)
    for path in write(texts, folder, force):
        print(path)
    tell(f"next: runner expand {folder / ('demo.yaml' if script is None else next(iter(texts)))}")


@app.command()
def expand(
    config: Config,
    root: Root = None,
    set_: Set = None,
    format_: Annotated[Format, typer.Option("--format", help="How the runs are written to stdout.")] = Format.table,
) -> None:
    """List the runs of an experiment file; send nothing."""
    from runner.commands import expand as command
    from runner.console import console as console_of

    loaded = opened(config, root, set_)
    if format_ is Format.table:
        console = console_of()
        console.print(command.as_table(loaded, console.width))
        console.print()
        for line in command.lines(loaded):
            console.print(line)
    else:
        sys.stdout.write(command.as_json(loaded) + "\n" if format_ is Format.json else command.as_csv(loaded))


@app.command()
def prepare(config: Config, root: Root = None, set_: Set = None, cluster: ClusterName = None) -> None:
    """Fetch data and encoders and fill the caches, on a machine with internet; or say what is missing."""
    from runner.commands import prepare as command

    loaded, destination = opened_with_cluster(config, root, set_, cluster)
    found = command.prepare(loaded, destination.cluster, tell)
    for item in found:
        print(f"{'ready  ' if item.ready else 'MISSING'}  {item.what}" + (f": {item.detail}" if item.detail else ""))
    if not all(item.ready for item in found):
        raise CommandFailed("something is missing; see above")
    tell(f"next: runner submit {config}")


@app.command()
def submit(
    config: Config,
    root: Root = None,
    set_: Set = None,
    cluster: ClusterName = None,
    only: Only = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, send nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Show progress until all runs have ended.")] = False,
    supervise: Annotated[
        bool, typer.Option("--supervise", help="Retry, summarise and go on to the next stage with nobody logged in.")
    ] = False,
) -> None:
    """Send new and lost runs, and failed ones that the policy may retry."""
    from runner.commands import submit as command
    from runner.commands.loading import refuse_bad_data, refuse_missing
    from runner.commands.watch import wait as wait_for
    from runner.commands.watch import watch_all
    from runner.submit.plan import Policy
    from runner.submit.submission import Origin

    loaded, destination = opened_with_cluster(config, root, set_, cluster)
    runs = command.chosen(loaded, only or [])
    chosen = destination.cluster
    refuse_bad_data(loaded, runs)
    if not (chosen.kind == "slurm" and chosen.prepare and chosen.prepare.internet):  # which fetches it
        refuse_missing(loaded, runs)
    origin = Origin(set_ or [], destination.text, str(Path.cwd()), cluster, str(config.absolute().parent))
    outcome = command.submit(loaded, chosen, origin, runs, Policy(), dry_run)
    for line in command.lines(outcome, loaded, chosen, dry_run):
        tell(line)
    if supervise and not dry_run:
        _supervise(loaded, chosen, only or [])
    if wait and not dry_run:
        while outcome.step is not None and (outcome.plan.send or outcome.plan.under_way):  # a round of a search
            watch_all(loaded, set(outcome.plan.states))
            outcome = command.submit(loaded, chosen, origin, runs, Policy(), dry_run)
            for line in command.lines(outcome, loaded, chosen, dry_run):
                tell(line)
        wait_for(loaded, set(outcome.plan.states))


@app.command()
def resubmit(
    experiment: Experiment = None,
    name: Names = None,
    root: Root = None,
    only: Only = None,
    cluster: ClusterName = None,
    kind: Annotated[list[str] | None, typer.Option("--kind", help="Failures of this kind (may be repeated).")] = None,
    force: Annotated[bool, typer.Option("--force", help="Also what the policy leaves to a person.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent; send nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Show progress until all runs have ended.")] = False,
) -> None:
    """Send again what failed or was lost, with more of what it ran out of."""
    from runner.commands import resubmit as command
    from runner.commands.submit import lines
    from runner.commands.watch import wait as wait_for

    again = command.reload(directory_of(experiment, root), cluster)
    outcome = command.resubmit(again, [*(name or []), *(only or [])], kind or [], force, dry_run)
    for line in lines(outcome, again.loaded, again.cluster, dry_run):
        tell(line)
    if wait and not dry_run:
        wait_for(again.loaded, set(outcome.plan.states))


@app.command()
def reread(experiment: Experiment = None, root: Root = None) -> None:
    """Read the metrics of a command anew, after their mapping was corrected in the experiment file."""
    from runner.commands import reread as command
    from runner.config.quantities import counted

    directory = directory_of(experiment, root)
    config = Path(experiment) if experiment is not None and Path(experiment).is_file() else None
    unread = 0
    for run_id, outcome in command.reread(directory, config):
        print(f"{run_id}  " + ("read" if isinstance(outcome, list) else f"unchanged: {outcome}"))
        for line in outcome if isinstance(outcome, list) else []:
            print(f"    {line}")
        unread += not isinstance(outcome, list)
    if unread:
        raise CommandFailed(f"{counted(unread, 'run')} not read; see above")
    tell(f"next: analysis summarize {directory.path.name}")


@app.command()
def failures(experiment: Experiment = None, root: Root = None) -> None:
    """Say of each failed run why it failed, with its last lines and the next command."""
    from runner.commands import failures as command
    from runner.commands.status import take

    found = list(command.blocks(take(directory_of(experiment, root))))
    print("\n\n".join(found) if found else "no run has failed")


@app.command()
def run(
    config: Config,
    name: Annotated[str, typer.Argument(metavar="RUN", help=f"One run: {RUN_SYNTAX}.")],
    root: Root = None,
    set_: Set = None,
) -> None:
    """Train one run here, in the foreground."""
    from runner.commands import run as command

    status = command.execute(command.prepare(opened(config, root, set_), name))
    raise typer.Exit(EXIT_FAILED if status else 0)


@app.command()
def status(
    experiment: Experiment = None,
    root: Root = None,
    watch: Annotated[bool, typer.Option("--watch", help="Again every 30 s until all runs have ended.")] = False,
    format_: Annotated[
        StatusFormat, typer.Option("--format", help="How the status is written to stdout.")
    ] = StatusFormat.table,
) -> None:
    """Say how far an experiment is: counts, and a row a run."""
    from runner.commands import status as command
    from runner.console import console as console_of

    directory = directory_of(experiment, root)
    if watch:
        from runner.commands.watch import watch as look_again

        look_again(lambda: command.take(directory))
        return
    with collector_paused():
        taken = command.take(directory)
    if format_ is StatusFormat.json:
        print(command.as_json(taken))
    else:
        command.show(taken, console_of())


@app.command()
def logs(
    experiment: Annotated[str, typer.Argument(help="Directory, name or config.")],
    name: Annotated[str, typer.Argument(metavar="RUN", help=f"One run: {RUN_SYNTAX}.")],
    root: Root = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
    attempt: Annotated[int | None, typer.Option("--attempt", help="Of this attempt; else of the last.")] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="With what commands the terminal: colours, progress bars.")
    ] = False,
) -> None:
    """Print the log of a run."""
    from runner.commands import logs as command

    look = command.awaited if follow else command.find
    found, log = look(directory_of(experiment, root), name, attempt)
    parts = command.follow(found, log) if follow else [command.read(log)]
    stdout = terminal.original(sys.stdout)
    for text in parts if raw else command.cleaned(parts):
        stdout.write(text)
        if follow:
            stdout.flush()


@app.command()
def cancel(
    experiment: Experiment = None,
    name: Names = None,
    root: Root = None,
    only: Only = None,
    state: Annotated[
        list[str] | None, typer.Option("--state", help="In this state; else queued, running and gone (from the file).")
    ] = None,
) -> None:
    """Stop runs that are queued or running."""
    from runner.commands import cancel as command
    from runner.config.quantities import counted

    directory = directory_of(experiment, root)
    chosen = command.cancel(directory, [*(name or []), *(only or [])], state or command.USUAL)
    for planned in chosen:
        print(planned.run_id)
    tell(f"{counted(len(chosen), 'run')} cancelled" if chosen else "no run to cancel")


@app.command()
def promote(
    experiment: Experiment = None,
    root: Root = None,
    next_: Annotated[str | None, typer.Option("--next", help="Template of the next stage; else `next.config`.")] = None,
    top: Annotated[int | None, typer.Option("--top", min=1, help="How many variants go on; else `next.top`.")] = None,
    incomplete: Annotated[bool, typer.Option("--incomplete", help="Although runs have not completed.")] = False,
) -> None:
    """Write the next stage's experiment file from the variants that the summary promotes."""
    from runner.commands import promote as command

    path = command.promote(directory_of(experiment, root), next_, top, incomplete)
    print(path)
    tell(f"next: runner submit {path}")


@app.command()
def clean(
    experiment: Experiment = None,
    root: Root = None,
    checkpoints: Annotated[bool, typer.Option("--checkpoints", help="Checkpoints of completed runs.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Failed and cancelled runs as a whole.")] = False,
    gone: Annotated[bool, typer.Option("--gone", help="Runs that the experiment file no longer has.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed; remove nothing.")] = False,
) -> None:
    """Free disk space; never touch a run that is queued or running."""
    from runner.commands import clean as command
    from runner.config.quantities import counted

    kinds = command.checked({"checkpoints": checkpoints, "failed": failed, "gone": gone})
    directory = directory_of(experiment, root)
    found = command.find(directory, kinds) if dry_run else []
    sizes = {waste.run: waste.bytes for waste in found} if dry_run else dict(command.clean(directory, kinds))
    for cleaned, size in sizes.items():
        print(f"{size / 1e6:10.1f} MB  {cleaned.run_id}")
    what = "would be freed; nothing was removed (--dry-run)" if dry_run else "freed"
    tell(f"{sum(sizes.values()) / 1e6:,.1f} MB of {counted(len(sizes), 'run')} {what}")


@app.command()
def bundle(
    experiment: Experiment = None,
    root: Root = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The archive; else NAME.tar.gz here.")] = None,
) -> None:
    """Pack an experiment into one archive without checkpoints, for a colleague or the end of a project."""
    from runner.commands import bundle as command
    from runner.config.quantities import counted

    directory = directory_of(experiment, root)
    archive = output or Path(f"{directory.path.resolve().name}.tar.gz")
    packed = command.bundle(directory, archive)
    print(archive)
    if packed.unreadable:
        tell(f"{counted(packed.unreadable, 'file')} left out: not readable, or no regular file")
    tell(f"{counted(packed.files, 'file')}, {packed.bytes / 1e6:,.1f} MB; next, where it is unpacked: "
         f"analysis summarize {directory.path.resolve().name}")  # fmt: skip


@app.command()
def supervise(experiment: Experiment = None, root: Root = None, only: Only = None) -> None:
    """Look after an experiment in this process: wait, retry, summarise, go on to the next stage."""
    from runner.commands.supervise import follow

    follow(directory_of(experiment, root), only or [])


@app.command()
def adopt(
    config: Config,
    root: Root = None,
    set_: Set = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show a row per folder; write nothing.")] = False,
) -> None:
    """Make an experiment of finished runs of another program; again reads only what has changed."""
    from runner.commands import adopt as command
    from runner.console import console as console_of
    from runner.submit.selection import root_directory

    adoption = command.adopt(config, root_directory(root), set_ or [], dry_run)
    if dry_run:
        command.show(adoption, console_of())
    for line in command.lines(adoption, dry_run):
        tell(line)
    if not adoption.has_results:
        raise CommandFailed(
            f"no run has ended with {adoption.metric}",
            next_command=f"runner adopt {config} --dry-run, after a look at `metrics`, `log` and `done`",
        )


@app.command()
def doctor(
    cluster: Annotated[str, typer.Argument(metavar="CLUSTER", help="A cluster file.")],
    gpus: Annotated[int, typer.Option("--gpus", help="GPUs that the test job asks for.")] = 0,
    root: Root = None,
) -> None:
    """Check in a minute whether a Slurm site can run our arrays, with one small job."""
    from runner.commands.doctor import examine
    from runner.config import cluster as clusters
    from runner.config.quantities import counted
    from runner.rundir.layout import ExperimentDir
    from runner.submit.selection import root_directory

    site = clusters.load(cluster, Path.cwd() / ExperimentDir.experiment_file.name)
    if not isinstance(site, clusters.SlurmCluster):
        raise UserError(f"{cluster} is no Slurm site", next_command="runner doctor configs/clusters/slurm.yaml")
    ill = 0
    for finding in examine(site, gpus, root_directory(root)):
        print(
            f"{ {True: 'ok  ', False: 'FAIL', None: 'note'}[finding.good] }  {finding.what}: {finding.detail}",
            flush=True,
        )
        ill += finding.good is False
    if ill:
        raise CommandFailed(f"{counted(ill, 'check')} failed; see above")


@app.command()
def schema(
    task: Annotated[
        str, typer.Argument(help="A task of ours, package.module:Class, or cluster: of a cluster file.")
    ] = "crystal",
) -> None:
    """Print the JSON schema of the experiment file, for help in editors."""
    from runner.commands.schema import schema_of

    print(schema_of(task))


def _supervise(loaded: Loaded, cluster: Any, only: list[str]) -> None:
    from runner.commands.supervise import start_following, watch

    if cluster.kind == "slurm":
        watch(loaded.directory, cluster, only)
    else:
        process = start_following(loaded.directory, only)
        tell(f"supervised by process {process}; log: {loaded.directory.supervisor_log}")


def main() -> None:
    """Run the command line."""
    terminal.main("runner", app)


if __name__ == "__main__":
    main()

"""Commands about an experiment that was sent: reread, failures, status, logs, promote, clean, bundle."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from runner.cli.options import Experiment, Root, StatusFormat, collector_paused, directory_of
from runner.config.quantities import counted
from runner.errors import CommandFailed
from runner.terminal import RUN_SYNTAX, original, tell


def reread(experiment: Experiment = None, root: Root = None) -> None:
    """Read the metrics of a command anew, after their mapping was corrected in the experiment file."""
    from runner.commands import reread as command

    directory = directory_of(experiment, root)
    config = Path(experiment) if experiment is not None and Path(experiment).is_file() else None
    unread = 0
    for run_id, outcome in command.reread(directory, config):
        if isinstance(outcome, list):
            print(f"{run_id}  read", *outcome, sep="\n    ")
        else:
            print(f"{run_id}  unchanged: {outcome}")
            unread += 1
    if unread:
        raise CommandFailed(f"{counted(unread, 'run')} not read; see above")
    tell(f"next: analysis summarize {directory.path.name}")


def failures(experiment: Experiment = None, root: Root = None) -> None:
    """Show why each failed run failed, with its last lines and the next command."""
    from runner.commands import failures as command
    from runner.commands.status import take

    print("\n\n".join(command.blocks(take(directory_of(experiment, root)))) or "no run has failed")


def status(
    experiment: Experiment = None,
    root: Root = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every 30 s until all runs have ended.")] = False,
    format_: Annotated[
        StatusFormat, typer.Option("--format", help="How the status is written to stdout.")
    ] = StatusFormat.table,
) -> None:
    """Show how far an experiment is: counts, and one row per run."""
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


def logs(
    experiment: Annotated[str, typer.Argument(help="Directory, name or config.")],
    name: Annotated[str, typer.Argument(metavar="RUN", help=f"One run: {RUN_SYNTAX}.")],
    root: Root = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show what is appended until the run has ended.")
    ] = False,
    attempt: Annotated[
        int | None, typer.Option("--attempt", help="The log of this attempt; else of the last one.")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Keep colours and progress bars as they were written.")] = False,
) -> None:
    """Print the log of a run."""
    from runner.commands import logs as command

    look = command.awaited if follow else command.find
    run, log = look(directory_of(experiment, root), name, attempt)
    parts = command.follow(run, log) if follow else [command.read(log)]
    for text in parts if raw else command.cleaned(parts):
        print(text, end="", file=original(sys.stdout), flush=follow)


def promote(
    experiment: Experiment = None,
    root: Root = None,
    next_: Annotated[str | None, typer.Option("--next", help="Template of the next stage; else `next.config`.")] = None,
    top: Annotated[int | None, typer.Option("--top", min=1, help="How many variants go on; else `next.top`.")] = None,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="Promote although some runs have not completed.")
    ] = False,
) -> None:
    """Write the next stage's experiment file from the variants that the summary promotes."""
    from runner.commands import promote as command

    path = command.promote(directory_of(experiment, root), next_, top, incomplete)
    print(path)
    tell(f"next: runner submit {path}")


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

    kinds = command.checked({"checkpoints": checkpoints, "failed": failed, "gone": gone})
    sizes = command.clean(directory_of(experiment, root), kinds, dry_run)
    for run, size in sizes:
        print(f"{size / 1e6:10.1f} MB  {run.run_id}")
    what = "would be freed; nothing was removed (--dry-run)" if dry_run else "freed"
    tell(f"{sum(size for _, size in sizes) / 1e6:,.1f} MB of {counted(len(sizes), 'run')} {what}")


def bundle(
    experiment: Experiment = None,
    root: Root = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The archive; else NAME.tar.gz here.")] = None,
) -> None:
    """Pack an experiment into one archive without checkpoints, for a colleague or the end of a project."""
    from runner.commands import bundle as command

    directory = directory_of(experiment, root)
    name = directory.path.resolve().name
    archive = output or Path(f"{name}.tar.gz")
    packed = command.bundle(directory, archive)
    print(archive)
    if packed.unreadable:
        tell(f"{counted(packed.unreadable, 'file')} left out: not readable, or no regular file")
    tell(f"{counted(packed.files, 'file')}, {packed.bytes / 1e6:,.1f} MB; next, where it is unpacked: "
         f"analysis summarize {name}")  # fmt: skip

"""Commands around an experiment file before anything is sent: init, expand, prepare, adopt, doctor, schema."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from runner.cli.options import ClusterName, Config, Format, Root, Set, opened, opened_with_cluster
from runner.errors import CommandFailed, UserError
from runner.submit.selection import root_directory
from runner.terminal import tell


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
    print(*write(texts, folder, force), sep="\n")
    tell(f"next: runner expand {folder / ('demo.yaml' if script is None else next(iter(texts)))}")


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
        console.print("", *command.lines(loaded), sep="\n")
    else:
        sys.stdout.write(command.as_json(loaded) + "\n" if format_ is Format.json else command.as_csv(loaded))


def prepare(config: Config, root: Root = None, set_: Set = None, cluster: ClusterName = None) -> None:
    """Fetch data and encoders and fill the caches, on a machine with internet; or say what is missing."""
    from runner.commands import prepare as command

    loaded, destination = opened_with_cluster(config, root, set_, cluster)
    items = command.prepare(loaded, destination.cluster, tell)
    for item in items:
        print(command.line_of(item))
    if not all(item.ready for item in items):
        raise CommandFailed("something is missing; see above")
    tell(f"next: runner submit {config}")


def adopt(
    config: Config,
    root: Root = None,
    set_: Set = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show a row per folder; write nothing.")] = False,
) -> None:
    """Make an experiment of finished runs of another program; again reads only what has changed."""
    from runner.commands import adopt as command
    from runner.console import console as console_of

    adoption = command.adopt(config, root_directory(root), set_ or [], dry_run)
    if dry_run:
        command.show(adoption, console_of())
    tell(*command.lines(adoption, dry_run))
    if not adoption.has_results:
        raise CommandFailed(
            f"no run has ended with {adoption.metric}",
            next_command=f"runner adopt {config} --dry-run, after a look at `metrics`, `log` and `done`",
        )


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

    site = clusters.load(cluster, Path.cwd() / ExperimentDir.experiment_file.name)
    if not isinstance(site, clusters.SlurmCluster):
        raise UserError(f"{cluster} is no Slurm site", next_command="runner doctor configs/clusters/slurm.yaml")
    words, failed = {True: "ok  ", False: "FAIL", None: "note"}, 0
    for finding in examine(site, gpus, root_directory(root)):
        print(f"{words[finding.good]}  {finding.what}: {finding.detail}", flush=True)
        failed += finding.good is False
    if failed:
        raise CommandFailed(f"{counted(failed, 'check')} failed; see above")


def schema(
    task: Annotated[
        str, typer.Argument(help="A task of ours, package.module:Class, or cluster: of a cluster file.")
    ] = "crystal",
) -> None:
    """Print the JSON schema of the experiment file, for help in editors."""
    from runner.commands.init import schema_of

    print(schema_of(task))

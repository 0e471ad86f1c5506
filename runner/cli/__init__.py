"""The command `runner`: arguments in, a command's module called, its answer printed.

Modules are imported inside the commands, so that `runner --help` answers at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from runner import terminal
from runner.cli import inspecting, planning, starting
from runner.commands.examples import EXAMPLES
from runner.usage import SETTINGS, Version, grouped

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
for _command in (
    planning.init, planning.expand, planning.prepare, starting.submit, starting.resubmit, inspecting.reread,
    inspecting.failures, starting.run, inspecting.status, inspecting.logs, starting.cancel, inspecting.promote,
    inspecting.clean, inspecting.bundle, starting.supervise, planning.adopt, planning.doctor, planning.schema,
):  # fmt: skip
    app.command()(_command)


@app.callback()
def _options(
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress and no advice: errors and results only.")
    ] = False,
    version: Version = False,
) -> None:
    """Train every variant of a YAML matrix as Slurm job arrays, and look after them until all are done."""
    terminal.Voice.quiet = quiet


def main() -> None:
    """Run the command line."""
    terminal.main("runner", app)

"""The command line `analysis`: what came out of an experiment."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from analysis.commands import alpha, compare, diagnose, export, fusion, predict, refine, rescale, robustness, summarize
from runner.errors import EXIT_FAILED, UserError, refused_by_machine
from runner.terminal import Voice, explain, quiet_first

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="What came out of an experiment: ranking, health, choice, reports.",
)
app.command("summarize")(summarize.command)
app.command("compare")(compare.command)
app.command("weights")(fusion.weights)
app.command("scale")(fusion.scale)
app.command("diagnose")(diagnose.command)
app.command("alpha")(alpha.command)
app.command("export")(export.command)
app.command("rescale")(rescale.command)
app.command("predict")(predict.command)
app.command("refine")(refine.command)
app.command("robustness")(robustness.command)


@app.callback()
def _options(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Results and errors only.")] = False,
) -> None:
    """What came out of an experiment: ranking, health, choice, reports."""
    Voice.quiet = quiet


def main() -> None:
    """Run the command line; a user's mistake is one message, and its exit status."""
    try:
        sys.argv[1:] = quiet_first(sys.argv[1:])
        app()
    except UserError as error:
        explain(error, "analysis", sys.argv[1:])
        sys.exit(error.exit_status)
    except OSError as error:
        explain(refused_by_machine(error), "analysis", sys.argv[1:])
        sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    main()

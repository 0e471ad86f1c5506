"""The command line `analysis`: what came out of an experiment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from analysis.commands import export, fusion, refine, summarize
from analysis.commands.examples import EXAMPLES
from analysis.tools import alpha, compare, diagnose, predict, rescale, robustness
from runner import terminal
from runner.terminal import Voice
from runner.usage import SETTINGS, Version, grouped

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    cls=grouped(EXAMPLES),
    context_settings=SETTINGS,
    help="What came out of an experiment: ranking, health, choice, reports.",
)
_commands: dict[str, Callable[..., None]] = {
    "summarize": summarize.command, "compare": compare.command, "weights": fusion.weights, "scale": fusion.scale,
    "diagnose": diagnose.command, "alpha": alpha.command, "export": export.command, "rescale": rescale.command,
    "predict": predict.command, "refine": refine.command, "robustness": robustness.command,
}  # fmt: skip
for _name, _command in _commands.items():
    app.command(_name)(_command)


@app.callback()
def _options(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Results and errors only.")] = False,
    version: Version = False,
) -> None:
    """What came out of an experiment: ranking, health, choice, reports."""
    Voice.quiet = quiet


def main() -> None:
    """Run the command line."""
    terminal.main("analysis", app)


if __name__ == "__main__":
    main()

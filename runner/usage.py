"""Help of a command line: commands in groups, two examples each, as wide as the window; and its version."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 120}  # columns of the help


def grouped(examples: Mapping[str, Mapping[str, tuple[str, str]]]) -> type[TyperGroup]:
    """The class of a command line whose commands stand below headings; examples: heading → command → two lines."""

    class Grouped(TyperGroup):
        def format_commands(self, ctx: Any, formatter: Any) -> None:
            for heading, commands in examples.items():
                with formatter.section(heading):
                    formatter.write_dl([(name, str(self.commands[name].help).split("\n\n")[0]) for name in commands])

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            command: Any = super().get_command(ctx, cmd_name)
            for commands in examples.values() if command else ():
                if cmd_name in commands:
                    command.epilog = "\n\n".join(["Examples:", "\b\n" + "\n".join(commands[cmd_name])])
            return command

    return Grouped


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"array-runner {version('array-runner')}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and leave.")
]

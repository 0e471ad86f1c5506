"""From a typer application to Markdown: a section for every command, a row for every argument and option of it."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer
from typer.main import get_command

from benchmarks.page import table

_KINDS = {int: "N", float: "NUMBER", Path: "PATH", str: "TEXT"}


def commands(app: typer.Typer) -> dict[str, Any]:
    """Name → command, in the order of the help."""
    group: Any = get_command(app)
    return dict(group.commands)


def page(program: str, app: typer.Typer) -> str:
    """Every command of `program`."""
    group: Any = get_command(app)
    return "\n".join(_section(program, name, group.get_command(None, name)) for name in group.commands)


def undocumented(program: str, app: typer.Typer) -> list[str]:
    """The commands, arguments and options that say nothing of themselves."""
    found = []
    for name, command in commands(app).items():
        found += [f"{program} {name}"] if not command.help else []
        found += [f"{program} {name} {param.opts[0]}" for param in command.params if not param.help]
    return found


def _section(program: str, name: str, command: Any) -> str:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option"]
    usage = " ".join([program, name, *map(_argument, arguments), *(["[OPTIONS]"] if options else [])])
    rows = [(f"`{(param.metavar or param.name).upper()}`", _meaning(param)) for param in arguments]
    rows += [
        (f"`{', '.join([*param.opts, *param.secondary_opts])}{_value(param)}`", _meaning(param)) for param in options
    ]
    text = f"## {program} {name}\n\n    {usage}\n\n{_paragraphs(command.help)}\n"
    text += "\n" + table(("argument or option", "meaning"), rows) if rows else ""
    _, _, examples = (command.epilog or "").partition("\b\n")
    return text + "".join(f"\n    {line}" for line in examples.splitlines()) + "\n" * bool(examples)


def _argument(param: Any) -> str:
    name = (param.metavar or param.name).upper() + ("…" if param.nargs == -1 else "")
    return name if param.required else f"[{name}]"


def _value(param: Any) -> str:
    """What follows the option: nothing, its choices, or its kind."""
    if param.is_flag:
        return ""
    if param.metavar:
        return f" {param.metavar}"
    kind = param.type_descriptor.annotation
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    kind = get_args(kind)[0] if get_args(kind) else kind  # of a list
    if isinstance(kind, type) and issubclass(kind, Enum):
        choices = tuple(choice.value for choice in kind)
    if choices:
        return " " + "\\|".join(choices)  # a bare one would end the cell
    return f" {_KINDS.get(kind, 'TEXT')}"


def _meaning(param: Any) -> str:
    said = (param.help or "").replace("|", "\\|")
    default = getattr(param.default, "value", param.default)
    if callable(default) or default in (None, False, (), []) or param.required or getattr(param, "is_flag", False):
        return said
    return f"{said} Default: `{default}`."


def _paragraphs(text: str | None) -> str:
    return "\n\n".join(" ".join(part.split()) for part in (text or "").replace("\f", "").split("\n\n")).strip()

"""From the classes that a task of one's own meets to Markdown: docstrings, fields with their comments, methods."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from benchmarks.page import table
from jobs.context import RunContext
from jobs.failure import RunFailure, Stopped
from jobs.task import Outcome, Preparation, Task
from runner.config.field_comments import comments

CLASSES = (Task, RunContext, Outcome, Preparation, Stopped, RunFailure)
_ATTRIBUTE = re.compile(r"^        self\.([a-z]\w*)(?:: [^=]+)? = [^#\n]*(?:# (.*))?$", re.MULTILINE)


def page() -> str:
    """Every class, in the order in which a reader meets them."""
    return "\n".join(_section(cls) for cls in CLASSES)


def undocumented() -> list[str]:
    """The classes, fields and methods that say nothing of themselves."""
    names = []
    for cls in CLASSES:
        names += [cls.__name__] if not cls.__doc__ else []
        names += [f"{cls.__name__}.{name}" for name, _, meaning in _fields(cls) if not meaning]
        names += [f"{cls.__name__}.{name}" for name, method in _methods(cls) if not method.__doc__]
    return names


def _section(cls: type) -> str:
    text = f"## {cls.__name__}\n\n    from {cls.__module__} import {cls.__name__}\n\n{inspect.getdoc(cls)}\n"
    if rows := [(f"`{name}`", f"`{kind}`" if kind else "", meaning) for name, kind, meaning in _fields(cls)]:
        text += "\n" + table(("field", "type", "meaning"), [[cell.replace("|", "\\|") for cell in row] for row in rows])
    for name, method in _methods(cls):
        parameters = [*inspect.signature(method).parameters.values()][1:]  # without self
        call = ", ".join("*" + p.name if p.kind is p.VAR_POSITIONAL else _with_default(p) for p in parameters)
        text += f"\n### {cls.__name__}.{name}\n\n    {name}({call})\n\n{inspect.getdoc(method)}\n"
    return text


def _fields(cls: type) -> Iterator[tuple[str, str, str]]:
    """Name, type and comment of every public field: of the class, else of what its `__init__` sets."""
    own = {name: str(kind) for name, kind in inspect.get_annotations(cls).items() if not name.startswith("_")}
    said = comments(cls)
    if not own and "__init__" in vars(cls):
        source = inspect.getsource(vars(cls)["__init__"])
        kinds = inspect.signature(cls).parameters
        said = dict(_ATTRIBUTE.findall(source))
        own = {name: str(kinds[name].annotation) if name in kinds else "" for name in said}
    for name, kind in own.items():
        yield name, re.sub(r"ClassVar\[(.*)\]", r"\1", kind), said.get(name, "")


def _methods(cls: type) -> Iterator[tuple[str, Any]]:
    for name, method in vars(cls).items():
        if inspect.isfunction(method) and not name.startswith("_"):
            yield name, method


def _with_default(parameter: inspect.Parameter) -> str:
    return parameter.name if parameter.default is parameter.empty else f"{parameter.name}={parameter.default!r}"

"""Consoles for tables: the width and colours of the terminal, text made safe, markup in it never obeyed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from runner.terminal import Output, safe

PIPE_WIDTH = 120  # columns where stdout is no terminal and COLUMNS is not set


class SafeConsole(Console):
    """A console whose own colours and movements reach the terminal, and nobody else's."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=safe(segment.text))


def console(stderr: bool = False, pipe_width: int = PIPE_WIDTH) -> Console:
    """Colours and width of the terminal; none and `pipe_width` columns in a pipe."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS") else pipe_width
    file: Any = stream.with_escapes() if isinstance(stream, Output) else stream
    return SafeConsole(file=file, width=width, highlight=False, markup=False, emoji=False)

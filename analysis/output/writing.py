"""Where results go: stdout for people and pipes, files for keeping, stderr for what happened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from runner.console import console
from runner.errors import CommandFailed
from runner.files import leads_out, replacing
from runner.terminal import tell

PIPE_WIDTH = 100  # columns where stdout is no terminal and COLUMNS is not set


def stdout_console() -> Console:
    """A console for results: colours and width of the terminal; none and 100 columns in a pipe."""
    return console(pipe_width=PIPE_WIDTH)


def kept_inside(path: Path, directory: Path) -> Path:
    """`path`; CommandFailed where a link leads it out of `directory`."""
    if leads_out(path, directory):
        raise CommandFailed(f"{path} leads out of {directory} by a link: nothing is written there")
    return path


def written(files: Mapping[Path, str | bytes], *, inside: Path | None = None, quiet: bool = False) -> None:
    """Write each file in one step and name it on stderr unless `quiet`.

    CommandFailed where that is impossible, or where a link leads out of the directory `inside`.
    """
    for path, content in files.items():
        if inside is not None:
            kept_inside(path, inside)
        try:
            with replacing(path) as beside:
                beside.write_bytes(content.encode(errors="backslashreplace") if isinstance(content, str) else content)
        except OSError as error:
            raise CommandFailed(f"cannot write {path}: {error.strerror}") from None
        if not quiet:
            tell(f"wrote {path}")

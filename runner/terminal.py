"""What is said to the person at the terminal, on stderr: progress, advice, errors. Results go to stdout elsewhere."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence

from runner.errors import ConfigError, UserError

RUN_SYNTAX = (
    "an id or its start, axis values (2,3 or lr=0.1), a seed (@1), both (2,3@1), a row of expand (:4), a pattern"
)
QUIET = "--quiet"
_WITH_A_FILE = ("expand", "prepare", "submit", "run", "doctor")  # commands that begin with the file to check


class Voice:
    """One for the process; quiet with --quiet."""

    quiet = False


def tell(line: str) -> None:
    """Print a line for the person, not for a pipe; nothing with --quiet."""
    if not Voice.quiet:
        print(line, file=sys.stderr, flush=True)


def quiet_first(words: Sequence[str]) -> list[str]:
    """A command line with `--quiet`, an option of the program, moved before the command; what follows `--` stays."""
    end = words.index("--") if "--" in words else len(words)
    if QUIET not in words[:end]:
        return list(words)
    return [QUIET, *(word for word in words[:end] if word != QUIET), *words[end:]]


def explain(error: UserError, program: str, arguments: Sequence[str]) -> None:
    """Print what was wrong and the next command; on a terminal, lines are broken between words."""
    lines = f"error: {error}".splitlines()
    if error.next_command is None:
        lines.append(f"  next: {_next_command(error, program, arguments)}")
    if sys.stderr.isatty():
        lines = [_folded(line, shutil.get_terminal_size().columns) for line in lines]
    print("\n".join(lines), file=sys.stderr, flush=True)


def _next_command(error: UserError, program: str, arguments: Sequence[str]) -> str:
    """Where an error names none: check the mended file, or look at what the command wants."""
    words = [word for word in arguments if not word.startswith("-")]
    if isinstance(error, ConfigError) and words[:1] and words[0] in _WITH_A_FILE and len(words) > 1:
        return f"runner {'doctor' if words[0] == 'doctor' else 'expand'} {words[1]}, after fixing it"
    return " ".join([program, *words[:1], "--help"])


def _folded(line: str, width: int) -> str:
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)

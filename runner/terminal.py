"""What goes out to a person's terminal: made safe, in any encoding, without a traceback where nobody reads any more.

Results go to stdout; progress, advice and errors to stderr.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TextIO

from runner.errors import EXIT_FAILED, ConfigError, UserError, refused_by_machine
from runner.extras import extra_of

RUN_SYNTAX = (
    "an id or its start, axis values (2,3 or lr=0.1), a seed (@1), both (2,3@1), a row of expand (:4), a pattern"
)
QUIET = "--quiet"
_WITH_A_FILE = ("expand", "prepare", "submit", "run", "doctor")  # commands that begin with the file to check
# Control characters but tab and newline (C0, DEL, C1), marks that turn the direction of text, separators of lines, and
# what stands for a byte that is no UTF-8
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# What programs send to terminals: colours and movements (CSI), titles and clipboards (OSC and other strings), the rest
_SEQUENCE = re.compile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|[\\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[ -/]*[0-~])")


def safe(text: str) -> str:
    r"""`text` with every character that a terminal could obey written as `\u001b`: in JSON it stays what it was."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def one_line(text: str) -> str:
    """`text` made safe, on one line: for a comment or a cell of a file."""
    return safe(" ".join(text.split()))


def log_line(line: str) -> str:
    """A line of a log as a terminal shows it in the end, without colours: the last state of a progress bar."""
    states = [state for state in _SEQUENCE.sub("", line).split("\r") if state]
    return safe(states[-1]) if states else ""


class Output:
    """A stream on which names, messages and logs cannot command the terminal; where nobody reads, text is lost.

    required: another reason for which a write fails is raised, naming the stream.
    """

    def __init__(self, stream: TextIO, name: str, *, required: bool, escapes: bool = False) -> None:
        self.stream, self._name, self._required, self._escapes = stream, name, required, escapes

    def with_escapes(self) -> Output:
        """The same for a writer that makes its own text safe and sends colours."""
        return Output(self.stream, self._name, required=self._required, escapes=True)

    def write(self, text: str) -> int:
        shown = text if self._escapes else safe(text)
        self._attempt(lambda: self.stream.write(shown))
        return len(text)

    def flush(self) -> None:
        self._attempt(self.stream.flush)

    def _attempt(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            if self._required and not isinstance(error, BrokenPipeError):
                raise OSError(error.errno, error.strerror, self._name) from None
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())  # what is still buffered goes there

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def original(stream: TextIO) -> TextIO:
    """What lies below an Output, for text that is safe already or asked for as it is; it raises where nobody reads."""
    return stream.stream if isinstance(stream, Output) else stream


@contextmanager
def outputs() -> Iterator[None]:
    """Replace stdout and stderr by safe ones inside the block; closed ones lead nowhere."""
    before = sys.stdout, sys.stderr
    out, err = (stream or open(os.devnull, "w", encoding="utf-8") for stream in before)  # noqa: SIM115
    for stream in (out, err):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that speaks ASCII or Latin-1
    sys.stdout, sys.stderr = Output(out, "stdout", required=True), Output(err, "stderr", required=False)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def main(program: str, app: Callable[[], object]) -> None:
    """Run the command line `app`; a user's mistake is one message, and its exit status."""
    with outputs():
        try:
            sys.argv[1:] = quiet_first(sys.argv[1:])
            try:
                app()
            finally:
                sys.stdout.flush()
        except UserError as error:
            explain(error, program, sys.argv[1:])
            sys.exit(error.exit_status)
        except ModuleNotFoundError as error:  # a tool that opens checkpoints
            explain(extra_of(error), program, sys.argv[1:])
            sys.exit(EXIT_FAILED)
        except OSError as error:
            explain(refused_by_machine(error), program, sys.argv[1:])
            sys.exit(EXIT_FAILED)


class Voice:
    """One for the process; quiet with --quiet."""

    quiet = False


def tell(*lines: str) -> None:
    """Print lines for the person, not for a pipe; nothing with --quiet."""
    if lines and not Voice.quiet:
        print(*lines, sep="\n", file=sys.stderr, flush=True)


def quiet_first(words: Sequence[str]) -> list[str]:
    """A command line with `--quiet`, an option of the program, moved before the command; what follows `--` stays."""
    end = words.index("--") if "--" in words else len(words)
    if QUIET not in words[:end]:
        return list(words)
    return [QUIET, *(word for word in words[:end] if word != QUIET), *words[end:]]


def explain(error: UserError, program: str, arguments: Sequence[str]) -> None:
    """Print what was wrong and the next command; on a terminal, lines are broken between words."""
    lines = f"error: {error}".split("\n")
    if error.next_command is None:
        lines.append(f"  next: {_next_command(error, program, arguments)}")
    if sys.stderr.isatty():
        fold = partial(textwrap.fill, width=shutil.get_terminal_size().columns, break_long_words=False)
        indents = (" " * (len(line) - len(line.lstrip()) + 4) for line in lines)
        lines = [
            fold(line, subsequent_indent=indent, break_on_hyphens=False)
            for line, indent in zip(lines, indents, strict=True)
        ]
    print("\n".join(lines), file=sys.stderr, flush=True)


def _next_command(error: UserError, program: str, arguments: Sequence[str]) -> str:
    """Where an error names none: check the corrected file, or show the help of the command."""
    words = [word for word in arguments if not word.startswith("-")]
    if isinstance(error, ConfigError) and words[:1] and words[0] in _WITH_A_FILE and len(words) > 1:
        return f"runner {'doctor' if words[0] == 'doctor' else 'expand'} {words[1]}, after fixing it"
    return " ".join([program, *words[:1], "--help"])

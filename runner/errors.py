"""What a user did wrong, said once and clearly.

Every error that a user can cause is a `UserError`; the command line prints its text without a traceback and exits
with its status. Anything else that escapes is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
import errno
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

EXIT_FAILED = 1
EXIT_USAGE = 2
SHOWN_AT_ONE_PLACE = 3  # mistakes; an axis of a thousand values may repeat one a thousand times
SHOWN = 50
SHORTEST_START = 3  # letters, of a name that is cut short: mem, log


class UserError(Exception):
    """A user's mistake or a state of the machine that a user can correct."""

    exit_status = EXIT_USAGE

    def __init__(self, message: str, *, next_command: str | None = None) -> None:
        self.message = message
        self.next_command = next_command
        super().__init__(message if next_command is None else f"{message}\n  next: {next_command}")


class CommandFailed(UserError):
    """A command that was used rightly but could not do its work."""

    exit_status = EXIT_FAILED


@dataclass(frozen=True)
class Problem:
    """One mistake in a configuration file."""

    what: str  # what is wrong and what was found
    key: str | None = None  # dotted key, as it is written in the file
    file: str | None = None
    line: int | None = None  # counted from 1
    allowed: str | None = None  # what would have been right
    nearest: str | None = None  # the valid name that was probably meant

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line) if part is not None)
        head = ": ".join(part for part in (where, self.key, self.what) if part)
        allowed = f"\n    allowed: {self.allowed}" if self.allowed else ""
        return head + allowed + (f"\n    did you mean: {self.nearest}" if self.nearest else "")


class ConfigError(UserError):
    """All the mistakes of one configuration, reported together."""

    def __init__(self, problems: Iterable[Problem], *, next_command: str | None = None) -> None:
        self.problems = sorted(set(problems), key=lambda p: (p.file or "", p.line or 0, p.key or "", p.what))
        count = len(self.problems)
        title = "1 mistake in the configuration" if count == 1 else f"{count:,} mistakes in the configuration"
        super().__init__("\n".join([title, *_listed(self.problems)]), next_command=next_command)


def _listed(problems: list[Problem]) -> Iterator[str]:
    """The problems as text; of many at one place, and of very many in all, the first."""
    places: Counter[tuple[str | None, int | None, str | None]] = Counter()
    shown = 0
    for problem in problems:
        place = (problem.file, problem.line, problem.key)
        places[place] += 1
        if places[place] <= SHOWN_AT_ONE_PLACE and shown < SHOWN:
            shown += 1
            yield f"  {problem}"
    if shown < len(problems):
        yield f"  … and {len(problems) - shown:,} more, most of them alike"


@dataclass
class Mistakes:
    """Collects the problems of several checks, so that a person sees all of them at once."""

    problems: list[Problem] = field(default_factory=list)
    next_command: str | None = None  # of the first that has one

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Keep the problems of a ConfigError that is raised inside, and go on after the block."""
        try:
            yield
        except ConfigError as error:
            self.problems += error.problems
            self.next_command = self.next_command or error.next_command

    def refuse(self) -> None:
        """Raise ConfigError when there are any."""
        if self.problems:
            raise ConfigError(self.problems, next_command=self.next_command)


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name most like `name`, whatever their case, or one that it begins; None when none is alike."""
    names = {one.lower(): one for one in reversed(list(allowed))}
    like = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    like += [one for one in names if len(name) >= SHORTEST_START and one.startswith(name.lower())]
    return names[like[0]] if like else None


# What the machine refuses, and a person can do something about
MACHINE_ERRORS = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENAMETOOLONG,
    errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ESTALE, errno.ELOOP,
}  # fmt: skip


def refused_by_machine(error: OSError) -> CommandFailed:
    """What a command says where the machine refuses; raises `error` where that is a defect of ours."""
    if error.errno not in MACHINE_ERRORS:
        raise error
    return CommandFailed(f"{error.filename2 or error.filename or 'a file'}: {error.strerror}")

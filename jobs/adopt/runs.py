"""Runs of another program as they are read: where they lie, what they were, and how their files are written here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from jobs.context import RunContext
from jobs.failure import RunFailure, failure_of_exception
from jobs.node.child import result_of
from jobs.task import Outcome
from runner.config.ranking import Reported
from runner.files import read_bytes, read_mapping, write_json
from runner.health.findings import Finding
from runner.rundir.layout import RunDir
from runner.rundir.run_config import RunConfig

MOST_OF_VALUES, MOST_BRACKETS = 10_000, 100  # of all axes of a run, as JSON; more are no axes


class QuietContext(RunContext):
    """Writes the logs; what a run says while it trains is kept as notes, for a person who adopts many at once."""

    def __init__(self, directory: RunDir, config: RunConfig) -> None:
        super().__init__(directory, variant=config.variant, seed=config.seed,
                         thresholds=config.thresholds(), params=config.params)  # fmt: skip
        self.notes: list[str] = []

    def say(self, text: str) -> None:
        self.notes.append(text)

    def report(self, finding: Finding) -> None:
        """Not said: the summary finds it again."""


@dataclass(frozen=True)
class AdoptedRun:
    """A run of another program."""

    place: str  # its folder, or its study and trial
    values: dict[str, Any]  # name → value: its axes
    seed: int
    reading: str  # what the way of reading it and, for a trial, its content come down to: a digest
    read: Callable[[RunContext], Outcome | None]  # writes its logs; None: it has not come to its end
    folder: Path = Path()
    files: Mapping[Path, tuple[int, int]] = field(default_factory=dict)  # read in it → bytes, ns of last change
    name: str | None = None  # of the variant; None: made of its values
    seconds: float | None = None  # that it took

    def __post_init__(self) -> None:
        """Raises ValueError for axes that no file of ours can hold."""
        try:
            text = json.dumps(self.values, allow_nan=False, ensure_ascii=False)
            text.encode()
        except (ValueError, RecursionError):
            raise ValueError("one of its values is no Unicode text or no finite number") from None
        if len(text) > MOST_OF_VALUES or text.count("[") + text.count("{") > MOST_BRACKETS:
            raise ValueError(f"its values have more than {MOST_OF_VALUES:,} characters or {MOST_BRACKETS} brackets")

    def is_unchanged(self, directory: RunDir) -> bool:
        """Whether `directory` holds all this, read in the same way."""
        known = read_mapping(directory.adopted)
        if known.get("reading") != self.reading or not isinstance(files := known.get("files"), dict):
            return False
        return {name: {**each, "sha256": None} for name, each in files.items()} == self._signs()

    def _signs(self) -> dict[str, dict[str, Any]]:
        """The files as adopted.json lists them, without their hashes."""
        return {
            path.relative_to(self.folder).as_posix(): {"bytes": size, "time": time, "sha256": None}
            for path, (size, time) in self.files.items()
        }

    def record(self, directory: RunDir, config: RunConfig) -> None:
        """Replace the files of the run by what is read now; adopted.json is whole last: a half is read again."""
        for path in (directory.result, directory.failure, directory.predictions, directory.fusion_weights):
            path.unlink(missing_ok=True)
        write_json(directory.adopted, {})
        context = QuietContext(directory, config)
        context.rewind(0)
        files = self._signs()
        try:
            for name, sign in files.items():
                with suppress(OSError):  # gone, or too large; what reads it says so
                    sign["sha256"] = sha256(read_bytes(self.folder / name)).hexdigest()
            if (outcome := self.read(context)) is not None:
                replace(result_of(outcome, config, directory, 1), seconds=self.seconds, attempts=None).write(directory)
                context.notes += outcome.extra.get("notes", [])
        except RunFailure as error:
            error.output = ""  # no traceback of ours
            failure_of_exception(error, 1, None).write(directory)
        content = {"from": self.place, "reading": self.reading, "files": files, "notes": context.notes}
        write_json(directory.adopted, content)


@dataclass(frozen=True)
class Adoptable:
    """All runs that a section names."""

    runs: list[AdoptedRun]
    reported: Reported
    notes: list[str]  # what lies beside them and is not read

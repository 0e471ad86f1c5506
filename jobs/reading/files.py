"""The rows of a file that another program writes: JSON, JSON lines, CSV, TensorBoard, or a log with a pattern.

The files are somebody else's: only regular files of limited size are opened, and no link is followed.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from contextlib import suppress
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from jobs.reading.schema import SourceParams
from runner.config.template import flat
from runner.files import LARGEST_FILE, open_file, read_bytes

_MOST_FILES = 10_000  # that a pattern may mean
Rows = list[Any]


def files_of(folder: Path, pattern: str, source: SourceParams) -> list[Path]:
    """The files in `folder` that `pattern` means, in the order of the numbers in their names; no links."""
    if source.file_format == "tensorboard" and "tfevents" not in pattern:
        pattern += "/**/*tfevents*"
    real = folder.resolve()
    within = (path for path in folder.glob(pattern) if path.parent.resolve().is_relative_to(real))
    return sorted(
        islice((path for path in within if path.is_file() and not path.is_symlink()), _MOST_FILES), key=natural
    )


def natural(path: Path) -> list[Any]:
    """Sorts `version_10` behind `version_9`."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", str(path))]


def rows_of(path: Path, source: SourceParams) -> Rows | None:
    """The whole rows so far; None while the file is half written. Raises OSError for what is no file of its size."""
    if source.file_format == "tensorboard":
        return rows_of_events(path)
    data = read_bytes(path)
    if source.pattern is not None:
        return matches(source.pattern, data.decode("utf-8", "replace"))
    if source.file_format == "json":
        return _whole(data, source.rows)
    whole = data[: data.rfind(b"\n") + 1].decode("utf-8", "replace")  # the last line may be half written
    return _table(whole) if source.file_format == "csv" else json_rows(data.decode("utf-8", "replace").splitlines())


def matches(pattern: str, text: str) -> Rows:
    """What the groups of `pattern` match; a progress bar, which rewrites its line, counts as lines."""
    return [match.groupdict() for match in re.finditer(pattern, bare(text), re.MULTILINE)]


def bare(text: str) -> str:
    """Carriage returns as ends of lines, and no escape sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.replace("\r\n", "\n").replace("\r", "\n"))


def json_rows(lines: list[str]) -> Rows:
    """The JSON objects among `lines`."""
    return [row for line in lines if isinstance(row := _json(line), dict)]


def _json(text: str) -> Any:
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _table(text: str) -> Rows:
    """Rows of a CSV, with the blanks beside its commas taken away."""
    try:
        rows = list(csv.DictReader(io.StringIO(text), skipinitialspace=True))
    except csv.Error:  # a field of more than 128 KiB: no table of numbers
        return []
    return [{str(name).strip(): value for name, value in row.items()} for row in rows]


def _whole(data: bytes, place: str | None) -> Rows | None:
    """A list of records, columns of equal length (nested too), or one record; None while the file is half written."""
    content = _json(data.decode("utf-8", "replace"))
    for part in place.split(".") if place and content is not None else []:
        content = content.get(part) if isinstance(content, dict) else []
    if isinstance(content, list) or content is None:
        return content
    columns = {name: value for name, value in flat(content).items() if isinstance(value, list)}
    if not columns:
        return [content]
    longest = max(map(len, columns.values()))  # a program that is writing may be one value ahead in some of them
    columns = {name: value for name, value in columns.items() if len(value) >= longest - 1}
    return [dict(zip(columns, row, strict=True)) for row in zip_longest(*columns.values())]


def rows_of_events(path: Path) -> list[dict[str, Any]]:
    """One row per step of TensorBoard's events: its tags, `step`, and `epoch`, where no tag says so the step.

    Raises OSError for what is no file of its size; what is damaged ends the rows.
    """
    from google.protobuf.message import DecodeError
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader  # 0.6 s

    with open_file(path) as file:  # refuses links and pipes
        if os.fstat(file.fileno()).st_size > LARGEST_FILE:
            raise OSError(0, "more than any file of a run")
    steps: dict[int, dict[str, Any]] = {}
    with suppress(DecodeError, ValueError, TypeError):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if (scalar := _scalar(value)) is not None:
                    steps.setdefault(event.step, {})[value.tag] = scalar
    named = any("epoch" in tags for tags in steps.values())
    return [{"step": step, **({} if named else {"epoch": step}), **tags} for step, tags in sorted(steps.items())]


def _scalar(value: Any) -> float | None:
    """The number of a summary; None for text, histograms, and shapes of more than one number."""
    from tensorboard.util import tensor_util

    if value.metadata.plugin_data.plugin_name != "scalars" or any(
        axis.size != 1 for axis in value.tensor.tensor_shape.dim
    ):
        return None
    return float(tensor_util.make_ndarray(value.tensor).item())

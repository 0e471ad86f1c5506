"""Folders of another program as runs: axes from their names and a JSON file, logs from the files in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from jobs.adopt.folders import SEED, Folder, folders
from jobs.adopt.runs import Adoptable, AdoptedRun
from jobs.adopt.schema import AdoptParams
from jobs.context import RunContext
from jobs.failure import Kind, RunFailure
from jobs.reading.files import bare, files_of
from jobs.reading.history import no_followed, read_history
from jobs.reading.points import value_at
from jobs.reading.predictions import read_predictions
from jobs.reading.recorded import log_all, outcome_of
from jobs.reading.schema import MetricsParams, SourceParams, inside
from jobs.reading.sources import literal
from jobs.task import Outcome
from runner.config.experiment import LARGEST_SEED
from runner.config.ranking import Reported
from runner.config.template import fill, flat
from runner.files import read_bytes, read_json

_PLAIN = SourceParams(file="any.json")  # of files that are looked for by their name alone
_SHOWN = 3


def folder_runs(params: AdoptParams) -> Adoptable:
    """Every folder that `params.folders` names, with what it says of itself. Raises ValueError and OSError."""
    assert params.folders is not None  # as the section demands
    assert params.metrics is not None
    layout = folders(params.folders)
    runs, notes = [], []
    for folder in layout.matching:
        try:
            runs.append(_run(params, params.metrics, folder))
        except ValueError as error:
            notes.append(f"{folder.path} is left out: {error}")
    for paths, what in (
        (layout.others, "beside them does not fit"),
        (layout.links, "is a link, which is not followed"),
    ):
        if paths:
            shown = ", ".join(paths[:_SHOWN]) + (", …" if len(paths) > _SHOWN else "")
            notes.append(f"{len(paths)} × {what}: {shown}")
    metrics = params.metrics
    return Adoptable(runs, Reported(metrics.follow, ((metrics.follow, metrics.mode),), metrics.known_metrics), notes)


def _run(params: AdoptParams, metrics: MetricsParams, folder: Folder) -> AdoptedRun:
    """Raises ValueError where the folder does not say which run it is."""
    axes = folder.values | _configured(params, folder)
    seed = axes.pop(SEED, 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"its seed is {str(seed)[:40]!r}, not a whole number from 0 to {LARGEST_SEED}")
    values = flat({**params.values, **axes, SEED: seed})
    logs = _fitting(params.log, folder.path, values)

    def read(context: RunContext) -> Outcome | None:
        history = read_history(folder.path, metrics, values, logs)
        predictions = read_predictions(folder.path, params.predictions, values)
        log_all(context, history.epochs, predictions)
        texts = (bare(read_bytes(path).decode("utf-8", "replace")) for path in logs)
        has_ended = params.done is None or any(re.search(params.done.pattern, text, re.MULTILINE) for text in texts)
        outcome = outcome_of(history.epochs, predictions, metrics, history.warnings) if has_ended else None
        if outcome is None:
            if has_ended and history.epochs:
                raise RunFailure(Kind.EXCEPTION, no_followed(metrics, history.epochs, history.warnings))
            for line in [*history.warnings, *predictions.warnings]:
                context.say(line)
        return outcome

    reading = sha256(f"{params.model_dump_json()}{values!r}".encode()).hexdigest()
    return AdoptedRun(str(folder.path), axes, seed, reading, read, folder.path, _signs(params, folder.path, values))


def _configured(params: AdoptParams, folder: Folder) -> dict[str, Any]:
    """The axes that the JSON file of a folder names; none where there is no such file to read."""
    if params.config is None:
        return {}
    files = _fitting(params.config.file, folder.path, flat({**params.values, **folder.values}))
    content = read_json(files[0]) if len(files) == 1 else None
    if not isinstance(content, dict):
        raise ValueError(f"{params.config.file}: {len(files)} files, none with keys and values")
    axes = {name: value_at(content, key) for name, key in params.config.names.items()}
    if missing := [params.config.names[name] for name, value in axes.items() if value is None]:
        raise ValueError(f"{params.config.file} has no {', '.join(missing)}; it has {', '.join(list(content)[:12])}")
    return axes


def _fitting(name: str | None, folder: Path, values: Mapping[str, Any], source: SourceParams = _PLAIN) -> list[Path]:
    return [] if name is None else files_of(folder, inside(fill(name, values, literal)), source)


def _signs(params: AdoptParams, folder: Path, values: Mapping[str, Any]) -> dict[Path, tuple[int, int]]:
    """Size and time of every file that is read of a run."""
    metrics, tables, config = params.metrics, params.predictions, params.config
    sources = [] if metrics is None else [*metrics.places, *([metrics.fusion] if metrics.fusion else [])]
    others = [*((tables.val, tables.test) if tables else ()), params.log, config.file if config else None]
    named = [*((source.file, source) for source in sources), *((name, _PLAIN) for name in others)]
    paths = (path for name, source in named for path in _fitting(name, folder, values, source))
    return {path: ((status := path.stat()).st_size, status.st_mtime_ns) for path in paths}

"""The epochs of a command in our logs: each once, the newest word counts."""

from __future__ import annotations

import math
from functools import partial
from itertools import takewhile
from typing import Any

from jobs.context import RunContext, as_json, not_finite
from jobs.failure import Kind, RunFailure
from jobs.patience import patiently
from jobs.reading.files import Rows
from jobs.reading.history import Epoch, Reading, no_followed
from jobs.reading.predictions import Predictions
from jobs.reading.recorded import outcome_of
from jobs.reading.sources import Source
from jobs.task import Outcome
from jobs.training.health_monitor import HealthMonitor
from runner.files import as_count, as_number, read_json_lines, read_mapping, write_json
from runner.health.judgement import by_layer
from runner.rundir.layout import RunDir

_OURS = frozenset(("epoch", "attempt", "time"))  # in a line of metrics.jsonl, no metric
_TELLING = 2  # epochs after which a mapping that does not fit is named


class Epochs:
    """Takes epochs from what was read to the logs of the run, with the health of each."""

    def __init__(self, reading: Reading, context: RunContext) -> None:
        self._reading, self._context, self._params = reading, context, reading.params
        self._monitor = HealthMonitor(context.thresholds, context.params)
        self._logged: list[Epoch] = []
        self._earlier: dict[int, Epoch] = {}  # logged by attempts before this one
        self._before: dict[int, Epoch] = {}  # what the sources held when this attempt began
        self._may_begin_anew: dict[Source, Rows] = {}  # with what they held when this attempt began
        self._begins_after = 0  # the epoch of the checkpoint
        self._versions: list[int] = []
        self._warned: set[str] = set()

    def begin(self, resumes: bool, checkpoint_epoch: int | None = None) -> None:
        """Start with empty logs, or go on behind what an earlier attempt has recorded.

        checkpoint_epoch: of the checkpoint that is resumed from, as the command counts; None: not known.
        """
        numbering = self._context.directory.numbering
        if not resumes:
            numbering.unlink(missing_ok=True)
            self._context.rewind(0)
            return
        self._monitor.go_on(self._context.directory)
        self._logged = logged_epochs(self._context.directory)
        self._earlier = {epoch.number: epoch for epoch in self._logged}
        number_sources(self._reading, self._context.directory)
        self._reading.look(final=True)
        self._before = {epoch.number: epoch for epoch in self._reading.epochs()}
        last = max(self._earlier, default=0)
        if last and self._params.restarts == "continue":
            self._may_begin_anew = {source: source.rows for source in self._reading.sources}
        done = None if checkpoint_epoch is None else checkpoint_epoch + 1 - self._params.first_epoch_of(self._params)
        self._begins_after = done if done is not None and 0 < done <= last + 1 else last  # else it counts steps

    def record_new(self, ended: bool = False) -> bool:
        """Log what is new; whether anything was reported. An earlier epoch reported anew takes all after it along.

        The newest epoch waits for its followed metric, for the next epoch, or for the end of the command.
        """
        self._reading.look(final=ended)
        versions = [source.version for source in self._reading.sources]
        if versions == self._versions and not ended:
            return False
        news, self._versions = versions != self._versions, versions
        self._number_on()
        epochs = self._complete(ended)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(epochs, self._logged, strict=False)))
        if epochs and len(self._logged) > same:
            self._context.rewind(self._logged[same].number - 1)
            self._monitor.rewind(self._logged[same].number - 1)
        for epoch in epochs[same:]:
            self._monitor.log(self._context, {"epoch": epoch.number, **epoch.metrics}, epoch.layers)
            followed = {
                name: epoch.metrics[name] for name in epoch.metrics if name == self._params.follow or "loss" in name
            }
            if wrong := not_finite(followed):
                raise RunFailure(Kind.DIVERGED, f"epoch {epoch.number}: {wrong}; the command was ended")
        self._logged = epochs or self._logged
        for line in self._reading.warnings if len(self._logged) >= _TELLING else ():
            if line not in self._warned:
                self._warned.add(line)
                self._context.warn(line)
        return news

    def _complete(self, ended: bool) -> list[Epoch]:
        """What earlier attempts have logged, up to what is reported anew, and what the sources hold now."""
        now = {epoch.number: epoch for epoch in self._reading.epochs()}
        anew = min((number for number, epoch in now.items() if epoch != self._before.get(number)), default=math.inf)
        whole = {number: epoch for number, epoch in self._earlier.items() if number < anew}
        for number, epoch in now.items():
            known = whole.get(number, epoch)
            whole[number] = Epoch(number, known.metrics | epoch.metrics, known.layers | epoch.layers)
        epochs = [whole[number] for number in sorted(whole)]
        under_way = bool(epochs) and not ended and self._params.follow not in epochs[-1].metrics
        return epochs[:-1] if under_way else epochs

    def _number_on(self) -> None:
        """A resumed command has begun a new history, and only the order of its rows says which epochs they are."""
        for source, rows in list(self._may_begin_anew.items()):
            if not source.rows or not source.counts_rows or repr(source.rows[:1]) == repr(rows[:1]):
                continue
            source.number_from(self._begins_after, [*source.earlier, (source.offset, rows)])
            del self._may_begin_anew[source]
            self._context.warn(
                f"the command's history began anew and names no epochs ({source.params.place}): its first row is taken "
                f"for epoch {self._begins_after + 1}; where it repeats epochs, let it write `epoch`, name the epoch in "
                "`checkpoint`, or set metrics.restarts: again"
            )
            numbers = [{"offset": one.offset, "earlier": as_json(one.earlier)} for one in self._reading.sources]
            patiently(partial(write_json, self._context.directory.numbering, {"sources": numbers}, indent=None))

    def outcome(self, words: list[str], notes: list[str], predictions: Predictions) -> Outcome:
        """The epoch with the best followed metric; RunFailure where there is none. notes: for the summary to say."""
        warnings = self._reading.warnings
        outcome = outcome_of(self._logged, predictions, self._params, [*notes, *warnings], command=words)
        if outcome is None:
            what = no_followed(self._params, self._logged, warnings)
            again = f"runner reread {self._context.directory.experiment.path.name}"
            advice = f"after correcting `metrics` in the experiment file: {again}"
            raise RunFailure(Kind.EXCEPTION, f"the command ended well but {what}; {advice}")
        if predictions.rows:
            self._context.write_predictions(predictions.rows)
        return outcome


def number_sources(reading: Reading, run: RunDir) -> None:
    """Number the histories that name no epochs as the attempts before this one have found."""
    content = read_mapping(run.numbering)
    known = content.get("sources")
    for source, one in zip(reading.sources, known if isinstance(known, list) else [content], strict=False):
        earlier = one.get("earlier") or []
        source.number_from(as_count(one.get("offset")) or 0, [(as_count(at) or 0, rows) for at, rows in earlier])


def logged_epochs(run: RunDir) -> list[Epoch]:
    """The epochs that the logs of a run hold."""
    layers = {
        line.get("epoch"): {name: _numbers(values) for name, values in by_layer(line).items()}
        for line in read_json_lines(run.diagnostics)
    }
    lines = [line for line in read_json_lines(run.metrics) if isinstance(line.get("epoch"), int)]
    return [Epoch(line["epoch"], _numbers(line, _OURS), layers.get(line["epoch"], {})) for line in lines]


def _numbers(values: dict[str, Any], without: frozenset[str] = frozenset()) -> dict[str, float]:
    numbers = ((name, as_number(value)) for name, value in values.items() if name not in without)
    return {name: number for name, number in numbers if number is not None}

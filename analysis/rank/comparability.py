"""What makes runs of one experiment unequal, for the ranking itself to say. Free of torch and pandas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from analysis.collect.code_version import same_code, shown_code
from analysis.collect.collection import CollectedRun
from analysis.collect.run_record import RunRecord
from analysis.formatting import listed, plural
from analysis.task_definitions import ADJUSTED, SETTINGS
from runner.health.settings import settings_of
from runner.rundir.planned import Select

T = TypeVar("T", bound=Hashable)
Runs = Sequence[CollectedRun]  # of one variant


@dataclass(frozen=True)
class Usual:
    """What most of the experiment's scored runs have in common; None where that is not known."""

    epochs: int | None
    code: str | None
    seeds: int  # planned for most variants
    settings: Mapping[str, str | None]


@dataclass(frozen=True)
class Flag:
    """One reason to read a rank with care. It never moves a rank or a choice."""

    kind: str  # seeds, unfinished, epochs, code, or the last word of a parameter
    mark: str  # as a table has room for it
    message: str
    advice: str = ""

    @property
    def unequal(self) -> bool:
        """Whether it is about how the counted runs were made, and not about which are missing."""
        return self.kind not in ("seeds", "unfinished")


def usual(variants: Sequence[Runs], select: Select) -> Usual:
    """`variants`: the runs of each. Early stopping is the model's own doing: it does not say what is usual."""
    scored = [run.record for runs in variants for run in runs if run.is_scored(select)]
    full = [record for record in scored if not record.result.stopped_early] or scored
    return Usual(
        epochs=most_common(record.result.epochs for record in full if record.result.epochs is not None),
        code=most_common(record.code for record in scored if record.code is not None),
        seeds=most_common(len(runs) for runs in variants) or 0,
        settings={key: most_common(value for runs in variants for value in _values(runs, key)) for key in SETTINGS},
    )


def _values(runs: Runs, key: str) -> list[str]:
    """The values of a parameter, of the runs that have it."""
    values = (settings_of(run.plan.params).value(key) for run in runs)
    return [value for value in values if isinstance(value, str)]


def most_common(values: Iterable[T]) -> T | None:
    """The most frequent value; of equally frequent ones the first."""
    return next((value for value, _ in Counter(values).most_common(1)), None)


def flags(runs: Runs, usual: Usual, select: Select) -> list[Flag]:
    """All flags of the runs of one variant."""
    scored = [run.record for run in runs if run.is_scored(select)]
    every = (_unfinished(runs, select), _seeds(len(runs), usual), _epochs(scored, usual), _code(scored, usual))
    adjusted = dict.fromkeys(key for record in scored for key in record.result.adjustments)
    return [*filter(None, every), *(_adjusted(scored, key) for key in adjusted), *_settings(runs, usual)]


def _unfinished(runs: Runs, select: Select) -> Flag | None:
    missing = (run.state for run in runs if not run.is_scored(select))
    states = Counter("no metric" if state == "completed" else state for state in missing)
    if not states:
        return None
    mark = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    message = f"{sum(states.values())} of {plural(len(runs), 'seed')} without a result ({mark})"
    return Flag("unfinished", mark, message, "runner failures, runner resubmit" if states["failed"] else "")


def _seeds(planned: int, usual: Usual) -> Flag | None:
    if planned == usual.seeds:
        return None
    message = f"{plural(planned, 'seed')} planned where most variants have {usual.seeds}"
    return Flag("seeds", plural(planned, "seed"), message, "matrix.seeds is for all variants")


def _epochs(scored: Sequence[RunRecord], usual: Usual) -> Flag | None:
    """Trained for another number of epochs than most runs."""
    other = [record for record in scored if record.result.epochs not in (None, usual.epochs)]
    if not other:
        return None
    counts = sorted({record.result.epochs for record in other if record.result.epochs is not None})
    shown = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    early = all(record.result.stopped_early for record in other)
    why = " (stopped early)" if early else ""
    message = f"{_share(other, scored)} trained {shown} epochs{why} where most runs trained {usual.epochs}"
    return Flag("epochs", f"epochs {shown}", message, "" if early else "train.epochs alike for all")


def _code(scored: Sequence[RunRecord], usual: Usual) -> Flag | None:
    """Made with another version of the code than most runs; versions of two kinds are not compared."""
    other = [record for record in scored if record.code is not None and not same_code(record.code, usual.code)]
    if not other:
        return None
    named = listed(sorted({shown_code(record.code) for record in other if record.code is not None}), 3)
    message = f"{_share(other, scored)} ran code {named} where most runs ran {shown_code(usual.code or '')}"
    return Flag("code", f"code {named}", message, "compare what changed; to be sure, train all with one version")


def _adjusted(scored: Sequence[RunRecord], key: str) -> Flag:
    """A retry changed a parameter of some runs."""
    values = [record.result.adjustments[key] for record in scored if key in record.result.adjustments]
    shown = ", ".join(sorted({f"{value:g}" if isinstance(value, (int, float)) else str(value) for value in values}))
    kind, what = key.rsplit(".", 1)[-1], ADJUSTED.get(key, f"ran with {key}: {{}} after a retry").format(shown)
    return Flag(kind, f"{kind.replace('_', '-')} {shown}", f"{_share(values, scored)} {what}")


def _settings(runs: Runs, usual: Usual) -> list[Flag]:
    """Parameters that make the best epochs of variants unequal, where another value than that of most is set."""
    other = {key: [value for value in _values(runs, key) if value != common] for key, common in usual.settings.items()}
    return [
        Flag(kind, f"{kind} {values[0]}", SETTINGS[key].format(values[0], usual.settings[key]), f"{key} alike for all")
        for key, values in other.items()
        for kind in [key.rsplit(".", 1)[-1]]
        if values
    ]


def _share(some: Sequence[object], of: Sequence[object]) -> str:
    return f"{len(some)} of {plural(len(of), 'seed')}"

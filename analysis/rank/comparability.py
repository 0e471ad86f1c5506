"""What makes runs of one experiment unequal, for the ranking itself to say. Free of torch and pandas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from analysis.collect.code_version import same_code, shown_code
from analysis.collect.run_record import RunRecord
from analysis.formatting import plural

MICRO_BATCH = "train.micro_batch"
T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True)
class RunFacts:
    """What of a run bears on comparing it."""

    state: str
    scored: bool  # takes part in the mean
    record: RunRecord
    schedule: str | None = None  # of the learning rate; None where the task has none


@dataclass(frozen=True)
class Usual:
    """What most of the experiment's scored runs have in common; None where that is not known."""

    epochs: int | None
    code: str | None
    seeds: int  # planned for most variants
    schedule: str | None = None  # of the learning rate


@dataclass(frozen=True)
class Flag:
    """One reason to read a rank with care. It never moves a rank or a choice."""

    kind: str  # seeds, unfinished, epochs, code, micro_batch, schedule
    mark: str  # as a table has room for it
    message: str
    advice: str = ""

    @property
    def unequal(self) -> bool:
        """Whether it is about how the counted runs were made, and not about which are missing."""
        return self.kind in ("epochs", "code", "micro_batch", "schedule")


def usual(variants: Sequence[Sequence[RunFacts]]) -> Usual:
    """`variants`: the runs of each. Early stopping is the model's own doing: it does not say what is usual."""
    scored = [run.record for runs in variants for run in runs if run.scored]
    full = [record for record in scored if not record.stopped_early] or scored
    return Usual(
        epochs=most_common(record.epochs for record in full if record.epochs is not None),
        code=most_common(record.code for record in scored if record.code is not None),
        seeds=most_common(len(runs) for runs in variants) or 0,
        schedule=most_common(run.schedule for runs in variants for run in runs if run.schedule is not None),
    )


def most_common(values: Iterable[T]) -> T | None:
    """The most frequent value; of equally frequent ones the first."""
    found = Counter(values).most_common(1)
    return found[0][0] if found else None


def flags(runs: Sequence[RunFacts], usual: Usual) -> list[Flag]:
    """All flags of the runs of one variant."""
    scored = [run.record for run in runs if run.scored]
    return [
        *_unfinished(runs),
        *_seeds(len(runs), usual),
        *_epochs(scored, usual),
        *_code(scored, usual),
        *_micro_batch(scored),
        *_schedule(runs, usual),
    ]


def _unfinished(runs: Sequence[RunFacts]) -> list[Flag]:
    states = Counter("no metric" if run.state == "completed" else run.state for run in runs if not run.scored)
    if not states:
        return []
    mark = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    message = f"{sum(states.values())} of {plural(len(runs), 'seed')} without a result ({mark})"
    return [Flag("unfinished", mark, message, "runner failures, runner resubmit" if states["failed"] else "")]


def _seeds(planned: int, usual: Usual) -> list[Flag]:
    if planned == usual.seeds:
        return []
    message = f"{plural(planned, 'seed')} planned where most variants have {usual.seeds}"
    return [Flag("seeds", plural(planned, "seed"), message, "matrix.seeds is for all variants")]


def _epochs(scored: Sequence[RunRecord], usual: Usual) -> list[Flag]:
    """Trained for another number of epochs than most runs."""
    other = [record for record in scored if record.epochs not in (None, usual.epochs)]
    if not other:
        return []
    counts = sorted({record.epochs for record in other if record.epochs is not None})
    shown = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    early = all(record.stopped_early for record in other)
    why = " (stopped early)" if early else ""
    message = f"{share(other, scored)} trained {shown} epochs{why} where most runs trained {usual.epochs}"
    return [Flag("epochs", f"epochs {shown}", message, "" if early else "train.epochs alike for all")]


def _code(scored: Sequence[RunRecord], usual: Usual) -> list[Flag]:
    """Made with another version of the code than most runs; versions of two kinds are not compared."""
    other = [record for record in scored if record.code is not None and not same_code(record.code, usual.code)]
    if not other:
        return []
    versions = sorted({shown_code(record.code) for record in other if record.code is not None})
    named = ", ".join(versions[:3]) + (", …" if len(versions) > 3 else "")
    message = f"{share(other, scored)} ran code {named} where most runs ran {shown_code(usual.code or '')}"
    return [Flag("code", f"code {named}", message, "compare what changed; to be sure, train all with one version")]


def _micro_batch(scored: Sequence[RunRecord]) -> list[Flag]:
    """Batches were computed in parts after GPU memory had run out: the same gradient but for rounding."""
    parts = {record.run_id: record.adjustments[MICRO_BATCH] for record in scored if MICRO_BATCH in record.adjustments}
    if not parts:
        return []
    shown = ", ".join(sorted({f"{value:g}" if isinstance(value, (int, float)) else str(value)
                              for value in parts.values()}))  # fmt: skip
    message = (
        f"{share(list(parts), scored)} computed each batch in parts of {shown}, because GPU memory had run out: "
        "equal but for rounding"
    )
    return [Flag("micro_batch", f"micro-batch {shown}", message)]


def _schedule(runs: Sequence[RunFacts], usual: Usual) -> list[Flag]:
    """A best epoch is chosen on validation, and by how much that flatters depends on the schedule."""
    other = next((run.schedule for run in runs if run.schedule not in (None, usual.schedule)), None)
    if other is None:
        return []
    message = (
        f"its learning-rate schedule is {other} where most variants have {usual.schedule}: the best epoch is "
        "optimistic by 0.3 % with onecycle, by 4 % with a constant rate"
    )
    return [Flag("schedule", f"schedule {other}", message, "train.schedule alike for all")]


def share(some: Sequence[object], of: Sequence[object]) -> str:
    return f"{len(some)} of {plural(len(of), 'seed')}"

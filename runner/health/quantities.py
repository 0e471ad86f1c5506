"""What the rules act on: numbers by name, and what a task says of them. Free of torch and pandas.

A task declares its quantities; `submit` writes them into manifest.json and config.yaml. From there on they are data: no
rule, column or figure knows the task.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from runner.errors import UserError
from runner.files import as_number
from runner.record import Record

Quantities = Mapping[str, Any]
_NAME = re.compile(r"\w[\w-]{0,59}", re.ASCII)
LATE = "late"  # the layer name of a late fusion; middle fusions are named by their ALIGNN layer


@dataclass(frozen=True)
class Quantity(Record):
    """A number that runs of a task log, of a layer or among their metrics: how it is shown and what is healthy.

    Members of a `group` share one column and one threshold name, as the weights of several modalities do. Raises
    ValueError for a name or group that could not name a file and a column.
    """

    name: str  # as it is logged; of a group: <group>_<member>
    group: str = ""
    unit: str = ""  # eV/atom; %: a share, shown in hundredths
    low: float | None = None  # a finding below it; `health: {<group or name>_low: …}` replaces it
    high: float | None = None
    below: str = ""  # what is wrong below `low`: "audio is ignored: guidance weight"; blank: the name says it
    above: str = ""
    below_advice: str = ""  # what to do then
    above_advice: str = ""
    column: bool = True  # whether the ranked table shows it; a metric that ranks has its own column

    def __post_init__(self) -> None:
        for word in (self.name, self.group or self.name):
            if not _NAME.fullmatch(word):
                raise ValueError(f"{word!r} cannot name a quantity: letters, digits, _ and -, at most 60")

    @classmethod
    def of(cls, values: object, **known: Any) -> Self | None:
        """As every record; None for a name that leads out of the folder of figures, say."""
        result = super().of(values, **known)
        with suppress(ValueError):
            if result is not None:
                result.__post_init__()
            return result
        return None

    @property
    def stem(self) -> str:
        """What its thresholds are called after."""
        return self.group or self.name

    @property
    def member(self) -> str:
        """Its name within the group."""
        return self.name.removeprefix(f"{self.group}_")

    def shown(self, value: float) -> str:
        """`value` with its unit, to three figures."""
        return f"{100 * value:.0f} %" if self.unit == "%" else f"{value:.3g} {self.unit}".rstrip()


def quantity(values: Quantities, name: str) -> float | None:
    """The finite number logged as `name`, or None."""
    return as_number(values.get(name))


def quantities_of(task: Any, models: Sequence[Any]) -> tuple[Quantity, ...]:
    """What `task` says of runs with these parameters; nothing where it says nothing.

    Raises UserError where it returns something else than quantities.
    """
    declare = getattr(task, "quantities", None)
    try:
        quantities = tuple(declare(models)) if declare else ()
    except ValueError as error:
        raise UserError(f"task {type(task).__name__}: quantities: {error}") from error
    if wrong := [each for each in quantities if not isinstance(each, Quantity)]:
        raise UserError(f"task {type(task).__name__}: quantities returned {wrong[0]!r}, which is no Quantity")
    return quantities


def as_data(quantities: Iterable[Quantity]) -> list[dict[str, Any]]:
    """As the manifest keeps them: what is not as usual."""
    usual = asdict(Quantity("usual")) | {"name": None}
    return [{key: value for key, value in asdict(each).items() if value != usual[key]} for each in quantities]


def read_quantities(data: Any) -> tuple[Quantity, ...]:
    """Those that `as_data` wrote; whatever a damaged or foreign file holds besides is left out."""
    return tuple(each for each in map(Quantity.of, data if isinstance(data, list) else ()) if each is not None)


def with_limits(quantities: Iterable[Quantity], limits: Mapping[str, float]) -> tuple[Quantity, ...]:
    """`quantities` with the borders that an experiment file sets; `limits`: <group or name>_low or _high → number."""
    return tuple(
        replace(each, low=limits.get(f"{each.stem}_low", each.low), high=limits.get(f"{each.stem}_high", each.high))
        for each in quantities
    )


def grouped(quantities: Iterable[Quantity]) -> dict[str, list[Quantity]]:
    """Stem → the quantities that share a column."""
    groups: dict[str, list[Quantity]] = {}
    for each in quantities:
        groups.setdefault(each.stem, []).append(each)
    return groups


def shown_together(quantities: Sequence[Quantity], values: Quantities) -> str:
    """`text 61 %, vision 28 %, audio 11 %` of a group, the value alone of a single one; blank where none is logged."""
    logged = [(each, value) for each in quantities if (value := quantity(values, each.name)) is not None]
    return ", ".join(f"{each.member} " * bool(each.group) + each.shown(value) for each, value in logged)

"""What a health rule says about a run or a variant. Free of torch and pandas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["info", "warning", "blocking"]
LEVELS: tuple[Level, ...] = ("info", "warning", "blocking")


@dataclass(frozen=True)
class Finding:
    """One thing that was noticed. `blocking` takes a variant out of a tie; it rests on train and validation data."""

    level: Level
    rule: str
    value: float | None
    threshold: float | None
    message: str  # what was seen, with value and threshold
    advice: str = ""  # what to do
    layer: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def worst(findings: Iterable[Finding]) -> Level | None:
    """The highest level among `findings`; None when there is none."""
    levels = [LEVELS.index(finding.level) for finding in findings]
    return LEVELS[max(levels)] if levels else None


def by_severity(findings: Sequence[Finding]) -> list[Finding]:
    """Blocking first; otherwise in the order found."""
    return sorted(findings, key=lambda finding: -LEVELS.index(finding.level))


def number(value: float, beside: float | None = None) -> str:
    """A value as a message shows it; with as many figures as tell it from the threshold `beside` it."""
    figures = 3
    while beside is not None and value != beside and figures < 9 and float(f"{value:.{figures}g}") == beside:
        figures += 1
    return f"{value:.{figures}g}"

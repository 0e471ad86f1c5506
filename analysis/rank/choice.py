"""Which variant to take, and why, from validation data alone. Free of torch and pandas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.formatting import mean_with_sd, percent

UNKNOWN = float("inf")
LISTED = 5  # excluded variants named in the reason


@dataclass(frozen=True)
class Candidate:
    """What the choice knows of a variant. The test metric is not among it."""

    name: str
    val: float  # mean validation metric
    seeds: int
    sd: float | None = None  # over seeds; None: one seed
    tied: bool = False  # with the best one
    tie_reason: str = ""
    blocking: tuple[str, ...] = ()  # messages of blocking findings
    fused_layers: int | None = None
    parameters: int | None = None


@dataclass(frozen=True)
class Choice:
    """The variant to take, with the reason in plain words."""

    variant: str
    best: str  # the lowest validation error (or highest score)
    tie_set: tuple[str, ...]  # the best first
    excluded: dict[str, tuple[str, ...]]  # tied variants left out → their blocking findings
    reasons: tuple[str, ...]  # sentences, the most important first
    one_seed: bool = False  # so that the noise of training is unknown

    @property
    def reason(self) -> str:
        return " ".join(self.reasons)


def choose(candidates: Sequence[Candidate], *, metric: str = "val_mae", mode: str = "min") -> Choice:
    """The best alone is taken; in a tie the healthy one with the fewest fused layers, then parameters, then the better.

    `candidates` are complete variants, any order. Raises ValueError without one.
    """
    if not candidates:
        raise ValueError("there is no complete variant to choose from")
    sign = 1 if mode == "min" else -1
    best, *others = sorted(candidates, key=lambda item: (item.val * sign, item.name))
    ties = [best, *(item for item in others if item.tied)]
    healthy = [item for item in ties if not item.blocking]
    pool = healthy or ties
    alone = len(ties) == 1
    chosen = best if alone else min(pool, key=lambda item: (*_size(item), item.val * sign, item.name))
    excluded = {item.name: item.blocking for item in ties if item.blocking} if healthy else {}
    sentences = [_opening(chosen, best, ties, metric)]
    if not alone:
        sentences += _tie_sentences(chosen, pool, excluded)
    elif best.blocking:
        sentences.append(f"It stands alone, so it is taken although unhealthy: {'; '.join(best.blocking)}.")
    if chosen.seeds == 1:
        sentences.append("Seed noise unknown: one seed.")
    if others:
        optimism = "5 to 10 % where twelve are equal, docs/analysis.md"
        sentences.append(f"The best {metric} of {len(candidates)} is optimistic ({optimism}).")
    return Choice(
        chosen.name, best.name, tuple(item.name for item in ties), excluded, tuple(sentences), chosen.seeds == 1
    )


def _size(item: Candidate) -> tuple[float, float]:
    layers = UNKNOWN if item.fused_layers is None else item.fused_layers
    return layers, UNKNOWN if item.parameters is None else item.parameters


def _score(item: Candidate) -> str:
    return f"{mean_with_sd(item.val, item.sd)}, n = {item.seeds}"


def _opening(chosen: Candidate, best: Candidate, ties: Sequence[Candidate], metric: str) -> str:
    head = f"Take {chosen.name} ({metric} {_score(chosen)})"
    if len(ties) == 1:
        return f"{head}: the best, and no other variant is tied with it."
    if chosen is best:
        return f"{head}: the best of {len(ties)} tied variants."
    cost = f", at a cost of {percent((chosen.val - best.val) / abs(best.val))} on validation" if best.val else ""
    return (
        f"{head}. {best.name} has the best {metric} ({_score(best)}), "
        f"but {chosen.name} is tied: {chosen.tie_reason}{cost}."
    )


def _tie_sentences(chosen: Candidate, pool: Sequence[Candidate], excluded: Mapping[str, tuple[str, ...]]) -> list[str]:
    sentences = []
    if excluded:
        named = [f"{name} ({'; '.join(messages)})" for name, messages in excluded.items()]
        more = f"; and {len(named) - LISTED} more" if len(named) > LISTED else ""
        sentences.append(f"Left out as unhealthy: {'; '.join(named[:LISTED])}{more}.")
    elif chosen.blocking:
        sentences.append("Every tied variant has a blocking finding, so none is left out.")
    if len(pool) == 1:
        return [*sentences, "It is the only healthy one among the tied."]
    count = f"Among {len(pool)} {'healthy tied' if excluded else 'tied'} variants"
    rivals = [item for item in pool if item is not chosen and _size(item)[0] == _size(chosen)[0]]
    fewest = "" if chosen.fused_layers is None else f"the fewest fused layers ({chosen.fused_layers})"
    if not rivals and fewest:
        return [*sentences, f"{count} it has {fewest}."]
    if chosen.parameters is not None and all(item.parameters != chosen.parameters for item in rivals):
        also = f"{fewest} and " if fewest else ""
        return [*sentences, f"{count} it has {also}the fewest parameters ({chosen.parameters:,})."]
    return [*sentences, f"{count} none is simpler, and it has the best metric of the simplest."]

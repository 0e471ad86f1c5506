"""Weights of fused layers as another program logged them, brought to what ours mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal

from jobs.reading.points import Record, Records

Layers = dict[str, dict[str, float]]  # layer → quantities
_WHOLE = 0.99  # weights whose sum is less lack something
_FEWEST = 3  # epochs that show a rise
_ROUNDING = 1e-6
_PAIR = {"w_graph", "w_text"}


def layers_of(record: Record) -> Layers:
    """The quantities of a record, by layer."""
    layers: Layers = {}
    for name, value in record.items():
        if isinstance(name, tuple):
            layers.setdefault(name[0], {})[name[1]] = value
    return layers


def brought_to_ours(
    records: Records, normalise: Literal["auto", "always", "never"], final: bool = True
) -> tuple[dict[int, Layers], list[str]]:
    """Epoch → layers with `ratio` = (1 + w_graph) / w_text, and whose weights were divided by their sum.

    final: no epochs will follow. Until then a sum below 1 in too few epochs to judge it gives no ratio.
    """
    epochs = {epoch: layers_of(record) for epoch, record in records.items()}
    notes = []
    for layer in dict.fromkeys(name for layers in epochs.values() for name in layers):
        rows = [row for layers in epochs.values() if (row := layers.get(layer, {})).keys() >= _PAIR]
        if not (sums := [row["w_graph"] + row["w_text"] for row in rows]):
            continue
        ends = f"layer {layer}: w_graph + w_text is {sums[0]:.3g} in the first logged epoch, {sums[-1]:.3g} in the last"
        undecided = normalise == "auto" and len(sums) < _FEWEST and sums[0] < _WHOLE
        if normalise == "always" or (normalise == "auto" and is_running_mean(sums)):
            for row, total in zip(rows, sums, strict=True):
                row.update({name: row[name] / total for name in _PAIR if total > 0})
            notes.append(f"{ends}; both were divided by their sum")
        elif undecided and final:
            notes.append(f"{ends}; if these are running means that began at 0, set metrics.fusion.normalise: always")
        for row in rows if final or not undecided else ():
            if row["w_text"] > 0:
                row["ratio"] = (1 + row["w_graph"]) / row["w_text"]
    return epochs, notes


def is_running_mean(sums: Sequence[float]) -> bool:
    """Whether weights that belong together (their sum is 1) were logged as running means that began at 0."""
    rises = all(later >= earlier - _ROUNDING for earlier, later in pairwise(sums))
    return len(sums) >= _FEWEST and 0 < sums[0] < _WHOLE and sums[0] < sums[-1] <= 1 + _ROUNDING and rises


def at_epoch(epochs: Mapping[int, Layers], epoch: int) -> tuple[int, Layers] | None:
    """The layers logged at `epoch`, else at the last one before it, else at the first one after it; with its epoch."""
    logged = [other for other, layers in epochs.items() if layers]
    chosen = max((other for other in logged if other <= epoch), default=min(logged, default=None))
    return None if chosen is None else (chosen, epochs[chosen])

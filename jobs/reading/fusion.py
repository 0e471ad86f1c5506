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


def layers_of(record: Record) -> Layers:
    """The quantities of a record, by layer."""
    layers: Layers = {}
    for name, value in record.items():
        if isinstance(name, tuple):
            layers.setdefault(name[0], {})[name[1]] = value
    return layers


def brought_to_ours(
    records: Records, normalise: Literal["auto", "always", "never"]
) -> tuple[dict[int, Layers], list[str]]:
    """Epoch → layers with `ratio` = (1 + w_graph) / w_text, and whose weights were divided by their sum."""
    epochs = {epoch: layers_of(record) for epoch, record in records.items()}
    notes = []
    for layer in dict.fromkeys(name for layers in epochs.values() for name in layers):
        rows = [layers[layer] for layers in epochs.values() if layer in layers]
        sums = [row["w_graph"] + row["w_text"] for row in rows if {"w_graph", "w_text"} <= row.keys()]
        if normalise == "always" or (normalise == "auto" and is_running_mean(sums)):
            for row in rows:
                _divide(row)
            if sums:
                ends = f"{sums[0]:.3g} in the first logged epoch, {sums[-1]:.3g} in the last"
                notes.append(f"layer {layer}: w_graph + w_text is {ends}; both were divided by their sum")
        for row in rows:
            if row.get("w_text", 0) > 0 and "w_graph" in row:
                row["ratio"] = (1 + row["w_graph"]) / row["w_text"]
    return epochs, notes


def is_running_mean(sums: Sequence[float]) -> bool:
    """Whether weights that belong together (their sum is 1) were logged as running means that began at 0."""
    rises = all(later >= earlier - _ROUNDING for earlier, later in pairwise(sums))
    return len(sums) >= _FEWEST and 0 < sums[0] < _WHOLE and sums[0] < sums[-1] <= 1 + _ROUNDING and rises


def _divide(row: dict[str, float]) -> None:
    total = row.get("w_graph", 0.0) + row.get("w_text", 0.0)
    if {"w_graph", "w_text"} <= row.keys() and total > 0:
        row.update(w_graph=row["w_graph"] / total, w_text=row["w_text"] / total)


def at_epoch(epochs: Mapping[int, Layers], epoch: int) -> tuple[int, Layers] | None:
    """The layers logged at `epoch`, else at the last one before it, else at the first one after it; with its epoch."""
    logged = [other for other, layers in epochs.items() if layers]
    chosen = max((other for other in logged if other <= epoch), default=min(logged, default=None))
    return None if chosen is None else (chosen, epochs[chosen])

"""How quantities of the fused layers went, epoch by epoch, as rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis.rank.curves import VariantLogs
from runner.health.fusion import band, weight_ratio
from runner.health.thresholds import Thresholds

SHOWN = 5  # epochs of a layer in a table for people


def fusion_rows(logs: Sequence[VariantLogs], quantities: Sequence[str], t: Thresholds) -> list[dict[str, Any]]:
    """A row for every variant, layer and epoch with one of the quantities: means over the seeds, and the band."""
    rows = []
    for item in logs:
        for layer in item.layers:
            curves = {name: item.quantity(layer, name) for name in quantities}
            values = {name: dict(zip(curve.epochs, curve.mean, strict=True)) for name, curve in curves.items()}
            for epoch in sorted({epoch for curve in curves.values() for epoch in curve.epochs}):
                found = {name: values[name].get(epoch) for name in quantities}
                row: dict[str, Any] = {"variant": item.name, "layer": layer, "epoch": epoch, **found}
                if "ratio" in quantities:
                    ratio = weight_ratio({name: value for name, value in found.items() if value is not None})
                    row |= {"ratio": ratio, "band": band(ratio, t) if ratio is not None else ""}
                rows.append(row)
    return rows


def thinned(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A few epochs of every variant and layer: the first, the last, and some between."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["variant"], row["layer"]), []).append(row)
    kept = []
    for group in groups.values():
        last = len(group) - 1
        few = [group[i] for i in sorted({round(last * step / (SHOWN - 1)) for step in range(SHOWN)})]
        kept += [few[0], *({**row, "variant": "", "layer": ""} for row in few[1:])]  # names once
    return kept


def filled_columns(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Columns that hold something in some row, in order."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [name for name in names if any(row.get(name) not in (None, "") for row in rows)]

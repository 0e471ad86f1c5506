"""What variants logged epoch by epoch, over their seeds: for plots and the tools that read logs alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.collect import reading
from analysis.collect.run_record import newest_epochs
from analysis.formatting import natural
from analysis.rank.ranking import Variant
from analysis.rank.statistics import mean_sd
from runner.files import as_count, as_number
from runner.health.judgement import by_layer
from runner.rundir.layout import ExperimentDir


@dataclass(frozen=True)
class Curve:
    """A quantity by epoch: mean over the seeds that logged it, and their sd (0 for one seed)."""

    epochs: list[int]
    mean: list[float]
    sd: list[float]


@dataclass(frozen=True)
class RunLogs:
    """The logs of one run."""

    seed: int | None
    history: Sequence[Mapping[str, Any]]  # records of metrics.jsonl
    layers: Mapping[str, Mapping[int, Mapping[str, Any]]]  # layer → epoch → quantities of both fusion logs


@dataclass(frozen=True)
class VariantLogs:
    """The logs of all runs of a variant."""

    name: str
    runs: tuple[RunLogs, ...]

    @property
    def layers(self) -> list[str]:
        """Fused layers in order, the late fusion last."""
        return sorted({layer for run in self.runs for layer in run.layers}, key=natural)

    def metric(self, name: str) -> Curve:
        """A metric of metrics.jsonl by epoch."""
        return _curve(
            (int(record["epoch"]), as_number(record.get(name))) for run in self.runs for record in run.history
        )

    def quantity(self, layer: str, name: str) -> Curve:
        """A quantity of a fused layer by epoch."""
        return _curve(
            (epoch, as_number(values.get(name)))
            for run in self.runs
            for epoch, values in run.layers.get(layer, {}).items()
        )

    def latest(self, layer: str, name: str) -> list[Any]:
        """What every run logged last as `name`, of any type; runs without it are left out."""
        found = []
        for run in self.runs:
            epochs = run.layers.get(layer, {})
            logged = [epochs[epoch][name] for epoch in sorted(epochs) if name in epochs[epoch]]
            found += logged[-1:]
        return found


def _curve(points: Iterable[tuple[int, float | None]]) -> Curve:
    by_epoch: dict[int, list[float]] = {}
    for epoch, value in points:
        if value is not None:
            by_epoch.setdefault(epoch, []).append(value)
    epochs = sorted(by_epoch)
    found = [mean_sd(by_epoch[epoch]) for epoch in epochs]
    means = [value.mean for value in found if value]
    return Curve(epochs, means, [value.sd or 0.0 for value in found if value])


def read_logs(directory: ExperimentDir, variant: Variant) -> VariantLogs:
    """The logs of `variant`; of its completed runs where there are any."""
    runs = variant.scored or variant.runs
    return VariantLogs(variant.name, tuple(_run_logs(directory, run.run_id, run.plan.seed) for run in runs))


def _run_logs(directory: ExperimentDir, run_id: str, seed: int | None) -> RunLogs:
    run = directory.run(run_id)
    history, _ = reading.json_lines(reading.read_bytes(run.metrics))
    rows, _ = reading.table_rows(reading.read_bytes(run.fusion_weights))
    diagnostics, _ = reading.json_lines(reading.read_bytes(run.diagnostics))
    layers: dict[str, dict[int, dict[str, Any]]] = {}
    for record in diagnostics:
        epoch = as_count(record.get("epoch"))
        for layer, values in by_layer(record).items() if epoch is not None else ():
            layers.setdefault(layer, {}).setdefault(epoch or 0, {}).update(values)
    for row in rows:
        epoch = as_count(row.get("epoch"))
        if epoch is not None and "layer" in row:
            layers.setdefault(str(row["layer"]), {}).setdefault(epoch, {}).update(row)
    complete = [record for record in newest_epochs(history) if as_count(record.get("epoch")) is not None]
    return RunLogs(seed, complete, layers)

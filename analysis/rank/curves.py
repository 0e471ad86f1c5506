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
from runner.rundir.layout import ExperimentDir, RunDir

Layers = dict[str, dict[int, dict[str, Any]]]  # layer → epoch → quantities


@dataclass(frozen=True)
class Curve:
    """A quantity by epoch: mean over the seeds that logged it, and their sd (0 for one seed)."""

    epochs: list[int]
    mean: list[float]
    sd: list[float]


@dataclass(frozen=True)
class RunLogs:
    """The logs of one run."""

    history: Sequence[Mapping[str, Any]]  # records of metrics.jsonl
    layers: Layers  # of both fusion logs


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
        return _curve((int(record["epoch"]), record.get(name)) for run in self.runs for record in run.history)

    def quantity(self, layer: str, name: str) -> Curve:
        """A quantity of a fused layer by epoch."""
        logged = (values for run in self.runs for values in run.layers.get(layer, {}).items())
        return _curve((epoch, values.get(name)) for epoch, values in logged)

    def latest(self, layer: str, name: str) -> list[Any]:
        """What every run logged last as `name`, of any type; runs without it are left out."""
        of_runs = (sorted(run.layers.get(layer, {}).items(), reverse=True) for run in self.runs)
        newest = (next((values[name] for _, values in epochs if name in values), None) for epochs in of_runs)
        return [value for value in newest if value is not None]


def _curve(points: Iterable[tuple[int, Any]]) -> Curve:
    by_epoch: dict[int, list[float]] = {}
    for epoch, logged in points:
        if (value := as_number(logged)) is not None:
            by_epoch.setdefault(epoch, []).append(value)
    epochs = sorted(by_epoch)
    means = [mean for epoch in epochs if (mean := mean_sd(by_epoch[epoch]))]
    return Curve(epochs, [mean.mean for mean in means], [mean.sd or 0.0 for mean in means])


def read_logs(directory: ExperimentDir, variant: Variant) -> VariantLogs:
    """The logs of `variant`; of its completed runs where there are any."""
    return VariantLogs(
        variant.name, tuple(_run_logs(directory.run(run.run_id)) for run in variant.scored or variant.runs)
    )


def _run_logs(run: RunDir) -> RunLogs:
    history, _ = reading.json_lines(reading.read_bytes(run.metrics))
    rows, _ = reading.table_rows(reading.read_bytes(run.fusion_weights))
    diagnostics, _ = reading.json_lines(reading.read_bytes(run.diagnostics))
    of_layers = [(record, *item) for record in diagnostics for item in by_layer(record).items()]
    layers: Layers = {}
    for record, layer, values in [*of_layers, *((row, str(row["layer"]), row) for row in rows if "layer" in row)]:
        if (epoch := as_count(record.get("epoch"))) is not None:
            layers.setdefault(layer, {}).setdefault(epoch, {}).update(values)
    return RunLogs([item for item in newest_epochs(history) if as_count(item.get("epoch")) is not None], layers)

"""The health of a run while it trains: the rules of `analysis` on every epoch, each finding said once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.findings import Finding, worst
from analysis.fusion_health import LATE
from analysis.health import live_findings
from analysis.reading import read_bytes, table_rows
from analysis.thresholds import Thresholds
from runner.files import read_json_lines
from runner.layout import RunDir

_NAMES = {LATE: "late fusion"}
Layers = Mapping[str, Mapping[str, Any]]  # layer → quantities


class Watch:
    """Sees a run epoch by epoch. `level` is the worst finding of the last one: ok, warning or blocking."""

    def __init__(self, thresholds: Thresholds, initial_scale: float | None = None) -> None:
        self.thresholds = thresholds
        self.initial_scale = initial_scale  # of a text_scale that is learnt
        self.level = "ok"
        self._history: list[dict[str, Any]] = []
        self._rows: list[dict[str, Any]] = []
        self._said: set[tuple[str, ...]] = set()

    def go_on(self, run: RunDir) -> None:
        """Take up what the logs of `run` hold; findings in them were said already."""
        self._history = read_json_lines(run.metrics)
        self._rows, _ = table_rows(read_bytes(run.fusion_weights))
        for record in read_json_lines(run.diagnostics):
            self._said |= {
                (str(its["level"]), str(its["rule"]), str(its["layer"])) for its in record.get("findings", [])
            }

    def rewind(self, epoch: int) -> None:
        """Forget the epochs after `epoch`, which are reported again."""
        self._history = [record for record in self._history if record.get("epoch", 0) <= epoch]

    def see(self, record: Mapping[str, Any], layers: Layers) -> list[Finding]:
        """What is new in an epoch; `record`: its line of metrics.jsonl."""
        self._history.append(dict(record))
        self._rows += [{"layer": layer, **values} for layer, values in layers.items()]
        found = live_findings(
            self._history, self._rows, [], initial_scale=self.initial_scale, thresholds=self.thresholds
        )
        level = worst(found)
        self.level = "ok" if level in (None, "info") else str(level)
        new = {_key(finding): finding for finding in found if _key(finding) not in self._said}
        self._said |= new.keys()
        return list(new.values())


def _key(finding: Finding) -> tuple[str, ...]:
    return finding.level, finding.rule, str(finding.layer)


def sentence(finding: Finding) -> str:
    """A finding as a line of the log says it."""
    layer = finding.layer
    place = "" if layer is None else f"layer {layer}: " if layer.isdigit() else f"{_NAMES.get(layer, layer)}: "
    return f"{place}{finding.message}" + (f"; {finding.advice}" if finding.advice else "")

"""The health of a run while it trains: every rule on every epoch, each finding reported once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.context import RunContext
from runner.files import read_json_lines
from runner.health.findings import Finding, health_word
from runner.health.judgement import Logs, by_layer, live_findings
from runner.health.thresholds import Thresholds
from runner.rundir.layout import RunDir

Layers = Mapping[str, Mapping[str, Any]]  # layer → quantities


class HealthMonitor:
    """Sees a run epoch by epoch. `level` is the worst finding of the last one: ok, warning or blocking."""

    def __init__(self, thresholds: Thresholds, params: Mapping[str, Any]) -> None:
        self.thresholds, self.params = thresholds, params
        self.level = "ok"
        self._history: list[dict[str, Any]] = []
        self._rows: list[dict[str, Any]] = []
        self._reported: set[tuple[str, ...]] = set()

    def go_on(self, run: RunDir) -> None:
        """Take up what the logs of `run` hold; findings in them were reported already."""
        self._history = read_json_lines(run.metrics)
        for record in read_json_lines(run.diagnostics):
            self._add(record.get("epoch"), by_layer(record))
            self._reported |= {
                (str(each["level"]), str(each["rule"]), str(each["layer"])) for each in record.get("findings", [])
            }

    def rewind(self, epoch: int) -> None:
        """Forget the epochs after `epoch`, which are reported again."""
        self._history = [record for record in self._history if record.get("epoch", 0) <= epoch]
        self._rows = [row for row in self._rows if (row["epoch"] or 0) <= epoch]

    def log(self, context: RunContext, record: Mapping[str, Any], layers: Layers) -> list[Finding]:
        """Write an epoch to the logs of its run with its health, and say what is new; `record` names the epoch."""
        findings = self.see(record, layers)
        context.health = self.level
        context.record(record)
        context.record_layers(record["epoch"], layers, findings)
        for finding in findings:
            context.report(finding)
        return findings

    def see(self, record: Mapping[str, Any], layers: Layers) -> list[Finding]:
        """What is new in an epoch; `record`: its line of metrics.jsonl."""
        self._history.append(dict(record))
        self._add(record.get("epoch"), layers)
        findings = live_findings(Logs(self._history, self._rows), self.params, self.thresholds)
        self.level = health_word(findings)
        new = {_key(finding): finding for finding in findings if _key(finding) not in self._reported}
        self._reported |= new.keys()
        return list(new.values())

    def _add(self, epoch: Any, layers: Layers) -> None:
        self._rows += [{"epoch": epoch, "layer": layer, **values} for layer, values in layers.items()]


def _key(finding: Finding) -> tuple[str, ...]:
    return finding.level, finding.rule, str(finding.layer)

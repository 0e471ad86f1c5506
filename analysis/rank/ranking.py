"""Variants over their seeds, ranked by the validation metric. Nothing is dropped: what has no metric has no rank."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from analysis.collect.collection import CollectedRun, Collection
from analysis.collect.manifest import Select, fused_layers
from analysis.rank.comparability import Flag, RunFacts, flags, usual
from analysis.rank.statistics import MeanSd, mean_sd
from runner.health.findings import Finding, by_severity, health_word, merged
from runner.health.fusion import band, judged_ratio, ratio_findings
from runner.health.quantities import quantity
from runner.health.settings import settings_of
from runner.health.thresholds import Thresholds
from runner.health.verdicts import one_verdict_each


@dataclass(frozen=True)
class Variant:
    """A variant aggregated over its seeds."""

    name: str
    axes: Mapping[str, Any]
    params: Mapping[str, Any]
    runs: tuple[CollectedRun, ...]
    scored: tuple[CollectedRun, ...]  # completed, with a finite validation metric
    val: MeanSd | None
    test: MeanSd | None  # shown, never used
    fusion: Mapping[str, Mapping[str, float]]  # layer → mean over seeds of the quantities at the best epoch
    findings: tuple[Finding, ...]
    parameters: int | None
    seconds: float | None  # mean over completed runs
    gpus: int | None = None  # that a run held; None or 0 on a CPU
    flags: tuple[Flag, ...] = ()  # why its rank is to be read with care
    rank: int | None = None  # of the complete variants; from 1

    @property
    def complete(self) -> bool:
        return len(self.scored) == len(self.runs)

    @property
    def states(self) -> Counter[str]:
        return Counter(run.state for run in self.runs)

    @property
    def state(self) -> str:
        """One word: the state that all runs share, else `incomplete`; `no metric` when completed without one."""
        states = self.states
        if len(states) > 1:
            return "incomplete"
        state = next(iter(states))
        return "no metric" if state == "completed" and not self.complete else state

    @property
    def health(self) -> str:
        """ok, warning or blocking; blank while nothing is known. Information alone is ok."""
        if not self.val and not self.findings:
            return ""
        return health_word(self.findings)

    @property
    def reliance(self) -> float | None:
        """Relative rise of the validation metric with shuffled texts, mean over seeds; None where not measured."""
        values = list(self.values_by_seed("reliance").values())
        return sum(values) / len(values) if values else None

    @property
    def quantities(self) -> Mapping[str, float]:
        """Everything that its runs report by name, mean over seeds: metrics, and quantities of layers."""
        names = dict.fromkeys(name for run in self.scored for name in run.record.metrics)
        means = {name: sum(values) / len(values) for name in names if (values := self.values_by_seed(name).values())}
        return means | {name: value for values in self.fusion.values() for name, value in values.items()}

    @property
    def gpu_minutes(self) -> float | None:
        """Mean GPU minutes of a completed run, the attempts that were lost included; None on a CPU."""
        return self.seconds * self.gpus / 60 if self.seconds is not None and self.gpus else None

    @property
    def blocking(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.level == "blocking")

    @property
    def fused_layers(self) -> int | None:
        return fused_layers(self.params)

    def values_by_seed(self, metric: str) -> dict[int | None, float]:
        """Seed → metric, of the scored runs that have it."""
        return {run.plan.seed: run.record.metrics[metric] for run in self.scored if metric in run.record.metrics}

    def judged_layer(self, t: Thresholds) -> tuple[str, Mapping[str, float], float] | None:
        """Layer, quantities and ratio of the fused layer farthest from the middle of the healthy band."""
        ratios = {layer: ratio for layer, values in self.fusion.items() if (ratio := judged_ratio(values, t))}
        if not ratios:
            return None
        middle = t.ratio_middle
        layer = max(ratios, key=lambda name: max(ratios[name] / middle, middle / ratios[name]))
        return layer, self.fusion[layer], ratios[layer]

    def band(self, t: Thresholds) -> str:
        judged = self.judged_layer(t)
        return band(judged[2], t) if judged else ""


def rank(collection: Collection) -> list[Variant]:
    """Complete variants best first, then the incomplete ones by what they have, then those without a metric.

    While no variant is complete, those with a metric are ranked by it provisionally.
    """
    select, thresholds = collection.manifest.select, collection.manifest.thresholds
    grouped: dict[str, list[CollectedRun]] = {}
    for run in collection.runs:
        grouped.setdefault(run.plan.variant, []).append(run)
    facts = {name: [_facts(run, select) for run in runs] for name, runs in grouped.items()}
    common = usual(list(facts.values()))
    variants = [_variant(name, runs, select, thresholds, flags(facts[name], common)) for name, runs in grouped.items()]
    any_complete = any(variant.complete for variant in variants)

    def order(variant: Variant) -> tuple[bool, bool, float, str]:
        value = variant.val.mean * select.sign if variant.val else 0.0
        return (any_complete and not variant.complete, variant.val is None, value, variant.name)

    variants.sort(key=order)
    ranked = [variant for variant in variants if variant.val and (variant.complete or not any_complete)]
    numbers = {variant.name: number for number, variant in enumerate(ranked, 1)}
    return [replace(variant, rank=numbers.get(variant.name)) for variant in variants]


def is_scored(run: CollectedRun, select: Select) -> bool:
    """Completed, with a finite validation metric."""
    return run.state == "completed" and select.metric in run.record.metrics


def _facts(run: CollectedRun, select: Select) -> RunFacts:
    schedule = settings_of(run.plan.params).value("train.schedule")
    return RunFacts(run.state, is_scored(run, select), run.record, schedule if isinstance(schedule, str) else None)


def _variant(
    name: str, runs: Sequence[CollectedRun], select: Select, t: Thresholds, flagged: Sequence[Flag]
) -> Variant:
    scored = [run for run in runs if is_scored(run, select)]
    completed = [run.record for run in runs if run.state == "completed"]
    tests = [run.record.metrics[select.test_metric] for run in scored if select.test_metric in run.record.metrics]
    seconds = mean_sd([record.seconds for record in completed if record.seconds is not None])
    fusion = _mean_fusion([run.record.fusion for run in scored])
    findings = _shared_findings([run.record.findings for run in (scored or runs)])
    if fusion:  # the weights are judged by their mean over the seeds
        findings = [finding for finding in findings if not finding.rule.startswith("ratio_")]
        params = runs[0].plan.params
        findings += [
            f for layer, values in fusion.items() for f in ratio_findings(values, t, settings_of(params, layer))
        ]
    return Variant(
        name=name,
        axes=runs[0].plan.axes,
        params=runs[0].plan.params,
        runs=tuple(runs),
        scored=tuple(scored),
        val=mean_sd([run.record.metrics[select.metric] for run in scored]),
        test=mean_sd(tests),
        fusion=fusion,
        findings=tuple(by_severity(one_verdict_each(findings))),
        parameters=next((record.parameters for record in completed if record.parameters is not None), None),
        seconds=seconds.mean if seconds else None,
        gpus=next((record.gpus for record in completed if record.gpus is not None), None),
        flags=tuple(flagged),
    )


def _mean_fusion(fusions: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Layer → mean over seeds of every quantity that was logged."""
    layers = dict.fromkeys(layer for fusion in fusions for layer in fusion)
    means: dict[str, dict[str, float]] = {}
    for layer in layers:
        logged = [fusion[layer] for fusion in fusions if layer in fusion]
        names = dict.fromkeys(name for values in logged for name in values)
        found = {name: [value for item in logged if (value := quantity(item, name)) is not None] for name in names}
        means[layer] = {name: sum(values) / len(values) for name, values in found.items() if values}
    return means


def _shared_findings(by_run: Sequence[Sequence[Finding]]) -> list[Finding]:
    """Findings of the seeds as those of the variant: blocking where at least half of the seeds show them."""
    if len(by_run) == 1:
        return list(by_run[0])
    seen: dict[tuple[str, str | None], list[Finding]] = {}
    for findings in by_run:
        for finding in findings:
            seen.setdefault((finding.rule, finding.layer), []).append(finding)
    return [merged(findings, len(by_run)) for findings in seen.values()]

"""Variants over their seeds, ranked by the validation metric. Nothing is dropped: what has no metric has no rank."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from statistics import fmean
from typing import Any

from analysis.collect.collection import CollectedRun, Collection
from analysis.rank.comparability import Flag, flags, usual
from analysis.rank.statistics import MeanSd, mean_sd
from analysis.task_definitions import fused_layers
from runner.health.findings import Finding, by_severity, health_word, merged, one_verdict_each
from runner.health.fusion import band, judged_ratio, ratio_findings
from runner.health.settings import settings_of
from runner.health.thresholds import Thresholds
from runner.rundir.planned import Select


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
        if len(self.states) > 1:
            return "incomplete"
        (state,) = self.states
        return "no metric" if state == "completed" and not self.complete else state

    @property
    def health(self) -> str:
        """ok, warning or blocking; blank while nothing is known. Information alone is ok."""
        return health_word(self.findings) if self.val or self.findings else ""

    @cached_property
    def quantities(self) -> Mapping[str, float]:
        """Everything that its runs report by name, mean over seeds: metrics, and quantities of layers."""
        names = dict.fromkeys(chain(*(run.result.metrics for run in self.scored)))
        means = {name: fmean(self.values_by_seed(name).values()) for name in names}
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
        return fused_layers(self.params, len(self.fusion))

    def values_by_seed(self, metric: str) -> dict[int | None, float]:
        """Seed → metric, of the scored runs that have it."""
        return {run.plan.seed: run.result.metrics[metric] for run in self.scored if metric in run.result.metrics}

    def judged(self, thresholds: Thresholds) -> Mapping[str, Any]:
        """Quantities, ratio and band of the fused layer farthest from the middle of the healthy band; else empty."""
        ratios = {layer: ratio for layer, values in self.fusion.items() if (ratio := judged_ratio(values, thresholds))}
        middle = thresholds.ratio_middle
        layer = max(ratios, key=lambda name: max(ratios[name] / middle, middle / ratios[name]), default=None)
        return (
            {}
            if layer is None
            else {**self.fusion[layer], "ratio": ratios[layer], "band": band(ratios[layer], thresholds)}
        )

    def best_run(self, select: Select) -> CollectedRun | None:
        """The scored run whose seed gave the best metric; the test split has no say."""
        return min(self.scored, key=lambda run: select.sign * run.result.metrics[select.metric], default=None)


def rank(collection: Collection) -> list[Variant]:
    """Complete variants best first, then the incomplete ones by what they have, then those without a metric.

    While no variant is complete, those with a metric are ranked by it provisionally.
    """
    select, thresholds = collection.manifest.select, collection.manifest.thresholds
    grouped: dict[str, list[CollectedRun]] = {}
    for run in collection.runs:
        grouped.setdefault(run.plan.variant, []).append(run)
    common = usual([*grouped.values()], select)
    variants = [_variant(name, runs, select, thresholds, flags(runs, common, select)) for name, runs in grouped.items()]
    any_complete = any(variant.complete for variant in variants)

    def order(variant: Variant) -> tuple[bool, bool, float, str]:
        value = variant.val.mean * select.sign if variant.val else 0.0
        return (any_complete and not variant.complete, variant.val is None, value, variant.name)

    variants.sort(key=order)
    ranked = [variant for variant in variants if variant.val and (variant.complete or not any_complete)]
    numbers = {variant.name: number for number, variant in enumerate(ranked, 1)}
    return [replace(variant, rank=numbers.get(variant.name)) for variant in variants]


def _variant(
    name: str, runs: Sequence[CollectedRun], select: Select, thresholds: Thresholds, flagged: Sequence[Flag]
) -> Variant:
    scored = [run for run in runs if run.is_scored(select)]
    completed = [run.result for run in runs if run.state == "completed"]
    tests = [run.result.metrics[select.test_metric] for run in scored if select.test_metric in run.result.metrics]
    seconds = mean_sd([result.seconds for result in completed if result.seconds is not None])
    fusion = _mean_fusion([run.result.fusion for run in scored])
    params, findings = runs[0].plan.params, _shared_findings([run.record.findings for run in (scored or runs)])
    if fusion:  # the weights are judged by their mean over the seeds
        judged = [ratio_findings(values, thresholds, settings_of(params, layer)) for layer, values in fusion.items()]
        findings = [item for item in findings if not item.rule.startswith("ratio_")] + [*chain(*judged)]
    return Variant(
        name=name,
        axes=runs[0].plan.axes,
        params=params,
        runs=tuple(runs),
        scored=tuple(scored),
        val=mean_sd([run.result.metrics[select.metric] for run in scored]),
        test=mean_sd(tests),
        fusion=fusion,
        findings=tuple(by_severity(one_verdict_each(findings))),
        parameters=next((result.parameters for result in completed if result.parameters is not None), None),
        seconds=seconds.mean if seconds else None,
        gpus=next((result.gpus for result in completed if result.gpus is not None), None),
        flags=tuple(flagged),
    )


def _mean_fusion(fusions: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Layer → mean over seeds of every quantity that was logged."""
    means: dict[str, dict[str, float]] = {}
    for layer in dict.fromkeys(chain(*fusions)):
        logged = [fusion[layer] for fusion in fusions if layer in fusion]
        names = dict.fromkeys(chain(*logged))
        means[layer] = {name: fmean(values[name] for values in logged if name in values) for name in names}
    return means


def _shared_findings(by_run: Sequence[Sequence[Finding]]) -> list[Finding]:
    """Findings of the seeds as those of the variant: blocking where at least half of the seeds show them."""
    if len(by_run) == 1:
        return list(by_run[0])
    seen: dict[tuple[str, str | None], list[Finding]] = {}
    for finding in chain(*by_run):
        seen.setdefault((finding.rule, finding.layer), []).append(finding)
    return [merged(findings, len(by_run)) for findings in seen.values()]

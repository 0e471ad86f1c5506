"""Everything `analysis summarize` says about an experiment, as values."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.collect.collection import CollectedRun, Collection, collect
from analysis.formatting import listed, plural
from analysis.rank.choice import Candidate, Choice, choose
from analysis.rank.comparison import (
    BaselineComparison,
    Comparison,
    compared,
    few_seeds,
    reference,
    smallest_visible_effect,
)
from analysis.rank.loss_weights import Point, WeightVerdict, verdict
from analysis.rank.next_steps import PROMOTED, Step, next_steps
from analysis.rank.ranking import Variant, rank
from analysis.rank.significance import Tie, could_still_win, tie_set
from runner.health.findings import Finding
from runner.health.training import alike_findings, weak_findings
from runner.rundir.ledger import pages, search_lines
from runner.search.rounds import cost


@dataclass(frozen=True)
class Summary:
    """An experiment, ranked and judged."""

    collection: Collection
    variants: tuple[Variant, ...]  # ranked ones first
    ties: dict[str, Tie]  # variant → how it compares with the best
    choice: Choice | None
    provisional: bool  # no variant is complete yet, or some that could still win are not
    waiting: tuple[str, ...]  # those variants
    findings: tuple[Finding, ...]  # about all variants together
    comparisons: tuple[BaselineComparison, ...]  # of every ranked variant with the baseline, without one with the best
    baseline_note: str  # why nothing is compared; empty otherwise
    visible_effect: float | None  # the smallest, as a share of what the variants are compared with
    promoted: tuple[str, ...]
    steps: tuple[Step, ...]
    notes: tuple[str, ...]  # what could not be read or was left out
    moment: float  # seconds since 1970
    weights: WeightVerdict | None = None  # of a search over the weights of a loss
    search: tuple[str, ...] = ()  # what an adaptive search decided and cost; empty without one

    @property
    def baseline(self) -> tuple[BaselineComparison, ...]:
        """The comparisons where they are with a baseline; empty otherwise."""
        return () if self.baseline_note else self.comparisons

    @property
    def effort(self) -> tuple[int, int, int]:
        """Runs that stopped early, completed runs, and epochs of all of these together."""
        done = [run.result for run in self.collection.runs if run.record.completed]
        return (
            sum(result.stopped_early for result in done),
            len(done),
            sum(result.epochs or 0 for result in done),
        )

    @property
    def states(self) -> Counter[str]:
        return Counter(run.state for run in self.collection.runs)

    @property
    def unfinished(self) -> list[CollectedRun]:
        """Runs that did not complete, or completed without the metric; not those that a search has ended."""
        select = self.collection.manifest.select
        return [run for run in self.collection.runs if run.state != "dropped" and not run.is_scored(select)]

    def variant(self, name: str) -> Variant:
        return next(variant for variant in self.variants if variant.name == name)


def summarize(path: Path, *, now: float | None = None, cache: bool = True) -> Summary:
    """Collect, rank, judge and choose; raises UserError where the experiment cannot be read."""
    moment = time.time() if now is None else now
    collection = collect(path, now=moment, cache=cache)
    manifest, variants = collection.manifest, rank(collection)
    ranked = [variant for variant in variants if variant.rank is not None]
    comparison = Comparison(collection.directory, manifest.select, ranked)
    ties = tie_set(ranked, manifest.select)
    candidates = [candidate(variant, ties.get(variant.name)) for variant in ranked]
    choice = choose(candidates, metric=manifest.select.metric, mode=manifest.select.mode) if ranked else None
    baseline, note = reference(variants, manifest.baseline, manifest.select.metric)
    best = ranked[0] if ranked else None
    other = baseline or best  # nothing is compared with a metric of 0, or with none
    comparisons = compared(ranked, other, comparison) if other and other.val and other.val.mean else []
    waiting = could_still_win(variants, best, manifest.select, retried=not manifest.adopted)
    provisional = bool(waiting) or (bool(ranked) and not any(variant.complete for variant in variants))
    notes = _notes(collection)
    problem = collection.cache_error or (comparison.cache.save() if cache else "")
    if problem:
        notes.append(f"nothing was cached, so the next call is as slow: {problem}")
    top = manifest.next.get("top", PROMOTED)
    return Summary(
        collection=collection,
        variants=tuple(variants),
        ties=ties,
        choice=choice,
        provisional=provisional,
        waiting=tuple(variant.name for variant in waiting),
        findings=tuple(_findings(collection, ranked)),
        comparisons=tuple(comparisons),
        baseline_note=note,
        visible_effect=smallest_visible_effect(comparisons),
        promoted=tuple(variant.name for variant in ranked[: top if isinstance(top, int) else PROMOTED]),
        steps=tuple(next_steps(collection, choice, provisional=provisional, few_seeds=few_seeds(comparisons))),
        notes=tuple(notes),
        moment=moment,
        weights=_weights(collection),
        search=tuple(_search(collection)),
    )


def _weights(collection: Collection) -> WeightVerdict | None:
    """The verdict on the axes that the task calls weights of its loss."""
    select = collection.manifest.select
    scored = [run for run in collection.runs if run.is_scored(select)]
    parts = {key: part for run in scored for key, part in run.record.loss_weights.items()}
    points = [Point(run.plan.axes, run.plan.seed, run.result.metrics[select.metric]) for run in scored]
    return verdict(points, parts, select.metric, select.mode) if parts else None


def candidate(variant: Variant, tie: Tie | None) -> Candidate:
    """What the choice may know of a ranked variant; the test metric is left behind here."""
    assert variant.val is not None
    return Candidate(
        name=variant.name,
        val=variant.val.mean,
        sd=variant.val.sd,
        seeds=variant.val.n,
        tied=tie is not None and tie.tied,
        tie_reason=tie.reason if tie else "",
        blocking=tuple(finding.message for finding in variant.blocking),
        fused_layers=variant.fused_layers,
        parameters=variant.parameters,
    )


def _search(collection: Collection) -> list[str]:
    """What an adaptive search decided, and what it cost against training every point in full."""
    plan, directory = collection.manifest.search, collection.directory
    if plan is None:
        return []
    lines = search_lines(directory, plan, list(dict.fromkeys(run.variant for run in collection.manifest.runs)))
    if points := [len(page.seen) for page in pages(directory)]:
        share = f"{cost(plan, points):.0%} of every point with {plural(plan.seeds, 'seed')} and the full budget"
        lines.append(f"cost of the rounds that are decided: {share}; who left was not trained in full")
    return lines


def _findings(collection: Collection, ranked: Sequence[Variant]) -> list[Finding]:
    """About all variants together."""
    manifest = collection.manifest
    values = [variant.val.mean for variant in ranked if variant.val]
    known = [run.record.mean_predictor for run in collection.runs if run.record.mean_predictor is not None]
    findings = alike_findings(values, manifest.thresholds)
    if ranked and manifest.select.metric == "val_mae" and known:
        findings += weak_findings(values, sum(known) / len(known), manifest.thresholds, ranked[0].params)
    return findings


def _notes(collection: Collection) -> list[str]:
    notes, runs = [], collection.runs
    if not collection.manifest.runs:
        notes.append("the manifest names no run")
    elif not collection.directory.runs.is_dir():
        notes.append("no run has started: there is no runs/ directory")
    if collection.unplanned:
        folders = "1 directory" if len(collection.unplanned) == 1 else f"{len(collection.unplanned)} directories"
        notes.append(f"{folders} under runs/ not in the manifest, left out: {listed(collection.unplanned, 3)}")
    counts = Counter(note for run in runs for note in run.record.notes)
    for note, count in counts.items():
        first = next(run.run_id for run in runs if note in run.record.notes)
        notes.append(note if count == len(runs) else f"{note} ({plural(count, 'run')}, {first} first)")
    troubled = [f"{run.run_id}: {problem}" for run in runs for problem in run.record.problems]
    notes += troubled[:10]
    if len(troubled) > 10:
        notes.append(f"{plural(len(troubled) - 10, 'more unreadable file')}")
    return notes

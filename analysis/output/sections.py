"""What a summary says below its table, as values: every output takes its sections from here and formats them itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.formatting import listed, plural, significant
from analysis.rank.comparison import shown_lines
from analysis.rank.summary import Summary
from runner.files import as_number
from runner.health.findings import LEVELS, Finding
from runner.health.quantities import grouped, shown_together
from runner.rundir.result import cost_line

LISTED = 20  # runs or flags named one by one
COUNTED = {"blocking": "blocking", "warning": "with warnings"}
NAMED = 5  # variants named in one line


@dataclass(frozen=True)
class Line:
    """One thing that is said."""

    text: str
    level: str = ""  # of a finding: info, warning or blocking
    advice: str = ""  # what to do
    command: str = ""  # to be copied

    def __str__(self) -> str:
        return f"{self.level}{': ' * bool(self.level)}{self.text}" + (f" → {self.advice}" if self.advice else "")


@dataclass(frozen=True)
class Section:
    """Lines below one title."""

    name: str
    title: str
    lines: Sequence[Line]
    caution: str = ""  # the same in a few words, where it bears on the choice
    numbered: bool = False


def sections(summary: Summary, verbose: bool = False) -> list[Section]:
    """Every section that has something to say; with `verbose` what health says for information too."""
    named, unfinished = summary.collection.manifest.baseline, summary.unfinished
    count = f"{len(unfinished)} of {len(summary.collection.runs)} runs"
    cost = cost_line(run.result.cost for run in summary.collection.runs)
    notes = [*map(Line, summary.notes)]
    one_seed = summary.choice is not None and summary.choice.one_seed
    left = sum("dropped" in variant.states for variant in summary.variants)
    ended = f"{left} of {plural(len(summary.variants), 'variant')} left the search early" if left else ""
    every = [
        Section("choice", "Choice", choice(summary), "one seed: its noise is unknown" if one_seed else ""),
        Section("unfinished", f"Not completed ({count})", _unfinished(summary), f"{count} not completed"),
        Section("flags", "Read these ranks with care", flags(summary), _unequal(summary)),
        Section("health", "Health", health(summary, verbose), _levels(summary)),
        Section("baseline", f"Against the baseline {named}" if named else "Baseline", _baseline(summary)),
        Section("goal", "Your goal", goal(summary)),
        Section("search", "Search", [*map(Line, summary.search)], ended),
        Section("weights", "Weights of the loss", _weights(summary)),
        Section("promoted", f"To promote ({len(summary.promoted)})", [*map(Line, summary.promoted)], numbered=True),
        Section("cost", "Cost", [Line(cost)] if cost else []),
        Section("next", "Next", [Line(step.purpose, command=step.command) for step in summary.steps]),
        Section("notes", "Notes", notes, f"{plural(len(notes), 'note')}: {notes[0].text}" if notes else ""),
    ]
    return [section for section in every if section.lines]


def choice(summary: Summary) -> list[Line]:
    """The choice in plain words; why there is none, where there is none."""
    if summary.choice is None:
        metric = summary.collection.manifest.select.metric
        return [Line(f"No run has completed with {metric}: nothing to choose from yet.")]
    sentences = []
    any_complete = any(variant.complete for variant in summary.variants)
    if summary.provisional:
        missing = f"runs are missing of variants that could still win ({listed(summary.waiting, NAMED, '; ')})"
        sentences.append(f"Provisional: {missing if any_complete else 'no variant has all its seeds yet'}.")
    sentences += summary.choice.reasons
    out = [
        variant.name
        for variant in summary.variants
        if not variant.complete and variant.name not in summary.waiting and "dropped" not in variant.states
    ]
    if out and any_complete:
        sentences.append(f"Not considered, because seeds are missing: {listed(out, NAMED, '; ')}.")
    if unequal := _unequal(summary):
        sentences.append(f"Read with care: the runs compared here are {unequal}.")
    if len(summary.variants) == 1:
        sentences.append("There is only one variant, so nothing was compared.")
    return [*map(Line, sentences)]


def _unequal(summary: Summary) -> str:
    """In what the runs that took part in the choice are unequal; blank where in nothing."""
    chosen = summary.choice
    compared = {chosen.variant, chosen.best, *chosen.tie_set} if chosen else set()
    flags = (flag for variant in summary.variants if variant.name in compared for flag in variant.flags)
    kinds = dict.fromkeys(flag.kind.replace("_", "-") for flag in flags if flag.unequal)
    return f"unequal in {', '.join(kinds)}" if kinds else ""


def _first(lines: list[Line]) -> list[Line]:
    """So many as have room."""
    more = len(lines) - LISTED
    return [*lines[:LISTED], Line(f"… and {more} more")] if more > 0 else lines


def _unfinished(summary: Summary) -> list[Line]:
    """One line for each run that has no result."""
    lines = []
    for run in summary.unfinished:
        failure = run.record.failure or {} if run.state == "failed" else {}
        epoch = f"epoch {run.record.epoch}" if run.record.epoch else ""
        state = "completed without the metric" if run.state == "completed" else run.state
        parts = (run.run_id, state, failure.get("kind"), epoch, failure.get("message"))
        lines.append(Line("  ".join(part for part in parts if part)))
    return _first(lines)


def flags(summary: Summary) -> list[Line]:
    """What makes a variant unequal to the others, the same of several on one line; it never moves a rank."""
    shared: dict[tuple[str, str], list[str]] = {}
    for variant in summary.variants:
        for flag in variant.flags:
            if flag.kind != "unfinished":  # these runs are listed one by one
                shared.setdefault((flag.message, flag.advice), []).append(variant.name)
    lines = []
    for (message, advice), names in shared.items():
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        lines.append(Line(f"{'; '.join(names[:NAMED])}{more}: {message}", advice=advice))
    return _first(lines)


def health(summary: Summary, verbose: bool = False) -> list[Line]:
    """Warnings and blocking findings, those that several variants share on one line; with `verbose` information too."""
    shared: dict[tuple[str, str], dict[str, Finding]] = {}
    for variant in summary.variants:
        for finding in variant.findings:
            if verbose or finding.level != "info":
                shared.setdefault((finding.level, finding.rule), {}).setdefault(variant.name, finding)
    lines = [Line(finding.message, finding.level, _advice(finding)) for finding in summary.findings]
    for (level, _), by_variant in sorted(shared.items(), key=lambda item: -LEVELS.index(item[0][0])):
        name, first = next(iter(by_variant.items()))
        layer = f" layer {first.layer}" if first.layer else ""
        others = f" [and {plural(len(by_variant) - 1, 'other variant')}]" if len(by_variant) > 1 else ""
        lines.append(Line(f"{name}{layer}: {first.message}{others}", level, _advice(first)))
    return lines


def _advice(finding: Finding) -> str:
    """What to do; what stands below a layer's verdict waits until that is settled."""
    return finding.advice if finding.below is None else f"after {finding.below}"


def _levels(summary: Summary) -> str:
    """`health: 2 blocking, 3 with warnings`, of variants; blank where all are healthy."""
    words = Counter(variant.health for variant in summary.variants)
    counts = [f"{words[level]} {shown}" for level, shown in COUNTED.items() if words[level]]
    return f"health: {', '.join(counts)}" if counts else ""


def _baseline(summary: Summary) -> list[Line]:
    """The choice, the best and what is beyond the noise against the baseline; what could have been seen at all."""
    sentences = [summary.baseline_note] * bool(summary.baseline_note)
    if summary.choice is not None:
        if summary.choice.variant == summary.collection.manifest.baseline:
            sentences.append("the choice is the baseline itself")
        sentences += shown_lines(summary.baseline, summary.choice)
    if summary.visible_effect is not None:
        half = f"{100 * summary.visible_effect:.1f} %"
        sentences.append(f"smallest visible effect: {half}, the median half-width of the 95 % intervals")
    return [*map(Line, sentences)]


def goal(summary: Summary) -> list[Line]:
    """How the choice stands to the user's own `target_mae`. Shown, never used for choosing."""
    manifest = summary.collection.manifest
    if not manifest.target_mae or summary.choice is None:
        return []
    variant = summary.variant(summary.choice.variant)
    value = variant.test or variant.val
    assert value is not None  # it was ranked
    name = manifest.select.test_metric if variant.test else manifest.select.metric
    borders: dict[str, float] = {
        word: manifest.target_mae[word] for word in ("good", "acceptable") if word in manifest.target_mae
    }
    reached = next((word for word, border in borders.items() if value.mean <= border), "")
    wanted = ", ".join(f"{word} {border:g}" for word, border in borders.items())
    verdict = f"{reached} (at most {borders[reached]:g})" if reached else f"not reached: {wanted}"
    line = f"target_mae: {variant.name} has {name} {significant(value.mean)}: {verdict}; shown, not used for choosing"
    if reached == "good":
        return [Line(line, advice="go on with the next stage, or with the full training")]
    train = variant.params.get("train")
    epochs = as_number(train.get("epochs")) if isinstance(train, Mapping) else None
    longer = f"train.epochs: {2 * epochs:g}" if epochs else "more epochs"
    purpose = "for a good one" if reached else "first"
    return [Line(line, advice=f"{purpose} {longer} and more items; then other learning rates")]


def _weights(summary: Summary) -> list[Line]:
    """The verdict on a search over loss weights, how long its runs were, and what the best makes of its modalities."""
    if summary.weights is None:
        return []
    early, done, epochs = summary.effort
    share = f"{early / done:.0%}" if done else "none"
    stopped = f"stopped early: {early} of {done} runs ({share}); {epochs:,} epochs in all"
    sentences = [*summary.weights.sentences, stopped]
    chosen = summary.variant(summary.choice.variant) if summary.choice else None
    if chosen:
        groups = grouped(item for item in summary.collection.manifest.thresholds.quantities if item.column)
        shown = {stem: shown_together(items, chosen.quantities) for stem, items in groups.items()}
        sentences += [f"{stem} of {chosen.name}: {text}" for stem, text in shown.items() if text]
    return [*map(Line, sentences)]

"""A summary for people at a terminal: the ranked table and what stands below it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from analysis.formatting import axis_value, mean_with_sd, minutes, parameter_count, plural, significant
from analysis.rank.baseline import shown_lines
from analysis.rank.ranking import Variant
from analysis.rank.statistics import MeanSd
from analysis.rank.summary import Summary
from runner.files import as_number
from runner.health.findings import LEVELS, Finding
from runner.health.quantities import Quantity, grouped, shown_together
from runner.health.thresholds import Thresholds

ROWS = 50  # variants shown
AXIS = 1  # how much the column of an axis is worth keeping: the name of the variant says its values too
RUNS = 20  # unfinished runs shown
STYLES = {"ok": "green", "warning": "yellow", "blocking": "red"}


@dataclass(frozen=True)
class Column:
    """One column of the ranked table."""

    title: str
    cell: Callable[[Variant], str]
    keep: int  # columns with the lowest number are left out first where the terminal is narrow
    right: bool = True
    folds: bool = False  # at a comma, where its cells are long

    def shown(self, variant: Variant) -> str:
        """The cell as a narrow table has it."""
        return self.cell(variant).replace(", ", ",\n") if self.folds else self.cell(variant)

    def widest(self, cells: Sequence[str]) -> int:
        """Terminal columns that it needs at least."""
        pieces = [piece for cell in cells for piece in (cell.split(", ") if self.folds else [cell])]
        return max(cell_len(piece) + (self.folds and 1) for piece in [self.title, *pieces])


def over_seeds(value: MeanSd | None) -> str:
    """`0.0941 ± 0.0040`; blank for none."""
    return mean_with_sd(value.mean, value.sd) if value else ""


def columns(summary: Summary) -> list[Column]:
    """All columns, in order."""
    manifest = summary.collection.manifest
    select, t = manifest.select, manifest.thresholds

    def of_layer(name: str) -> Callable[[Variant], str]:
        def cell(variant: Variant) -> str:
            judged = variant.judged_layer(t)
            return significant(judged[1].get(name), 3) if judged else ""

        return cell

    def ratio(variant: Variant) -> str:
        judged = variant.judged_layer(t)
        return significant(judged[2], 3) if judged else ""

    def axis(name: str) -> Callable[[Variant], str]:
        return lambda variant: axis_value(variant.axes.get(name))

    def seeds(variant: Variant) -> str:
        return str(len(variant.scored)) if variant.complete else f"{len(variant.scored)}/{len(variant.runs)}"

    return [
        Column("#", lambda variant: str(variant.rank or "–"), 99),
        Column("variant", lambda variant: variant.name, 99, right=False),
        *(Column(name.rsplit(".", 1)[-1], axis(name), AXIS, right=False) for name in manifest.axes),
        Column("seeds", seeds, 90),
        Column(select.metric, lambda variant: over_seeds(variant.val), 98),
        Column("flags", lambda variant: ", ".join(flag.mark for flag in variant.flags), 91, right=False, folds=True),
        Column(f"{select.test_metric} †", lambda variant: over_seeds(variant.test), 80),
        Column("w_graph", of_layer("w_graph"), 4),
        Column("w_text", of_layer("w_text"), 4),
        Column("ratio", ratio, 70),
        Column("contribution", of_layer("contribution_ratio"), 3),
        Column("reliance", reliance, 69),
        Column("band", lambda variant: variant.band(t), 60, right=False),
        *(Column(stem, declared(each), 61, right=not each[0].group) for stem, each in shown_groups(t).items()),
        Column("health", lambda variant: variant.health, 95, right=False),
        Column("parameters", lambda variant: parameter_count(variant.parameters), 62),
        *cost_columns(summary),
    ]


def shown_groups(t: Thresholds) -> dict[str, list[Quantity]]:
    """Title → the declared quantities of a column."""
    return grouped(each for each in t.quantities if each.column)


def declared(quantities: list[Quantity]) -> Callable[[Variant], str]:
    """The cell of a column of declared quantities."""
    return lambda variant: shown_together(quantities, variant.quantities)


def reliance(variant: Variant) -> str:
    """`12 %`: how much worse validation is with shuffled texts; blank where that was not measured."""
    value = variant.reliance
    return "" if value is None else f"{100 * value:.{1 if abs(value) < 0.1 else 0}f} %"


def cost_columns(summary: Summary) -> list[Column]:
    """What a run costs: minutes of the GPUs that it held, or of the clock where none held any."""
    if any(variant.gpus for variant in summary.variants):
        return [Column("GPU minutes", lambda variant: significant(variant.gpu_minutes, 3), 63)]
    return [Column("minutes", lambda variant: minutes(variant.seconds), 63)]


def fitting(found: list[Column], variants: list[Variant], width: int) -> tuple[list[Column], list[Column]]:
    """Columns that fit into `width`, and those left out; empty columns are left out without a word."""
    cells = {id(column): [column.cell(variant) for variant in variants] for column in found}
    kept = [column for column in found if any(cells[id(column)]) or column.keep >= 95]
    dropped: list[Column] = []

    def needed() -> int:
        widths = (column.widest(cells[id(column)]) for column in kept)
        return sum(value + 2 for value in widths)

    while needed() > width and min(column.keep for column in kept) < 90:
        lowest = min(column.keep for column in kept)
        out = [column for column in kept if column.keep == lowest]
        kept = [column for column in kept if column.keep != lowest]
        dropped += out
    return kept, dropped


def show(summary: Summary, console: Console, verbose: bool = False) -> None:
    """Print the summary; with `verbose` what health says for information too."""
    manifest = summary.collection.manifest
    states = ", ".join(f"{count} {state}" for state, count in summary.states.most_common())
    shown = list(summary.variants[:ROWS])
    counts = f"{plural(len(summary.variants), 'variant')}, {plural(len(summary.collection.runs), 'run')}"
    console.print(Text(f"{manifest.experiment}: {counts}" + (f" ({states})" if states else "")))
    if shown:
        _print_table(summary, shown, console)
    for title, lines in sections(summary, verbose):
        console.print()
        console.print(Text(title, style="bold"))
        for line in lines:
            _print_line(line, console)


def _print_line(line: str, console: Console) -> None:
    """A line below its title; a command stays on one line, so that it can be copied."""
    if line.startswith("$ "):
        console.print(Text("  " + line), soft_wrap=True, overflow="ignore")
        return
    for number, piece in enumerate(Text(line).wrap(console, max(20, console.width - 4))):
        piece.rstrip()
        console.print(Text("    " if number else "  ") + piece)


def _print_table(summary: Summary, shown: list[Variant], console: Console) -> None:
    kept, dropped = fitting(columns(summary), shown, console.width)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in kept:
        whole = not column.folds and column.title != "variant"
        justify: JustifyMethod = "right" if column.right else "left"
        table.add_column(Text(column.title), justify=justify, overflow="fold", no_wrap=whole)
    chosen = summary.choice.variant if summary.choice else None
    for variant in shown:
        cells = [Text(column.shown(variant)) for column in kept]
        for column, cell in zip(kept, cells, strict=True):
            if column.title == "health":
                cell.stylize(STYLES.get(variant.health, ""))
        table.add_row(*cells, style="bold" if variant.name == chosen else None)
    console.print(table)
    remarks = ["† the test split is shown, it takes no part in the choice"]
    if len(summary.variants) > ROWS:
        remarks.append(f"{len(summary.variants) - ROWS} more variants are in results_summary.csv")
    if dropped:
        names = ", ".join(column.title for column in dropped)
        remarks.append(f"left out at {console.width} columns: {names} (all are in results_summary.csv)")
    if any(len(variant.fusion) > 1 for variant in shown):
        remarks.append("weights and ratio are of the fused layer farthest from the healthy band")
    for remark in remarks:
        console.print(Text(remark, style="dim"))


def sections(summary: Summary, verbose: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Title and lines of everything below the table."""
    if summary.unfinished:
        yield f"Not completed ({len(summary.unfinished)} of {len(summary.collection.runs)} runs)", unfinished(summary)
    flagged = flag_lines(summary)
    if flagged:
        yield "Read these ranks with care", flagged
    found = findings(summary, verbose)
    if found:
        yield "Health", found
    named = summary.collection.manifest.baseline
    yield f"Against the baseline {named}" if named else "Baseline", baseline_lines(summary)
    goal = goal_line(summary)
    if goal:
        yield "Your goal", [goal]
    if summary.weights:
        yield "Weights of the loss", weight_lines(summary)
    yield "Choice", choice_lines(summary)
    if summary.promoted:
        numbered = [f"{number}. {name}" for number, name in enumerate(summary.promoted, 1)]
        yield f"To promote ({len(numbered)})", numbered
    if summary.steps:
        yield "Next", [line for step in summary.steps for line in (f"{step.purpose}:", f"$ {step.command}")]
    if summary.notes:
        yield "Notes", list(summary.notes)


def unfinished(summary: Summary) -> list[str]:
    """A line a run that has no result."""
    lines = []
    for run in summary.unfinished[:RUNS]:
        failure = run.record.failure or {}
        epoch = f"epoch {run.record.epoch}" if run.record.epoch else ""
        kind = failure.get("kind", "") if run.state == "failed" else ""
        state = "completed without the metric" if run.state == "completed" else run.state
        message = failure.get("message", "") if run.state == "failed" else ""
        lines.append("  ".join(part for part in (run.run_id, state, kind, epoch, message) if part))
    if len(summary.unfinished) > RUNS:
        lines.append(f"… and {len(summary.unfinished) - RUNS} more")
    return lines


def flag_lines(summary: Summary) -> list[str]:
    """What makes a variant unequal to the others, the same of several on one line; it never moves a rank."""
    shared: dict[tuple[str, str, str], list[str]] = {}
    for variant in summary.variants:
        for flag in variant.flags:
            if flag.kind != "unfinished":  # these runs are listed one by one
                shared.setdefault((flag.kind, flag.message, flag.advice), []).append(variant.name)
    lines = []
    for (_, message, what), names in list(shared.items())[:RUNS]:
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        lines.append(f"{'; '.join(names[:5])}{more}: {message}" + (f" → {what}" if what else ""))
    return lines + ([f"… and {len(shared) - RUNS} more"] if len(shared) > RUNS else [])


def findings(summary: Summary, verbose: bool = False) -> list[str]:
    """Warnings and blocking findings, those that several variants share on one line; with `verbose` information too."""
    shared: dict[tuple[str, str], list[tuple[str, Finding]]] = {}
    for variant in summary.variants:
        for finding in variant.findings:
            if verbose or finding.level != "info":
                shared.setdefault((finding.level, finding.rule), []).append((variant.name, finding))
    lines = [finding_line(finding) for finding in summary.findings]
    for (level, _), found in sorted(shared.items(), key=lambda item: -LEVELS.index(item[1][0][1].level)):
        name, first = found[0]
        where = f"{name}{f' layer {first.layer}' if first.layer else ''}"
        others = len({variant for variant, _ in found}) - 1
        more = f" [and {plural(others, 'other variant')}]" if others else ""
        lines.append(f"{level}: {where}: {first.message}{more}{advice(first)}")
    return lines


def finding_line(finding: Finding) -> str:
    return f"{finding.level}: {finding.message}{advice(finding)}"


def advice(finding: Finding) -> str:
    """What to do; what stands below a layer's verdict waits until that is settled."""
    if finding.below is not None:
        return f" → after {finding.below}"
    return f" → {finding.advice}" if finding.advice else ""


def weight_lines(summary: Summary) -> list[str]:
    """The verdict on a search over loss weights, how long its runs were, and what the best makes of its modalities."""
    assert summary.weights is not None
    done = [run.record for run in summary.collection.runs if run.record.completed]
    early, epochs = sum(record.stopped_early for record in done), sum(record.epochs or 0 for record in done)
    share = f"{early / len(done):.0%}"
    lines = [
        *summary.weights.sentences,
        f"stopped early: {early} of {len(done)} runs ({share}); {epochs:,} epochs in all",
    ]
    chosen = summary.variant(summary.choice.variant) if summary.choice else None
    if chosen is not None:
        for stem, quantities in shown_groups(summary.collection.manifest.thresholds).items():
            text = shown_together(quantities, chosen.quantities)
            lines += [f"{stem} of {chosen.name}: {text}"] if text else []
    return lines


def baseline_lines(summary: Summary) -> list[str]:
    """The choice, the best and what is beyond the noise against the baseline; what could have been seen at all."""
    lines = [summary.baseline_note] * bool(summary.baseline_note)
    if summary.choice is not None:
        if summary.choice.variant == summary.collection.manifest.baseline:
            lines.append("the choice is the baseline itself")
        lines += shown_lines(summary.baseline, summary.choice)
    if summary.visible_effect is not None:
        half = f"{100 * summary.visible_effect:.1f} %"
        lines.append(f"smallest visible effect: {half}, the median half-width of the 95 % intervals")
    return lines


def goal_line(summary: Summary) -> str:
    """How the choice stands to the user's own `target_mae`; empty without one. Shown, never used for choosing."""
    manifest = summary.collection.manifest
    if not manifest.target_mae or summary.choice is None:
        return ""
    variant = summary.variant(summary.choice.variant)
    value = variant.test or variant.val
    assert value is not None  # it was ranked
    name = manifest.select.test_metric if variant.test else manifest.select.metric
    borders = [(word, manifest.target_mae[word]) for word in ("good", "acceptable") if word in manifest.target_mae]
    reached = next((f"{word} (at most {border:g})" for word, border in borders if value.mean <= border), None)
    wanted = ", ".join(f"{word} {border:g}" for word, border in borders)
    verdict = reached or f"not reached: {wanted}"
    line = f"target_mae: {variant.name} has {name} {significant(value.mean)}: {verdict}; shown, not used for choosing"
    return line + _after_goal(summary, None if reached is None else reached.split()[0])


def _after_goal(summary: Summary, reached: str | None) -> str:
    """What to do after the goal was looked at: go on where it is good, else train more."""
    if reached == "good":
        return " → go on with the next stage, or with the full training"
    chosen = summary.variant(summary.choice.variant) if summary.choice else None
    train = chosen.params.get("train") if chosen else None
    epochs = as_number(train.get("epochs")) if isinstance(train, Mapping) else None
    longer = f"train.epochs: {2 * epochs:g}" if epochs else "more epochs"
    return f" → {'for a good one' if reached else 'first'} {longer} and more items; then other learning rates"


def _provisional_because(summary: Summary) -> str:
    if not any(variant.complete for variant in summary.variants):
        return "no variant has all its seeds yet"
    return f"runs are missing of variants that could still win ({_some(summary.waiting)})"


def _some(names: Sequence[str]) -> str:
    return "; ".join(names[:5]) + ("; …" if len(names) > 5 else "")


def choice_lines(summary: Summary) -> list[str]:
    """The choice in plain words; why there is none, where there is none."""
    metric = summary.collection.manifest.select.metric
    if summary.choice is None:
        return [f"No run has completed with {metric}: nothing to choose from yet."]
    lines = []
    if summary.provisional:
        lines.append(f"Provisional: {_provisional_because(summary)}.")
    lines.append(summary.choice.reason)
    out = [variant.name for variant in summary.variants if not variant.complete and variant.name not in summary.waiting]
    if out and any(variant.complete for variant in summary.variants):
        lines.append(f"Not considered, because seeds are missing: {_some(out)}.")
    compared = {summary.choice.variant, summary.choice.best, *summary.choice.tie_set}
    unequal = dict.fromkeys(
        flag.kind.replace("_", "-")
        for variant in summary.variants
        if variant.name in compared
        for flag in variant.flags
        if flag.unequal
    )
    if unequal:
        lines.append(f"Read with care: the runs compared here are unequal in {', '.join(unequal)}.")
    if len(summary.variants) == 1:
        lines.append("There is only one variant, so nothing was compared.")
    return lines

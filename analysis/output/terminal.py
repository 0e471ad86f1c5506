"""A summary for people at a terminal: ten lines with the answer, or everything."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.formatting import plural, shortened
from analysis.output.columns import Column, Where, filled
from analysis.output.sections import Line, Section, sections
from analysis.rank.ranking import Variant
from analysis.rank.summary import Summary

MOST = 50  # variants in the table
SHORT = 15  # lines of the short form, and 4 of them are the heading, what is left out, the cautions, the report
FEWEST = 3  # variants in it
NARROWEST = 95  # importance from which a column stays however narrow the terminal is
LONGEST_NAME = 40  # of a variant in the short form
GAP = 2  # columns between two
STYLES = {"ok": "green", "warning": "yellow", "blocking": "red"}


def show(summary: Summary, console: Console, everything: bool = False, verbose: bool = False) -> None:
    """Print the verdict, the table, cautions and the next command; or the whole table and all sections."""
    parts = {section.name: section for section in sections(summary, verbose)}
    head = f"{summary.collection.manifest.experiment}: {counts(summary)}"
    if everything:
        console.print(Text(head))
        _show_all(summary, [*parts.values()], console)
        return
    verdict = [line.text for line in parts["choice"].lines]
    answer = Text(f"{head}. {' '.join(verdict[: 1 + summary.provisional])}")
    command = f"next: {summary.steps[0].command}" if summary.steps else ""
    console.print(answer)
    taken = len(answer.wrap(console, console.width)) + -(-cell_len(command) // console.width)
    if shown := _few(summary, max(FEWEST, SHORT - 4 - taken)):
        dropped = print_variants(summary, shown, console, short=True)
        rest = {"variant": len(summary.variants) - len(shown), "column": len(dropped)}
        more = [plural(count, f"more {noun}") for noun, count in rest.items() if count]
        test = "" if any("†" in column.heading for column in dropped) else "; † is shown, not used for choosing"
        console.print(_cut(f"{', '.join([*more, 'reasons and findings'])}: --all{test}", console), style="dim")
    if cautions := "; ".join(section.caution for section in parts.values() if section.caution):
        console.print(_cut(f"caution: {cautions}", console), style="yellow")
    if command:
        print_line(command, console)


def counts(summary: Summary) -> str:
    """`6 variants, 18 runs (18 completed)`."""
    states = ", ".join(f"{count} {state}" for state, count in summary.states.most_common())
    count = f"{plural(len(summary.variants), 'variant')}, {plural(len(summary.collection.runs), 'run')}"
    return f"{count} ({states})" if states else count


def _few(summary: Summary, most: int) -> list[Variant]:
    """The first of the ranking, with the choice and the baseline among them."""
    wanted = {summary.collection.manifest.baseline, summary.choice and summary.choice.variant}
    apart = [variant for variant in summary.variants[most:] if variant.name in wanted]
    return [*summary.variants[: most - len(apart)], *apart]


def _cut(text: str, console: Console) -> Text:
    """On one line."""
    line = Text(text, overflow="ellipsis", no_wrap=True)
    line.truncate(console.width, overflow="ellipsis")
    return line


def _show_all(summary: Summary, parts: Sequence[Section], console: Console) -> None:
    if shown := list(summary.variants[:MOST]):
        dropped = print_variants(summary, shown, console)
        remarks = ["† the test split is shown, it takes no part in the choice"]
        if len(summary.variants) > MOST:
            remarks.append(f"{len(summary.variants) - MOST} more variants are in results_summary.csv")
        if dropped:
            names = ", ".join(column.heading for column in dropped)
            remarks.append(f"left out at {console.width} columns: {names} (all are in results_summary.csv)")
        if any(len(variant.fusion) > 1 for variant in shown):
            remarks.append("weights and ratio are of the fused layer farthest from the healthy band")
        for remark in remarks:
            console.print(Text(remark, style="dim"))
    for section in parts:
        console.print()
        console.print(Text(section.title, style="bold"))
        for number, line in enumerate(section.lines, 1):
            _print_section_line(line, f"{number}. " if section.numbered else "", console)


def _print_section_line(line: Line, number: str, console: Console) -> None:
    """A line below its title; a command has one of its own, so that it can be copied."""
    text = Text(f"{number}{line}{':' if line.command else ''}", style=STYLES.get(line.level, ""))
    for place, piece in enumerate(text.wrap(console, max(20, console.width - 4))):
        piece.rstrip()
        console.print(Text("    " if place else "  ") + piece)
    if line.command:
        print_line(f"  $ {line.command}", console)


def print_line(text: str, console: Console) -> None:
    """A line that is never broken."""
    console.print(Text(text), soft_wrap=True, overflow="ignore")


def print_variants(summary: Summary, shown: Sequence[Variant], console: Console, short: bool = False) -> list[Column]:
    """The ranked table, the most important columns first; returns those that had no room.

    short: each variant on one line, its name cut in the middle where it is long.
    """
    every = sorted(filled(summary, Where.PEOPLE, shown), key=lambda column: -column.importance)
    cells = {column.name: [_folded(column, column.cell(variant), short) for variant in shown] for column in every}
    if short:
        cells["variant"] = shortened(cells["variant"], min(LONGEST_NAME, console.width // 3))
    widths = accumulate(_width(column, cells[column.name]) + GAP for column in every)
    room = [width - GAP <= console.width for width in widths]
    kept = [column for column, fits in zip(every, room, strict=True) if fits or column.importance >= NARROWEST]
    table = new_table()
    for column in kept:
        whole = not column.folds and column.name != "variant"
        justify = "right" if column.right else "left"
        table.add_column(Text(column.heading), justify=justify, overflow="fold", no_wrap=whole)  # type: ignore[arg-type]
    chosen = summary.choice.variant if summary.choice else None
    for row, variant in enumerate(shown):
        colour = STYLES.get(variant.health, "")
        texts = [Text(cells[column.name][row], colour if column.name == "health" else "") for column in kept]
        table.add_row(*texts, style="bold" if variant.name == chosen else None)
    console.print(table)
    return every[len(kept) :]


def new_table() -> Table:
    """An empty table in the look of all tables of results."""
    return Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")


def _folded(column: Column, text: str, short: bool) -> str:
    """The cell as a narrow table has it."""
    return text.replace(", ", ",\n") if column.folds and not short else text


def _width(column: Column, cells: Sequence[str]) -> int:
    """Terminal columns that it needs at least."""
    return max(map(cell_len, "\n".join([column.heading, *cells]).split("\n")))

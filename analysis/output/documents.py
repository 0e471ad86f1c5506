"""The summary as documents: summary.md, and summary.tex with the ranked table for a paper."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from analysis.formatting import plural
from analysis.output.columns import Where, filled
from analysis.output.sections import Line, sections
from analysis.rank.summary import Summary
from runner.terminal import one_line

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--", "†": r"$\dagger$",
}  # fmt: skip


def when(summary: Summary) -> str:
    return datetime.fromtimestamp(summary.moment, UTC).strftime("%Y-%m-%d %H:%M UTC")


def to_markdown(summary: Summary) -> str:
    """The ranked table with every column that holds something, and the sections below it."""
    counts = f"{plural(len(summary.variants), 'variant')}, {plural(len(summary.collection.runs), 'run')}"
    lines = [
        f"# {in_markdown(summary.collection.manifest.experiment)}",
        "",
        f"{counts}; written {when(summary)} by `analysis summarize`.",
        "",
    ]
    if summary.variants:
        shown = filled(summary, Where.PEOPLE, summary.variants)
        lines.append(_row([column.heading for column in shown]))
        lines.append("|" + "|".join("--:" if column.right else ":--" for column in shown) + "|")
        lines += [_row([column.cell(variant) for column in shown]) for variant in summary.variants]
        lines += ["", "† The test split is shown; it takes no part in the choice."]
    for section in sections(summary):
        lines += ["", f"## {in_markdown(section.title)}", ""]
        lines += [f"{f'{n}.' if section.numbered else '-'} {_item(line)}" for n, line in enumerate(section.lines, 1)]
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(map(in_markdown, cells)) + " |"


def in_markdown(text: str) -> str:
    """Text as Markdown shows it, on one line: no links, HTML, code or cells of its own."""
    return re.sub(r"[\\`*<>|&~]|\](?=[(\[:])", r"\\\g<0>", one_line(text))


def _item(line: Line) -> str:
    """A line; a command as code, whatever backticks it holds."""
    if not line.command:
        return in_markdown(str(line))
    fence = "`" * (1 + max(map(len, re.findall("`+", line.command)), default=0))
    space = " " if len(fence) > 1 else ""
    return f"{in_markdown(str(line))}: {fence}{space}{one_line(line.command)}{space}{fence}"


def to_latex(summary: Summary) -> str:
    """A tabular of the variants that have a metric; the chosen one in bold. Needs the package booktabs."""
    variants = [variant for variant in summary.variants if variant.val]
    shown = filled(summary, Where.PAPER, variants)
    chosen = summary.choice.variant if summary.choice else None
    rows = []
    for variant in variants:
        cells = [in_latex(column.cell(variant)) for column in shown]
        rows.append([rf"\textbf{{{cell}}}" if cell and variant.name == chosen else cell for cell in cells])
    name = one_line(summary.collection.manifest.experiment)
    return "\n".join([
        f"% {name}; made by `analysis summarize`. Needs \\usepackage{{booktabs}}.",
        rf"\begin{{tabular}}{{{''.join('r' if column.right else 'l' for column in shown)}}}",
        r"\toprule",
        " & ".join(in_latex(column.heading) for column in shown) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        *(f"% {one_line(f'{variant.name}: {flag.message}')}" for variant in variants for flag in variant.flags),
        r"\bottomrule",
        r"\end{tabular}",
        "",
    ])  # fmt: skip


def in_latex(text: str) -> str:
    """Text as LaTeX prints it, on one line."""
    return "".join(LATEX.get(character, character) for character in one_line(text))

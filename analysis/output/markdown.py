"""summary.md: the summary as a Markdown document."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from analysis.formatting import plural
from analysis.output.summary_table import columns, sections
from analysis.rank.summary import Summary
from runner.terminal import one_line


def to_markdown(summary: Summary) -> str:
    """The ranked table with every column that holds something, and the sections below it."""
    manifest = summary.collection.manifest
    when = datetime.fromtimestamp(summary.moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
    counts = f"{plural(len(summary.variants), 'variant')}, {plural(len(summary.collection.runs), 'run')}"
    lines = [f"# {escaped(manifest.experiment)}", "", f"{counts}; written {when} by `analysis summarize`.", ""]
    shown = [column for column in columns(summary) if any(column.cell(variant) for variant in summary.variants)]
    if summary.variants:
        lines.append(_row([column.title for column in shown]))
        lines.append("|" + "|".join("--:" if column.right else ":--" for column in shown) + "|")
        lines += [_row([column.cell(variant) for column in shown]) for variant in summary.variants]
        lines += ["", "† The test split is shown; it takes no part in the choice."]
    for title, body in sections(summary):
        lines += ["", f"## {escaped(title)}", ""]
        lines += [f"- {_code(line[2:]) if line.startswith('$ ') else escaped(line)}" for line in body]
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(map(escaped, cells)) + " |"


def escaped(text: str) -> str:
    """Text as Markdown shows it, on one line: no links, HTML, code or cells of its own."""
    return re.sub(r"[\\`*<>|&~]|\](?=[(\[:])", r"\\\g<0>", one_line(text))


def _code(text: str) -> str:
    """A command as code, whatever backticks it holds."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence} {one_line(text)} {fence}" if len(fence) > 1 else f"`{one_line(text)}`"

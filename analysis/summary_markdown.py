"""summary.md: the summary as a Markdown document."""

from __future__ import annotations

from datetime import UTC, datetime

from analysis.quantities import plural
from analysis.summary import Summary
from analysis.summary_table import columns, sections


def to_markdown(summary: Summary) -> str:
    """The ranked table with every column that holds something, and the sections below it."""
    manifest = summary.collection.manifest
    when = datetime.fromtimestamp(summary.moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
    counts = f"{plural(len(summary.variants), 'variant')}, {plural(len(summary.collection.runs), 'run')}"
    lines = [f"# {manifest.experiment}", "", f"{counts}; written {when} by `analysis summarize`.", ""]
    shown = [column for column in columns(summary) if any(column.cell(variant) for variant in summary.variants)]
    if summary.variants:
        lines.append(_row([column.title for column in shown]))
        lines.append("|" + "|".join("--:" if column.right else ":--" for column in shown) + "|")
        lines += [_row([column.cell(variant) for column in shown]) for variant in summary.variants]
        lines += ["", "† The test split is shown; it takes no part in the choice."]
    for title, body in sections(summary):
        lines += ["", f"## {title}", ""]
        lines += [f"- `{line[2:]}`" if line.startswith("$ ") else f"- {line}" for line in body]
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    escaped = (cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
    return "| " + " | ".join(escaped) + " |"

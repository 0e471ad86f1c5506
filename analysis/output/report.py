"""report.html: the summary with its figures in one file that needs nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analysis.formatting import plural
from analysis.output.summary_records import to_csv
from analysis.output.summary_table import STYLES, Column, choice_lines, columns, sections
from analysis.rank.ranking import Variant
from analysis.rank.summary import Summary
from runner.files import open_text
from runner.terminal import safe

ROWS = 500  # variants in the table of the report
PACKAGE = Path(__file__).parent
SORTED_BY = {
    "parameters": "parameters",
    "minutes": "seconds",
    "GPU minutes": "gpu_minutes",
    "#": "rank",
}  # column → attribute behind its text


def report_key(summary: Summary) -> str:
    """What a report depends on: the results, the logs behind the figures, and the code that draws them."""
    digest = hashlib.sha256(to_csv(summary).encode())
    for run in summary.collection.runs:
        digest.update(f"{run.run_id} {run.state} {run.signature}\n".encode())
    for path in sorted([*PACKAGE.glob("*.py"), *PACKAGE.glob("plots/*.py"), *PACKAGE.glob("templates/*")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def is_current(path: Path, key: str) -> bool:
    """Whether the report at `path` was made from `key`."""
    try:
        with open_text(path) as file:
            return f"made from {key} " in file.read(300)
    except OSError:  # none, or none that is read: it is written anew
        return False


def to_html(summary: Summary, plots: Sequence[Any], key: str) -> str:
    """The page; `plots` are analysis.plots.figure.Plot."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(PACKAGE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        finalize=lambda value: safe(value) if type(value) is str else value,
    )
    shown = list(summary.variants[:ROWS])
    kept = [column for column in columns(summary) if any(column.cell(variant) for variant in shown)]
    kept.sort(key=lambda column: -column.keep)  # what matters most is seen first where the window is narrow
    chosen = summary.choice.variant if summary.choice else None
    rows = [
        {"chosen": variant.name == chosen, "cells": [_cell(column, variant) for column in kept]} for variant in shown
    ]
    return environment.get_template("report.html").render(
        key=key,
        title=summary.collection.manifest.experiment,
        counts=_counts(summary),
        when=datetime.fromtimestamp(summary.moment, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        choice=choice_lines(summary),
        columns=kept,
        rows=rows,
        more=max(0, len(summary.variants) - len(shown)),
        sections=[_section(title, lines) for title, lines in sections(summary, verbose=True) if title != "Choice"],
        plots=plots,
    )


def _counts(summary: Summary) -> str:
    states = ", ".join(f"{count} {state}" for state, count in summary.states.most_common())
    counts = f"{plural(len(summary.variants), 'variant')}, {plural(len(summary.collection.runs), 'run')}"
    return counts + (f" ({states})" if states else "")


def _cell(column: Column, variant: Variant) -> dict[str, Any]:
    """Text, class, and what the column is sorted by where that is not its text."""
    text = column.cell(variant)
    kind = "number" if column.right else variant.health if column.title == "health" and text in STYLES else ""
    key: Any = None
    if column.title in SORTED_BY:
        key = getattr(variant, SORTED_BY[column.title])
        key = "" if key is None else key
    elif column.right and " ± " in text:
        key = text.split(" ± ")[0]
    return {"text": text, "kind": kind, "key": key}


def _section(title: str, lines: Sequence[str]) -> dict[str, Any]:
    """Lines as lists, commands as blocks that can be copied."""
    blocks: list[dict[str, Any]] = []
    for line in lines:
        if line.startswith("$ "):
            blocks.append({"command": line[2:], "lines": []})
            continue
        if not blocks or blocks[-1]["command"]:
            blocks.append({"command": None, "lines": []})
        level = line.split(":", 1)[0]
        blocks[-1]["lines"].append({"text": line, "kind": level if level in STYLES else ""})
    plain = all(line[:1].isdigit() for line in lines)  # numbered already
    return {"title": title, "blocks": blocks, "plain": plain}

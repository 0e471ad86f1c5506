"""report.html: the summary with its figures in one file that needs nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.output.columns import Where, filled
from analysis.output.documents import when
from analysis.output.records import to_csv
from analysis.output.sections import Line, sections
from analysis.output.terminal import counts
from analysis.rank.summary import Summary
from runner.files import open_text
from runner.terminal import safe

ROWS = 500  # variants in the table of the report
PACKAGE = Path(__file__).parent


def report_key(summary: Summary) -> str:
    """What a report depends on: the results, the logs behind the figures, and the code that draws them."""
    digest = hashlib.sha256(to_csv(summary).encode())
    for run in summary.collection.runs:
        digest.update(f"{run.run_id} {run.state} {run.signature}\n".encode())
    for path in sorted([*PACKAGE.glob("*.py"), *PACKAGE.parent.glob("plots/*.py"), *PACKAGE.glob("templates/*")]):
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
        finalize=lambda value: safe(str(value)) if type(value) in (str, Line) else value,
    )
    shown = summary.variants[:ROWS]
    columns = filled(summary, Where.PEOPLE, shown)
    parts = sections(summary, verbose=True)
    return environment.get_template(
        "report.html"
    ).render(
        key=key,
        title=summary.collection.manifest.experiment,
        counts=counts(summary),
        when=when(summary),
        choice=parts[0],
        chosen=summary.choice and summary.choice.variant,
        columns=sorted(columns, key=lambda column: -column.importance),  # on a phone, what matters most is seen first
        variants=shown,
        more=len(summary.variants) - len(shown),
        sections=parts[1:],
        plots=plots,
    )

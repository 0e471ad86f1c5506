"""report.html: the summary with its figures in one file that needs nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from analysis.output.columns import Where, filled
from analysis.output.documents import when
from analysis.output.records import to_csv
from analysis.output.report_data import chips, embedded, report_data, tiles, verdict
from analysis.output.sections import Line, sections
from analysis.rank.summary import Summary
from analysis.task_definitions import FIGURES, declared_figures
from runner.files import open_text
from runner.terminal import safe

ROWS = 500  # variants in the table of the report
PACKAGE = Path(__file__).parent
TEMPLATES = PACKAGE / "templates"
BY_SCRIPT = {
    "variants",
    "learning_curves",
    *(figure.name for figure in FIGURES),
}  # beside what a task declares


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
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        finalize=lambda value: safe(str(value)) if type(value) in (str, Line) else value,
    )
    shown = summary.variants[:ROWS]
    columns = filled(summary, Where.PEOPLE, shown)
    reason, *others = sections(summary, verbose=True)
    manifest, data = summary.collection.manifest, report_data(summary)
    drawn = BY_SCRIPT | {figure.name for figure in declared_figures(manifest.thresholds)}
    return environment.get_template("report.html").render(
        key=key,
        title=manifest.experiment,
        description=manifest.description or manifest.experiment,
        task=manifest.task,
        chips=chips(summary),
        verdict=verdict(summary),
        tiles=tiles(summary),
        provisional=summary.provisional,
        reference=data["reference"],
        has_test=any(variant.test for variant in summary.variants),
        metric=manifest.select.metric,
        when=when(summary),
        version=version("array-runner"),
        choice=reason,
        columns=sorted(columns, key=lambda column: -column.importance),  # on a phone, what matters most is seen first
        variants=shown,
        more=len(summary.variants) - len(shown),
        sections=others,
        plots=[plot for plot in plots if plot.name not in drawn],
        data=embedded(data),
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        script=(TEMPLATES / "report.js").read_text(encoding="utf-8"),
    )

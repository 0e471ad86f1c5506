"""`analysis summarize`: the ranked table, health, choice, next commands; writes analysis/."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from analysis.collect.manifest import submitted_file
from analysis.commands.arguments import DEFAULT_ROOT, Experiment, FormatOption, Root, summary_of
from analysis.output.documents import to_latex, to_markdown
from analysis.output.records import as_text, search_results, to_csv, to_json
from analysis.output.report import is_current, report_key, to_html
from analysis.output.terminal import print_line, show
from analysis.output.writing import stdout_console, written
from analysis.rank.refinement import best_config
from analysis.rank.summary import Summary
from runner.errors import UserError
from runner.terminal import tell

ReportOption = Annotated[
    bool, typer.Option("--report/--no-report", help="Write report.html and figures/, when something changed.")
]
AllOption = Annotated[
    bool,
    typer.Option("--all", "-a", help="Show every variant, column and section, not only the answer and the next step."),
]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="As --all, with the health findings of level info.")
]


def command(
    experiment: Experiment = None,
    root: Root = DEFAULT_ROOT,
    format: FormatOption = "table",
    report: ReportOption = True,
    everything: AllOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Rank the variants, judge their health, choose one, and say what to do next."""
    summary = summary_of(experiment, root)
    console = stdout_console()
    if format == "json":
        sys.stdout.write(json.dumps(to_json(summary), indent=1) + "\n")
    elif format == "csv":
        sys.stdout.write(to_csv(summary))
    else:
        show(summary, console, everything or verbose, verbose)
    sys.stdout.flush()  # before the files: a pipe sees the result at once
    save(summary, report)
    if report and format == "table":
        print_line(f"report: {summary.collection.directory.report}", console)
    else:
        tell(f"wrote {summary.collection.directory.analysis}")


def save(summary: Summary, report: bool = True) -> None:
    """Write the files of analysis/."""
    directory = summary.collection.directory
    written(
        {
            directory.summary_csv: to_csv(summary),
            directory.summary_markdown: to_markdown(summary),
            directory.summary_latex: to_latex(summary),
            **search_files(summary),
        },
        inside=directory.path,
        quiet=True,
    )
    if report:
        save_report(summary)


def search_files(summary: Summary) -> dict[Path, str]:
    """results.json; of a search over the weights of a loss also best_config.yaml, where its experiment file is here."""
    directory = summary.collection.directory
    files = {directory.results: as_text(search_results(summary))}
    searched = any(run.record.loss_weights for run in summary.collection.runs)
    if searched and summary.choice is not None:
        try:
            content = submitted_file(directory).value
        except UserError as error:
            sys.stderr.write(f"best_config.yaml was not written: {error.message}\n")
        else:
            files[directory.best_config] = best_config(content, summary.variant(summary.choice.variant))
    return files


def save_report(summary: Summary) -> None:
    """Write report.html and figures/ unless the report there was made from the same."""
    directory, key = summary.collection.directory, report_key(summary)
    if is_current(directory.report, key):
        return
    from analysis.plots.gallery import gallery  # matplotlib, only when there is something to draw

    plots = gallery(summary)
    figures = {directory.figures / f"{plot.name}.svg": plot.svg for plot in plots}
    written({**figures, directory.report: to_html(summary, plots, key)}, inside=directory.path, quiet=True)

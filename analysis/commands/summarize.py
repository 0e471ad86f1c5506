"""`analysis summarize`: the ranked table, health, choice, next commands; writes analysis/."""

from __future__ import annotations

import json
import sys

from analysis.commands.options import DEFAULT_ROOT, Experiment, Format, FormatOption, Root
from analysis.locate import locate
from analysis.output import stdout_console, written
from analysis.summary import Summary, summarize
from analysis.summary_markdown import to_markdown
from analysis.summary_records import to_csv, to_json
from analysis.summary_table import show


def command(experiment: Experiment = None, root: Root = DEFAULT_ROOT, format: FormatOption = Format.table) -> None:
    """Rank the variants, judge their health, choose one, and say what to do next."""
    summary = summarize(locate(experiment, root))
    if format is Format.json:
        sys.stdout.write(json.dumps(to_json(summary), indent=1, ensure_ascii=False) + "\n")
    elif format is Format.csv:
        sys.stdout.write(to_csv(summary))
    else:
        show(summary, stdout_console())
    save(summary)


def save(summary: Summary) -> None:
    """Write results_summary.csv and summary.md into the experiment's analysis/."""
    directory = summary.collection.directory
    written({directory.summary_csv: to_csv(summary), directory.summary_markdown: to_markdown(summary)})

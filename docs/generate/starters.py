"""The table of docs/starters.md: what question each starter file answers, and the most that it can cost."""

from __future__ import annotations

from benchmarks.page import table
from docs.generate.reference import DOCS
from jobs.tasks.registry import load_task
from runner.config import experiment_file
from runner.config.quantities import human_seconds
from runner.matrix.expansion import examine

PAGE = DOCS / "starters.md"


def tables() -> dict[str, str]:
    """The parts of the page, by the names of their places; cheapest first, those that ask for a GPU last."""
    rows = []
    for path in (DOCS.parent / "configs").glob("*.yaml"):
        file = experiment_file.load(path)
        content, asked = file.experiment, file.experiment.resources
        cells = [f"[{path.stem}](../configs/{path.name})", content.description]
        if "adopt" in file.source.value:
            rows.append((False, 0.0, (*cells, "none", "reads what is there", "")))
            continue
        task = load_task(content.task)
        known = examine(file, task.Params, task.seed_key)[0].runs
        runs, propose = len(known), content.search and content.search.propose
        if propose:  # the points that join later have as many runs as those that are known
            runs += runs // len({run.point for run in known}) * (propose.count - propose.at_once)
        hours = runs * (asked.time or 0) / 3600
        what = f"{human_seconds(asked.time or 0)} on {'a GPU' if asked.gpus else 'a core'}"
        rows.append((bool(asked.gpus), hours, (*cells, str(runs), what, f"{hours:.1f} h")))
    header = ("file", "question", "runs", "each at most", "all at most")
    return {"starters": table(header, (cells for *_, cells in sorted(rows)), numbers=3)}

"""The pages of docs/reference/."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import analysis.cli
import runner.cli
from benchmarks.page import table
from docs.generate import api, commands, keys
from jobs.tasks.registry import TASKS
from jobs.tasks.sentiment.task import QUANTITIES
from runner.commands.init import cluster_schema, experiment_schema
from runner.config.field_comments import comments
from runner.health.thresholds import Thresholds

DOCS = Path(__file__).resolve().parents[1]
WRITTEN = "<!-- written by `make docs`; change the comments and help texts in the code -->\n"


def pages() -> dict[Path, str]:
    """Path → content of every page that is written as a whole."""
    written = {
        "experiment.md": _experiment(),
        "cluster.md": _cluster(),
        "health.md": _health(),
        "runner.md": _commands("runner"),
        "analysis.md": _commands("analysis"),
        "api.md": _api(),
        **{f"task-{name}.md": _task(name) for name in TASKS},
    }
    written["README.md"] = _index(written)
    return {DOCS / "reference" / name: f"{WRITTEN}\n{text.rstrip()}\n" for name, text in written.items()}


def schemas() -> Iterator[keys.Node]:
    """The schema of every file that a person writes."""
    yield cluster_schema()
    for name in TASKS:
        yield experiment_schema(name)


def _index(written: dict[str, str]) -> str:
    titles = {name: text.partition("\n")[0].lstrip("# ") for name, text in written.items()}
    lines = "".join(f"- [{title}]({name})\n" for name, title in titles.items())
    editor = "[help in the editor](../terminal.md#help-in-the-editor)"
    return f"# Reference\n\nWritten from the code by `make docs`. The same while you type: {editor}.\n\n{lines}"


def _experiment() -> str:
    schema = experiment_schema(next(iter(TASKS)))
    schema["properties"]["params"].pop("$ref")
    schema["properties"]["params"]["type"] = "object"
    tasks = ", ".join(f"[{name}](task-{name}.md)" for name in TASKS)
    intro = f"The keys of `params` are the task's own: {tasks}."
    return f"# Experiment file: every key\n\n{keys.pages(schema, intro)}"


def _cluster() -> str:
    schema = cluster_schema()
    parts = []
    for kind, name in (("local", "LocalCluster"), ("slurm", "SlurmCluster")):
        node = {**schema["$defs"][name], "$defs": schema["$defs"]}
        parts.append(f"## `kind: {kind}`\n\n{keys.pages(node, keys.sentence(node), level=3)}")
    return "# Cluster file: every key\n\n" + "\n".join(parts)


def _task(name: str) -> str:
    schema = experiment_schema(name)
    node = {**schema["$defs"]["Params"], "$defs": schema["$defs"]}
    return f"# Task `{name}`: every parameter\n\n{keys.pages(node, 'Below `params` in an experiment file.')}"


def _health() -> str:
    said = comments(Thresholds)
    rows = [
        (f"`{field.name}`", _cell(said.get(field.name, "")), f"`{_number(field.default)}`")
        for field in dataclasses.fields(Thresholds)
        if field.name != "quantities"
    ]
    weight = QUANTITIES[0]  # of one modality; the others have the same limits
    assert weight.low is not None
    assert weight.high is not None
    rows += [
        (f"`{weight.stem}_low`", "of task sentiment: below: the modality is ignored", f"`{_number(weight.low)}`"),
        (f"`{weight.stem}_high`", "of task sentiment: above: it decides alone", f"`{_number(weight.high)}`"),
    ]
    intro = "Keys of `health` in an experiment file; what each finding means and what to do: [FAQ](../faq.md)."
    return f"# Health: every threshold\n\n{intro}\n\n{table(('key', 'meaning', 'default'), rows, numbers=1)}"


def _number(value: bool | float) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:.3g}"


def _commands(program: str) -> str:
    app = {"runner": runner.cli.app, "analysis": analysis.cli.app}[program]
    return f"# `{program}`: every command\n\n{commands.page(program, app)}"


def _api() -> str:
    intro = "What a task of your own is given and gives back. A whole one, and optional methods: [tasks](../tasks.md)."
    return f"# Python API\n\n{intro}\n\n{api.page()}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

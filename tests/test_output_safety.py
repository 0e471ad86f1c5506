"""What names, messages and logs of a stranger's experiment can do to a terminal, a spreadsheet, LaTeX and a page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from damaged_runs import answer
from experiment_factory import Plan, PlannedVariant, write_experiment
from runner.layout import ExperimentDir
from runner.terminal import log_line, safe
from runner_main import run
from tiny_experiment import environment

HOSTILE = (
    "\x1b]52;c;ZXZpbA==\x07", "\x1b]0;title\x1b\\", "\x1b[2J\x1b[H", "\x9b31m", "\x1b[8m", "\u202e", "\u2066", "\r", "\x07",
    "\x00", "\x7f", "\x85", "\u2028", "[red]", "[link=file:///x]", "=1+1", "é", "日", "\udcff", "$\\frac", "`x`", "|",
)  # fmt: skip
TEXT = st.lists(st.sampled_from([*HOSTILE, "a", "layers=2"]), min_size=1, max_size=5).map("".join)
NAME = TEXT.filter(lambda text: "\0" not in text and "\udcff" not in text)
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # to shrink takes minutes and shows no more
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def hostile_experiment(root: Path, name: str, message: str) -> ExperimentDir:
    """Runs that completed and failed, with `name` wherever names stand and `message` wherever text is free."""
    axes = {f"model.{name}": name, "train.learning_rate": 1e-3}
    variants = [
        PlannedVariant(name, 0.10, axes=axes),
        PlannedVariant("2", 0.11, axes={**axes, "train.learning_rate": 2e-3}, states={0: "failed"}),
        PlannedVariant("3", 0.12, axes={**axes, "train.learning_rate": 5e-3}),
    ]
    more = {"baseline": name, "next": {"config": name, "top": 2}, "config": name}
    directory = ExperimentDir(write_experiment(root, Plan(variants, seeds=(0,), crystals=4, manifest=more)))
    content = json.loads(directory.manifest.read_text())
    directory.manifest.write_text(json.dumps({**content, "experiment": name, "description": name}))
    for planned in content["runs"]:
        place = directory.run(planned["run_id"])
        place.logs.mkdir(exist_ok=True)
        place.log(1).write_text(message, errors="replace")
        beat = {"metric": name, "health": message, "job_id": message, "attempt": 1, "epoch": 3, "time": 0, "value": 1}
        place.heartbeat.write_text(json.dumps(beat))
        if place.failure.exists():
            place.failure.write_text(json.dumps({"kind": name, "message": message, "traceback": message}))
    directory.submission_log.write_text(
        json.dumps({"event": "supervision_failed", "message": message, "submission": 1}) + "\n"
    )
    return directory


def questions(path: Path, name: str) -> list[tuple[str, tuple[object, ...]]]:
    return [
        ("runner", ("status", path)),
        ("runner", ("status", path, "--format", "json")),
        ("runner", ("failures", path)),
        ("runner", ("logs", path, "1")),
        ("runner", ("logs", path, name)),
        ("runner", ("cancel", path, "--only", name, "--state", "lost")),
        ("runner", ("promote", path)),
        *(("analysis", ("summarize", path, "--no-report", "--format", kind)) for kind in ("table", "json", "csv")),
        ("analysis", ("export", path)),
        ("analysis", ("weights", path)),
        ("analysis", ("compare", "2", name, "-e", path)),
        ("analysis", ("refine", path)),
    ]


@given(name=NAME, message=TEXT)
@settings(max_examples=12, deadline=None, phases=PHASES)
def test_no_name_or_message_commands_the_terminal(name: str, message: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        directory = hostile_experiment(Path(folder), name, message)
        for program, arguments in questions(directory.path, name):
            status, out, err = answer(program, *arguments)
            assert status in (0, 1, 2), (program, arguments, err)
            assert "Traceback" not in err, (program, arguments, err)
            assert not FORBIDDEN.search(out + err), (program, arguments)
            if "json" in arguments:
                json.loads(out)

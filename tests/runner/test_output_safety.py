"""What names, messages and logs of a stranger's experiment can do to a terminal, a spreadsheet, LaTeX and a page."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from test_terminal import in_terminal

from damaged_runs import answer
from experiment_factory import Plan, PlannedVariant, write_experiment
from runner.config.yaml_output import dump
from runner.rundir.layout import ExperimentDir
from runner.spreadsheet import csv_text
from runner.terminal import log_line
from runner_main import run

HOSTILE = (
    "\x1b]52;c;ZXZpbA==\x07", "\x1b]0;title\x1b\\", "\x1b[2J\x1b[H", "\x9b31m", "\x1b[8m", "\u202e", "\u2066", "\r",
    "\x07", "\x00", "\x7f", "\x85", "\u2028", "[red]", "[link=x]", "=1+1", "é", "日", "\udcff", "$\\frac$", "`x`", "|",
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
        ("runner", ("logs", path, ":1")),
        ("runner", ("logs", path, name)),
        ("runner", ("cancel", path, "--only", name, "--state", "lost")),
        ("runner", ("promote", path)),
        *(("analysis", ("summarize", path, "--no-report", "--format", kind)) for kind in ("table", "json", "csv")),
        ("analysis", ("export", path)),
        ("analysis", ("weights", path)),
        ("analysis", ("compare", "3", name, "-e", path)),
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


@pytest.mark.parametrize("arguments", [("status",), ("status", "--watch"), ("failures",), ("logs", ":1")])
def test_only_our_own_colours_reach_a_terminal(arguments: tuple[str, ...], tmp_path: Path) -> None:
    name = "\x1b[8mhidden\x1b]52;c;ZXZpbA==\x07\x9b2J"
    directory = hostile_experiment(tmp_path, name, name)
    command = [sys.executable, "-P", "-m", "runner.cli", arguments[0], str(directory.path), *arguments[1:]]
    shown = in_terminal(command, COLUMNS="200")
    assert "hidden" in shown
    assert "\x1b[8m" not in shown
    ours = r"\x1b\[(?:[0-9;]*m|\?25[lh]|[0-9]*A|2K)|\r"  # colours, and what redraws a table
    assert not FORBIDDEN.search(re.sub(ours, "", shown))


@pytest.mark.parametrize("key", ["values.x", "\\e]0;t\\a"])
def test_no_value_of_an_experiment_file_commands_the_terminal(key: str, tmp_path: Path) -> None:
    axes = f'{{"{key}": ["\\e]52;c;Z\\a", "\\x9b8m", "\\u202e"]}}'
    (tmp_path / "e.yaml").write_text(
        'experiment: e\ntask: command\nparams: {command: {run: ["true", "{x}"], metrics: {pattern: "(?P<val_mae>.)"}}}'
        f"\nmatrix: {{axes: {axes}}}\n"
    )
    for more in ([], ["--format", "json"], ["--format", "csv"], ["--set", "task=\x1b[8mx"]):
        done = run("expand", tmp_path / "e.yaml", "--root", tmp_path, *more)
        assert done.out + done.err
        assert not FORBIDDEN.search(done.out + done.err), more
    assert not FORBIDDEN.search(run("submit", tmp_path / "e.yaml", "--root", tmp_path, "--dry-run").err)


def test_log_is_shown_without_colours_and_with_the_end_of_its_progress_bars() -> None:
    assert log_line("\x1b[32m10%\r\x1b[32m100%\x1b[0m\ta") == "100%\ta"
    assert log_line("windows\r") == "windows"
    assert log_line("\x1b]52;c;ZXZpbA==\x07x\x9b2J") == r"x\u009b2J"
    assert log_line("\x1b]0;never ended") == ""


def test_raw_log_is_shown_as_it_is(tmp_path: Path) -> None:
    directory = hostile_experiment(tmp_path, "a", "1%\r\x1b[1m2%\x1b[0m\nend")
    assert run("logs", directory.path, ":1", "--raw").out == "1%\r\x1b[1m2%\x1b[0m\nend"
    assert run("logs", directory.path, ":1").out == "2%\nend"


def test_markup_in_a_name_is_not_interpreted(tmp_path: Path) -> None:
    directory = hostile_experiment(tmp_path, "[red]a[bold]", "m")
    assert "[red]a[bold]" in run("status", directory.path).out
    assert "[red]a[bold]" in answer("analysis", "summarize", directory.path, "--no-report")[1]


@pytest.mark.parametrize("value", [-1, -0.31, "-1", "-1.5e-3", [-1, -2], "-1, +2"])
def test_numbers_in_a_spreadsheet_stay_numbers(value: object, tmp_path: Path) -> None:
    axes = {"a": value}
    path = write_experiment(tmp_path, Plan([PlannedVariant("=1+1", axes=axes)], seeds=(0,), crystals=4))
    (row,) = csv.DictReader(io.StringIO(answer("analysis", "summarize", path, "--format", "csv", "--no-report")[1]))
    assert row["variant"] == "'=1+1"
    assert row["a"] == (value if isinstance(value, str) else json.dumps(value))


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "=1e5"])
def test_text_in_a_spreadsheet_is_no_formula(text: str) -> None:
    assert csv_text([text, "b"], [{text: text, "b": "a=1"}]).startswith(("'", "\"'"))
    ((header, _), (cell, other)) = csv.reader(
        io.StringIO(csv_text([text, "b"], [{text: text, "b": "a=1"}]), newline="")
    )
    assert (header, cell, other) == (f"'{text}".replace("\r", "\n"), f"'{text}".replace("\r", "\n"), "a=1")


def test_expand_csv_has_no_formula(tmp_path: Path) -> None:
    config = tmp_path / "e.yaml"
    axes = {"values.x": ["=1+1", -1, "a"]}
    params = {"command": {"run": ["true", "{x}"], "metrics": {"pattern": "(?P<val_mae>.*)"}}}
    config.write_text(
        yaml.safe_dump({"experiment": "e", "task": "command", "params": params, "matrix": {"axes": axes}})
    )
    rows = csv.DictReader(io.StringIO(run("expand", config, "--format", "csv", "--root", tmp_path).out))
    assert [row["values.x"] for row in rows] == ["'=1+1", "-1", "a"]


EVIL = "a\n\\input{/etc/x}\r% `b` | [c](http://d) <script>e</script> &lt; ![f](g) *h*"


def written(tmp_path: Path) -> ExperimentDir:
    variants = [PlannedVariant("a", axes={"x": EVIL}), PlannedVariant("b", 0.2, axes={"x": "1"})]
    directory = ExperimentDir(write_experiment(tmp_path, Plan(variants, seeds=(0,), crystals=4)))
    content = json.loads(directory.manifest.read_text())
    content["experiment"] = content["runs"][0]["variant"] = EVIL
    directory.manifest.write_text(json.dumps(content))
    status, _, err = answer("analysis", "summarize", directory.path)
    assert status == 0, err
    return directory


def test_no_name_is_a_command_of_latex(tmp_path: Path) -> None:
    lines = written(tmp_path).summary_latex.read_text().splitlines()
    assert not [line for line in lines if r"\input" in line and not line.startswith("% ")]
    assert any(r"\textbackslash{}input\{/etc/x\}" in line for line in lines)


def test_no_name_is_markup_of_markdown(tmp_path: Path) -> None:
    lines = written(tmp_path).summary_markdown.read_text().splitlines()
    assert not [line for line in lines if line.startswith("\\input")]
    (row,) = [line for line in lines if line.startswith("|") and "script" in line]
    header = next(line for line in lines if line.startswith("| #"))
    assert len(re.findall(r"(?<!\\)\|", row)) == len(re.findall(r"(?<!\\)\|", header))
    for sign in ("`b", "](", "<script", "&lt", "*h"):
        assert not re.search(rf"(?<!\\){re.escape(sign)}", row), sign


def test_no_name_is_markup_of_the_report(tmp_path: Path) -> None:
    page = written(tmp_path).report.read_text()
    assert page.count("<script") == page.count("</script>") == 2  # our own: the data and what draws it
    assert "&lt;script&gt;e" in page
    assert "\r" not in page


def test_comment_of_a_written_file_stays_a_comment() -> None:
    assert dump({"a": 1}, "from x\ncluster: evil\r\ntask: y") == "# from x cluster: evil task: y\na: 1\n"

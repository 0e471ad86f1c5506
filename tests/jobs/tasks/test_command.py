"""The command task: any program as a run, with the same states as a task of ours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from jobs.context import RunContext
from jobs.failure import Kind, RunFailure
from jobs.task import Outcome
from jobs.tasks.command.task import CommandTask
from runner.commands.loading import load
from runner.errors import ConfigError, UserError
from runner.files import read_json, read_json_lines
from runner.rundir.layout import RunDir
from tiny_experiment import environment, parent_command, wait_until, write_run

# A program that knows nothing of us: it counts epochs, writes metrics as it likes, and can be stopped and resumed.
PROGRAM = """\
import json, os, pathlib, signal, sys, time
arguments = dict(word.split("=", 1) for word in sys.argv[1:])
out, mischief = pathlib.Path(arguments.get("out", ".")), arguments.get("mischief", "")
rate, epochs = float(arguments.get("rate", 1)), int(arguments.get("epochs", 3))
place = out / "state.json"
state = json.loads(place.read_text()) if "resume" in arguments else {"epoch": 0}
def stop(number, frame):
    print("stopping by", signal.Signals(number).name)
    sys.exit(0)
signal.signal(getattr(signal, arguments.get("stop", "SIGTERM")), stop)
for epoch in range(state["epoch"] + 1, epochs + 1):
    if mischief == "fail": sys.exit("no such crystal")
    if mischief == "code": sys.exit(3)
    if mischief == "memory": raise MemoryError
    if mischief == "hang": time.sleep(60)
    if mischief == "kill": os.kill(os.getpid(), signal.SIGKILL)
    if mischief == "segfault": os.kill(os.getpid(), signal.SIGSEGV)
    loss = float("nan") if mischief == "nan" and epoch == 2 else rate / epoch
    if mischief != "quiet":
        print(f"Epoch {epoch}: train {loss:.4f}")
        print(f"  valid {loss * 2:.4f}")
        record = {"epoch": epoch, "valid": {"mae": loss * 2}}
        with open(out / "log.jsonl", "a") as log: log.write(json.dumps(record) + "\\n")
    place.write_text(json.dumps({"epoch": epoch}))
    if mischief == "wait" and epoch == 2 and "resume" not in arguments: time.sleep(60)
"""
RUN = ["{python}", "{here}/program.py", "out={out}", "rate={rate}", "epochs={epochs}", "mischief={mischief}"]
LINES = {"file": "log.jsonl", "names": {"val_mae": "valid.mae"}}
PRINTED = r"Epoch (?P<epoch>\d+): train (?P<train_loss>\S+)\n  valid (?P<val_mae>\S+)"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def params(values: dict[str, Any] | None = None, **command: Any) -> dict[str, Any]:
    return {
        "command": {"run": RUN, "metrics": LINES, **command},
        "values": {"rate": 1.0, "epochs": 3, "mischief": "", **(values or {})},
    }


def run(content: dict[str, Any], directory: Path = Path("run")) -> tuple[Outcome, RunDir]:
    directory.mkdir(exist_ok=True)
    context = RunContext(RunDir(directory))
    return CommandTask().run(CommandTask.Params.model_validate(content), context), context.directory


def test_metrics_of_a_file_are_logged_and_the_best_epoch_counts(here: Path) -> None:
    outcome, directory = run(params())
    assert (outcome.best_epoch, outcome.epochs, outcome.metrics) == (3, 3, {"val_mae": pytest.approx(2 / 3)})
    lines = read_json_lines(directory.metrics)
    assert [(line["epoch"], line["val_mae"], line["attempt"]) for line in lines] == [
        (1, 2.0, 1), (2, 1.0, 1), (3, pytest.approx(2 / 3), 1)
    ]  # fmt: skip


def test_metrics_of_the_output_may_span_lines(here: Path) -> None:
    outcome, directory = run(params(metrics={"pattern": PRINTED}))
    assert outcome.metrics == {"train_loss": 0.3333, "val_mae": 0.6667}
    assert [line["epoch"] for line in read_json_lines(directory.metrics)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "text", "more"),
    [
        ("h.csv", "epoch,mae\n0,3\n1,2\n", {"names": {"val_mae": "mae"}, "first_epoch": 0}),
        ("h.json", '[{"mae": 3}, {"mae": 2}]', {"names": {"val_mae": "mae"}}),
        ("h.json", "[[9, 3], [9, 2]]", {"names": {"val_mae": 1}}),
        ("h.json", '{"val_mae": [3, 2], "note": "x"}', {}),
        ("h.log", '{"val_mae": 3}\nhalf a line\n{"val_mae": "2"}\n', {"format": "jsonl"}),
    ],
)
def test_shapes_of_files(here: Path, name: str, text: str, more: dict[str, Any]) -> None:
    shell = {"shell": True, "run": "printf '%s' {text} > {out}/{name}", "metrics": {"file": name, **more}}
    outcome, directory = run({"command": shell, "values": {"text": text, "name": name}})
    assert outcome.metrics == {"val_mae": 2}
    assert [line["epoch"] for line in read_json_lines(directory.metrics)] == [1, 2]


def test_values_in_a_shell_are_quoted_and_without_one_stay_single_arguments(here: Path) -> None:
    evil = "1; touch evil $(touch evil)"
    for more in ({"shell": True, "run": "echo val_mae=1 {evil}"}, {"run": "echo val_mae=1 {evil}"}):
        run({"command": {**more, "metrics": {"pattern": r"val_mae=(?P<val_mae>\S+)"}}, "values": {"evil": evil}})
        assert not (here / "evil").exists()


def test_files_are_written_with_the_types_of_the_values(here: Path) -> None:
    config = {"lr": "{rate}", "name": "run of {epochs}", "layers": ["{rate}", 2]}
    files = {"config.json": config, "metrics.json": {"val_mae": "{rate}"}}
    content = params(files=files, metrics={"file": "metrics.json"}, run=["true", "{mischief}"])
    _, directory = run(content)
    assert read_json(directory.output / "config.json") == {"lr": 1.0, "name": "run of 3", "layers": [1.0, 2]}


@pytest.mark.parametrize(
    ("mischief", "kind", "message"),
    [
        ("fail", Kind.EXCEPTION, r"exit status 1; its last line: no such crystal"),
        ("code", Kind.DATA_MISSING, r"exit status 3"),
        ("memory", Kind.OUT_OF_MEMORY, r"MemoryError"),
        ("segfault", Kind.EXCEPTION, r"ended with SIGSEGV"),
        ("quiet", Kind.EXCEPTION, r"reported no val_mae; looked in {out}/log.jsonl, found no record"),
        ("nan", Kind.DIVERGED, r"epoch 2: val_mae = nan; the command was ended"),
        ("hang", Kind.EXCEPTION, r"hangs: no output and no metrics for 1 s \(command.silent_for\); killed"),
    ],
)
def test_each_end_has_its_kind(here: Path, mischief: str, kind: Kind, message: str) -> None:
    content = params({"mischief": mischief}, exit_codes={"data_missing": 3}, silent_for="1s")
    with pytest.raises(RunFailure, match=message) as error:
        run(content)
    assert error.value.kind is kind


def test_program_that_is_missing_is_said(here: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be started in .*: .*No such file.*'nobody'"):
        run(params(run=["nobody", "{rate}"]))


def test_stopped_command_resumes_and_every_epoch_is_logged_once(here: Path) -> None:
    resuming = {"resume": [*RUN, "resume=yes"], "checkpoint": "state.json"}
    stopping = {**resuming, "run": [*RUN, "stop=SIGUSR2"], "stop_signal": "USR2", "environment": {"A": "b"}}
    directory = write_run(here / "e", config={"task": "command"}, **params({"mischief": "wait"}, **stopping))
    parent = subprocess.Popen(parent_command(directory), env=environment(), cwd=here, stdout=subprocess.DEVNULL)
    wait_until(lambda: (read_json(directory.heartbeat) or {}).get("epoch") == 2, what="epoch 2 in the heartbeat")
    assert read_json(directory.heartbeat)["metric"] == "val_mae"
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(20) == 1
    assert "stopping by SIGUSR2" in directory.log(1).read_text()
    assert read_json(directory.failure)["message"].endswith("wrote its checkpoint and left")
    again = subprocess.run(parent_command(directory), env=environment(), cwd=here, stdout=subprocess.DEVNULL)
    assert again.returncode == 0, directory.log(2).read_text()
    lines = read_json_lines(directory.metrics)
    assert [(line["epoch"], line["attempt"]) for line in lines] == [(1, 1), (2, 1), (3, 2)]
    assert read_json(directory.result)["attempts"] == 2


# Writes its checkpoint in place, for most of the time that an epoch takes
SLOW_WRITER = """\
import io, pathlib, sys, time, zipfile
out, hold, resume = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), len(sys.argv) > 3
place = out / "state.pt"
first = int(zipfile.ZipFile(place).read("epoch")) if resume else 0
for epoch in range(first + 1, 16):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file: file.writestr("epoch", str(epoch))
    with place.open("wb", buffering=0) as file:
        file.write(archive.getvalue()[:30])
        time.sleep(60 if epoch > 3 and hold.exists() else 0.18)
        file.write(archive.getvalue()[30:])
    print(f"epoch {epoch}: mae {1 / epoch}", flush=True)
    time.sleep(0.02)
"""
SLOW = {
    "run": ["{python}", "{here}/slow_writer.py", "{out}", "{here}/hold"],
    "resume": ["{python}", "{here}/slow_writer.py", "{out}", "{here}/hold", "--resume"],
    "checkpoint": "state.pt",
    "metrics": {"pattern": r"epoch (?P<epoch>\d+): mae (?P<val_mae>\S+)"},
}


@pytest.mark.parametrize("signalled", ["parent", "command"])
def test_a_checkpoint_that_a_stop_would_tear_is_awaited_and_a_torn_one_is_not_resumed(
    here: Path, signalled: str
) -> None:
    (here / "slow_writer.py").write_text(SLOW_WRITER)
    hold = here / "hold"  # in the middle of a checkpoint
    if signalled == "command":
        hold.touch()
    directory = write_run(here / "exp", config={"task": "command"}, command=SLOW, values={})
    parent = subprocess.Popen(parent_command(directory), env=environment())
    wait_until(lambda: len(read_json_lines(directory.metrics)) > 2, what="three epochs")
    state = directory.output / "state.pt"
    if signalled == "parent":
        parent.send_signal(signal.SIGTERM)
    else:
        (child,) = psutil.Process(read_json(directory.heartbeat)["pid"]).children()
        wait_until(lambda: state.stat().st_size == 30, what="half a checkpoint")
        child.kill()
        hold.unlink()
    parent.wait(30)
    assert zipfile.is_zipfile(state) == (signalled == "parent")
    subprocess.run(parent_command(directory), env=environment(), check=True)
    said = directory.log(2).read_text()
    assert ("resuming: " in said) == (signalled == "parent")
    assert ("state.pt is half-written" in said) == (signalled == "command")
    assert [line["epoch"] for line in read_json_lines(directory.metrics)] == list(range(1, 16))


def test_cancelled_command_without_a_checkpoint_claims_none(here: Path) -> None:
    directory = write_run(here / "e", config={"task": "command"}, **params({"mischief": "wait"}))
    parent = subprocess.Popen(parent_command(directory), env=environment(), cwd=here, stdout=subprocess.DEVNULL)
    wait_until(lambda: (read_json(directory.heartbeat) or {}).get("epoch") == 2, what="epoch 2 in the heartbeat")
    parent.send_signal(signal.SIGTERM)
    parent.wait(20)
    assert read_json(directory.failure)["message"] == "asked to stop (cancelled): left without a checkpoint"


@pytest.mark.parametrize(("limit", "kind"), [("1", "out_of_memory"), ("", "killed")])
def test_killed_command_is_judged_by_its_memory(here: Path, limit: str, kind: str) -> None:
    directory = write_run(here / "e", config={"task": "command"}, **params({"mischief": "kill"}))
    changes = {"SLURM_MEM_PER_NODE": limit} if limit else {}
    subprocess.run(parent_command(directory), env=environment(**changes), cwd=here, stdout=subprocess.DEVNULL)
    assert read_json(directory.failure)["kind"] == kind


def test_a_killed_run_leaves_no_command_behind(here: Path) -> None:
    directory = write_run(here / "e", config={"task": "command"}, **params({"mischief": "hang"}))
    parent = subprocess.Popen(parent_command(directory), env=environment(), cwd=here, stdout=subprocess.DEVNULL)
    child = wait_until(lambda: (read_json(directory.heartbeat) or {}).get("pid"), what="a heartbeat")
    children = Path(f"/proc/{child}/task/{child}/children")
    command = int(wait_until(lambda: children.read_text(), what="the command"))
    os.kill(child, signal.SIGKILL)
    parent.wait(20)
    wait_until(lambda: not Path(f"/proc/{command}").exists(), what="the end of the command")


def experiment(folder: Path, content: dict[str, Any], axes: dict[str, Any] | None = None, **more: Any) -> Path:
    path = folder / "e.yaml"
    matrix = {"axes": axes or {"values.rate": [1.0, 2.0]}}
    path.write_text(yaml.safe_dump({"experiment": "e", "task": "command", "params": content, "matrix": matrix, **more}))
    return path


def ids(path: Path) -> list[str]:
    return [run.run_id for run in load(path, Path("runs")).expansion.runs]


def test_changed_command_is_a_new_run_and_patience_is_not(here: Path) -> None:
    before = ids(experiment(here, params()))
    assert ids(experiment(here, params(silent_for="5m", stop_signal="USR2"))) == before
    assert set(ids(experiment(here, params(run=[*RUN, "--more"])))).isdisjoint(before)


@pytest.mark.parametrize(
    ("content", "matrix", "message"),
    [
        (params(run=[*RUN, "{rat}"]), {}, r"names \{rat\}, which is no value\n.*allowed:.*\n.*did you mean: rate"),
        (params({"width": 3}), {}, r"values.width: is used by nothing in `command`"),
        (params(), {"seeds": [0, 1]}, r"matrix.seeds: is used by nothing in `command`"),
        (params(run=[*RUN, "{"]), {}, r"command.run: '\{': .*a brace itself is \{\{ or \}\}"),
        (params(run=[*RUN, "{rate.__class__}"]), {}, r"names \{rate.__class__\}, which is no value"),
        (params(metrics={}), {}, r"metrics come from a file, a pattern or `from: stdout`, or from several `sources`"),
        (params(metrics={"pattern": "(x"}), {}, r"metrics.pattern: is not a regular expression"),
        (params(metrics={"file": "../x.csv"}), {}, r"a path inside the command's own folder"),
        *(
            (params(files={name: "x"}), {}, "write the name of a file, without control characters")
            for name in ("", ".", "a/", "a\0b", "a\nb")
        ),
        (params(resume="x"), {}, r"checkpoint: missing; `resume` and `checkpoint` go together"),
        (params(shell=True), {}, r"command.run: found a list; a shell takes one text"),
        (params(metrics={"file": "{rat}.csv"}), {}, r"metrics.file: names \{rat\}, which is .*\n.*allowed: .*rate"),
        (params(resume=RUN, checkpoint="{rat}/x"), {}, r"checkpoint: names \{rat\}, which is no value"),
        (params(files={"{rat}": "x"}), {}, r"command.files: names \{rat\}, which is no value"),
        (params(metrics={"file": "{out}/x.csv"}), {}, r"metrics.file: found '.*'; write a path inside the command"),
        (params({"mischief": ".."}, checkpoint="{mischief}/x", resume=RUN), {}, r"checkpoint: found '../x'; write a"),
        (params(run=" "), {}, r"command.run: found ' ', which names no program"),
        (params(run=[]), {}, r"command.run: found \[\], which names no program"),
        (params(run=["", "{rate}"]), {}, r"command.run: found \['', '\{rate\}'\], which names no program"),
        (params(resume="", checkpoint="x"), {}, r"command.resume: found '', which names no program"),
        (params(run="x 'y"), {}, r"command.run: found .*: No closing quotation"),
    ],
)  # fmt: skip
def test_mistakes_are_named(here: Path, content: dict[str, Any], matrix: dict[str, Any], message: str) -> None:
    path = experiment(here, content)
    file = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**file, "matrix": {**file["matrix"], **matrix}}))
    with pytest.raises(ConfigError, match=message):
        load(path, Path("runs"))


def test_search_over_a_command_is_ranked(here: Path) -> None:
    path = experiment(here, params(), {"values.rate": [2.0, 1.0, 3.0]}, select={"metric": "val_mae"})
    for module, *words in (
        ("runner.cli", "submit", str(path), "--wait"),
        ("analysis.cli", "summarize", "e", "--format", "json"),
    ):
        done = subprocess.run(
            [sys.executable, "-P", "-m", module, *words], env=environment(), cwd=here, capture_output=True
        )
        assert done.returncode == 0, done.stderr
    assert [its["variant"] for its in json.loads(done.stdout)["variants"]] == ["rate=1.0", "rate=2.0", "rate=3.0"]

"""What becomes of a command's history: begun anew after a resume, with gaps, with rows apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_command import here, run  # noqa: F401

from jobs.context import RunContext
from jobs.failure import Kind, RunFailure
from runner.files import read_json_lines
from runner.rundir.layout import RunDir
from runner.rundir.run_config import RunConfig

TWICE = {"shell": True, "checkpoint": "state"}
FILE = {
    **TWICE, "metrics": {"file": "h.csv"},
    "run": "echo 1 > {out}/state; printf 'val_mae\\n3\\n2\\n' > {out}/h.csv",
    "resume": "printf 'val_mae\\n1\\n' > {out}/h.csv",
}  # fmt: skip
PRINTED = {
    **TWICE, "metrics": {"pattern": r"mae (?P<val_mae>\S+)"},
    "run": "echo 1 > {out}/state; echo mae 3; echo mae 2", "resume": "echo mae 1",
}  # fmt: skip


def history(command: dict[str, Any], attempts: int = 1) -> list[tuple[int, float | None]]:
    for _ in range(attempts):
        _, directory = run({"command": command})
    return [(line["epoch"], line.get("val_mae")) for line in read_json_lines(directory.metrics)]


def from_text(text: str, name: str = "h.csv", **more: Any) -> dict[str, Any]:
    metrics = {"file": name, **more}
    text = text.replace("{", "{{").replace("}", "}}")
    return {"shell": True, "run": f"printf '{text}' > {{out}}/{name}", "metrics": metrics}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("command", [FILE, PRINTED])
def test_history_that_begins_anew_after_each_resume_is_numbered_on(
    command: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert history(command, attempts=2) == [(1, 3), (2, 2), (3, 1)]
    assert "its first row is taken for epoch 3" in capsys.readouterr().out
    again = {**command, "resume": command["resume"].replace("1", "7")}
    assert history(again) == [(1, 3), (2, 2), (3, 1), (4, 7)]


@pytest.mark.usefixtures("here")
def test_history_that_begins_again_replaces_the_epochs_where_that_is_asked_for() -> None:
    command = {**FILE, "metrics": {"file": "h.csv", "restarts": "again"}}
    assert history(command, attempts=2) == [(1, 1)]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("resume", ["printf '1\\n' >> {out}/h.csv", "printf 'val_mae\\n3\\n2\\n1\\n' > {out}/h.csv"])
def test_history_that_goes_on_is_not_numbered_anew(resume: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert history({**FILE, "resume": resume}, attempts=2) == [(1, 3), (2, 2), (3, 1)]
    assert "warning" not in capsys.readouterr().out


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "command",
    [
        from_text("epoch,train_loss,val_mae\\n1,5,\\n2,4,3\\n3,3,\\n4,2,1\\n", names={"val_mae": "val_mae"}),
        from_text('[{"train_loss": 5, "val_mae": null}, {"val_mae": 3}, {}, {"val_mae": 1}]', "h.json"),
    ],
)
def test_epochs_without_the_followed_metric_do_not_end_a_run(command: dict[str, Any]) -> None:
    outcome, _ = run({"command": command})
    assert (outcome.best_epoch, outcome.metrics["val_mae"]) == (4, 1)


@pytest.mark.usefixtures("here")
def test_train_and_validation_rows_of_an_epoch_are_one_line() -> None:
    text = "epoch,train_loss,val_mae\\n0,5,\\n0,,4\\n1,3,\\n1,,2\\n"
    outcome, directory = run({"command": from_text(text, first_epoch=0)})
    assert outcome.metrics == {"train_loss": 3, "val_mae": 2}
    lines = read_json_lines(directory.metrics)
    assert [(line["epoch"], line["train_loss"], line["val_mae"]) for line in lines] == [(1, 5, 4), (2, 3, 2)]


@pytest.mark.usefixtures("here")
def test_validation_row_that_comes_later_is_added_to_its_epoch() -> None:
    slow = {
        "shell": True, "metrics": {"file": "h.csv"},
        "run": "printf 'epoch,train_loss,val_mae\\n1,5,\\n' > {out}/h.csv; sleep 1; printf '1,,4\\n' >> {out}/h.csv",
    }  # fmt: skip
    assert history(slow) == [(1, 4)]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("reported", ["nan", "inf"])
def test_followed_metric_reported_as_no_finite_number_ends_a_run(reported: str) -> None:
    with pytest.raises(RunFailure, match=rf"epoch 2: val_mae = {reported}; the command was ended") as error:
        run({"command": from_text(f"val_mae\\n3\\n{reported}\\n")})
    assert error.value.kind is Kind.DIVERGED


@pytest.mark.usefixtures("here")
def test_paths_in_the_folder_of_a_command_are_filled(tmp_path: Path) -> None:
    command = {
        "shell": True, "metrics": {"file": "{kind}/h.csv"}, "files": {"{kind}/a.json": {"x": 1}},
        "checkpoint": "{kind}/state", "run": "echo > {out}/{kind}/state; printf 'val_mae\\n3\\n' > {out}/{kind}/h.csv",
        "resume": "printf 'val_mae\\n3\\n2\\n' > {out}/{kind}/h.csv",
    }  # fmt: skip
    for epochs in (1, 2):
        outcome, directory = run({"command": command, "values": {"kind": "gap"}})
        assert outcome.epochs == epochs
    assert RunDir(directory.path).output.joinpath("gap", "a.json").exists()


@pytest.mark.usefixtures("here")
def test_epoch_under_way_is_written_when_it_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    logged = []
    monkeypatch.setattr(RunContext, "record", lambda self, record: logged.append(dict(record)))
    rows = "; sleep 0.5; ".join(f"printf '{row}\\n' >> {{out}}/h.csv" for row in ("1,5,", "1,4,", "1,3,2", "2,1,"))
    start = "printf 'epoch,train_loss,val_mae\\n' > {out}/h.csv; "
    run({"command": {"shell": True, "metrics": {"file": "h.csv"}, "run": start + rows}})
    assert logged == [{"epoch": 1, "train_loss": 3, "val_mae": 2}, {"epoch": 2, "train_loss": 1}]


BAR = """\
import sys, time
for epoch in (1, 2):
    for step in range(200):
        sys.stderr.write(f"\\rEpoch {epoch}: {step}% loss=0.5")
    sys.stderr.write(f"\\rEpoch {epoch}: 100% val_mae={3 - epoch}\\n")
sys.exit("no more crystals")
"""


def test_progress_bars_do_not_fill_the_log_and_keep_their_metrics(
    here: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    (here / "bar.py").write_text(BAR)
    metrics = {"pattern": r"Epoch (?P<epoch>\d+): 100% val_mae=(?P<val_mae>\S+)"}
    with pytest.raises(RunFailure, match="its last line: no more crystals") as error:
        run({"command": {"run": "{python} bar.py", "metrics": metrics}})
    assert [line["val_mae"] for line in read_json_lines(RunDir(here / "run").metrics)] == [2, 1]
    shown = [line for line in capsys.readouterr().out.splitlines() if "loss=0.5" in line]
    assert shown == ["Epoch 1: 0% loss=0.5"]
    assert error.value.output == "Epoch 1: 100% val_mae=2\nEpoch 2: 100% val_mae=1\nno more crystals"


def test_state_of_a_command_is_watched_under_the_name_that_its_values_give() -> None:
    params = {"command": {"checkpoint": "{model}-{seed}.pt"}, "values": {"model": "net"}}
    config = {"experiment": "e", "run_id": "r", "variant": "v", "seed": 3, "task": "command", "params": params}
    assert RunConfig.model_validate(config).checkpoints == ["output/net-3.pt"]

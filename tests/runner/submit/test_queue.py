"""What pools and Slurm still have of an experiment's runs."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from runner.files import write_json
from runner.rundir import manifest
from runner.rundir.layout import ExperimentDir
from runner.rundir.processes import machine, start_time
from runner.slurm_commands import SlurmCommands
from runner.submit.scheduler_snapshot import look
from runner.submit.schedulers import local, slurm


@pytest.fixture
def directory(tmp_path: Path) -> ExperimentDir:
    return ExperimentDir(tmp_path / "e")


def sent(directory: ExperimentDir, kind: str, tasks: list[list[str]], number: int = 1, **chunk: object) -> None:
    directory.submission(number).mkdir(parents=True)
    write_json(directory.pool_tasks(number), {"tasks": tasks})
    manifest.log_submission(directory, {"submission": number, "event": "begun", "kind": kind})
    sending = {"submission": number, "event": "sending", "token": f"t{number}", "first": 0, "count": len(tasks)}
    manifest.log_submission(directory, sending | chunk)


def confirmed(directory: ExperimentDir, job_id: str, number: int = 1) -> None:
    manifest.log_submission(directory, {"submission": number, "event": "sent", "token": f"t{number}", "job_id": job_id})


def pool(directory: ExperimentDir, **facts: object) -> None:
    me = {"machine": machine(), "pid": os.getpid(), "start_time": start_time(os.getpid())}
    lists = {"pending": ["c"], "running": ["a", "b"]}
    write_json(directory.pool_state(1), {**me, "time": time.time(), "interval": 30, "ended": False, **lists, **facts})


def test_a_living_pool_has_its_pending_and_running_runs(directory: ExperimentDir) -> None:
    sent(directory, "local", [["a", "b"], ["c"]])
    pool(directory)
    places = look(directory).places
    assert {name: (place.started, place.job, place.final) for name, place in places.items()} == {
        "a": (True, f"pool {os.getpid()}", True),
        "b": (True, f"pool {os.getpid()}", True),
        "c": (False, f"pool {os.getpid()}", True),
    }


@pytest.mark.parametrize(
    "facts",
    [
        {"ended": True},
        {"pid": 2**22 + 1},  # above the largest that Linux gives
        {"start_time": "1"},  # the number was given to another process
        {"machine": "another", "time": 0},  # a machine that has said nothing for long
    ],
)
def test_a_pool_that_is_gone_has_nothing(directory: ExperimentDir, facts: dict[str, object]) -> None:
    sent(directory, "local", [["a", "b"], ["c"]])
    pool(directory, **facts)
    assert look(directory).places == {}


def test_a_pool_on_another_machine_lives_while_it_writes(directory: ExperimentDir) -> None:
    sent(directory, "local", [["a", "b"], ["c"]])
    pool(directory, machine="another", pid=1)
    assert set(look(directory).places) == {"a", "b", "c"}
    assert not local.stop(directory, 1)  # nobody can signal a process there


def test_a_pool_that_never_wrote_has_nothing(directory: ExperimentDir) -> None:
    sent(directory, "local", [["a"]])
    assert look(directory).places == {}


def squeue(folder: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    """A squeue that answers with recorded lines: job, index, state, start, reason, comment."""
    (folder / "bin").mkdir()
    (folder / "answer").write_text("".join(f"{line}\n" for line in lines))
    (folder / "bin" / "squeue").write_text(f'#!/bin/sh\necho "$@" >> {folder}/asked\ncat {folder}/answer\n')
    (folder / "bin" / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")


def test_slurm_elements_are_found_by_job_and_index(
    directory: ExperimentDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent(directory, "slurm", [["a", "b"], ["c"], ["d"]])
    confirmed(directory, "17")
    squeue(tmp_path, monkeypatch, [
        "17|0|RUNNING|1700000000|None|runner:t1", "17|2|PENDING|N/A|Priority|runner:t1",
        "99|0|RUNNING|1700000000|None|a job of", "two lines", "98|N/A|PENDING|N/A|Resources|(null)",
    ])  # fmt: skip
    places = look(directory).places
    assert {name: (p.started, p.job, p.reason, p.final, p.since) for name, p in places.items()} == {
        "a": (True, "17_0", "", True, 1700000000.0),
        "b": (True, "17_0", "", True, 1700000000.0),
        "d": (False, "17_2", "Priority", False, 0.0),
    }


def test_an_array_whose_id_was_not_saved_is_found_by_its_token(
    directory: ExperimentDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent(directory, "slurm", [["a"], ["b"]])
    squeue(tmp_path, monkeypatch, ["17|1|PENDING|N/A|None|runner:t1", "18|1|PENDING|N/A|None|runner:t2"])
    assert {name: place.job for name, place in look(directory).places.items()} == {"b": "17_1"}


def test_an_array_of_one_is_a_plain_job(
    directory: ExperimentDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent(directory, "slurm", [["a"]])
    confirmed(directory, "17")
    squeue(tmp_path, monkeypatch, ["17|N/A|RUNNING|1700000000|None|runner:t1"])
    assert look(directory).places["a"].job == "17"


def test_slurm_is_asked_once_and_only_for_runs_that_are_there(
    directory: ExperimentDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent(directory, "slurm", [["a"]])
    sent(directory, "slurm", [["b"]], number=2)
    squeue(tmp_path, monkeypatch, [])
    look(directory, wanted={"other"}, known={"a", "b", "other"})
    assert not (tmp_path / "asked").exists()
    look(directory, wanted={"other"}, known={"a", "other"})  # b may run although the file no longer has it
    assert (tmp_path / "asked").read_text().count(f"--user={os.getuid()}") == 1


def test_a_silent_slurm_is_said_and_pools_are_still_seen(
    directory: ExperimentDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent(directory, "local", [["a", "b"], ["c"]])
    pool(directory)
    sent(directory, "slurm", [["d"]], number=2)
    monkeypatch.setenv("PATH", str(tmp_path))
    queue = look(directory)
    assert queue.unanswered == "Slurm's command 'squeue' is not on this machine"
    assert set(queue.places) == {"a", "b", "c"}


def test_a_command_that_fails_is_told_in_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "squeue").write_text("#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact' >&2; exit 1\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(slurm.CommandFailed, match="squeue failed: slurm_load_jobs error: Unable to contact"):
        slurm.queue(SlurmCommands())

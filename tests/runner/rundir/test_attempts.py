"""Which attempts count, and what Slurm's own log says of one that left no word."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

from jobs.node.circuit_breaker import tripped
from runner.config.experiment import Experiment
from runner.files import append_json, read_json_lines, write_json
from runner.rundir import manifest
from runner.rundir.attempts import begin_attempt, end_attempt, ended_attempts, exhausted, not_counting, read_attempts
from runner.rundir.failures import Failure, Kind
from runner.rundir.layout import ExperimentDir, RunDir
from runner.rundir.run_config import RunConfig
from runner.rundir.states import STATES, run_state
from runner.submit.plan import Limits, retry_plan
from runner.submit.survey import survey

KILLED = "slurmstepd: error: StepId=12.0 exceeded memory limit (1024000 > 512000), being killed\n"


def attempted(run: RunDir, kind: Kind, *, advanced: bool) -> None:
    """One attempt of `run` that ended so."""
    run.path.mkdir(parents=True, exist_ok=True)
    attempt = begin_attempt(run, "12", 1)
    if advanced:
        run.last_checkpoint.write_text("x" * attempt.number)
    end_attempt(run, attempt, "stopped", kind=kind)


@pytest.mark.parametrize(
    ("kind", "advanced", "counts"),
    [
        (Kind.PREEMPTED, False, False),
        (Kind.TIMEOUT, True, False),
        (Kind.TIMEOUT, False, True),
        (Kind.NODE_FAILURE, True, False),
        (Kind.NODE_FAILURE, False, True),
        (Kind.OUT_OF_MEMORY, True, True),
    ],
)
def test_what_takes_the_machine_away_counts_only_without_progress(
    tmp_path: Path, kind: Kind, advanced: bool, counts: bool
) -> None:
    attempted(RunDir(tmp_path), kind, advanced=advanced)
    assert not_counting(read_attempts(RunDir(tmp_path))) == (not counts)


def test_a_checkpoint_of_a_command_is_progress_too(tmp_path: Path) -> None:
    attempt = begin_attempt(RunDir(tmp_path), "12", 1, ["output/model.ckpt"])
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "model.ckpt").write_text("1")
    end_attempt(RunDir(tmp_path), attempt, "stopped", kind="timeout")
    assert read_attempts(RunDir(tmp_path))[0].advanced


def test_a_time_limit_with_progress_asks_for_no_more_time(tmp_path: Path) -> None:
    attempted(RunDir(tmp_path), Kind.TIMEOUT, advanced=True)
    attempted(RunDir(tmp_path), Kind.TIMEOUT, advanced=False)
    assert exhausted(read_attempts(RunDir(tmp_path))) == {Kind.TIMEOUT: 1}


@pytest.mark.parametrize("line", [KILLED, "slurmstepd: error: Detected 1 oom_kill event in StepId=12.0.\n"])
def test_what_slurm_kills_for_memory_is_known_by_the_log_of_the_array_task(tmp_path: Path, line: str) -> None:
    run = killed_for_memory(ExperimentDir(tmp_path), "r", line)
    (attempt,) = ended_attempts(run)
    assert attempt.kind is Kind.OUT_OF_MEMORY
    state = survey(ExperimentDir(tmp_path), ["r"])[0]["r"]
    assert (state.state, state.kind) == ("lost", "out_of_memory")
    assert line.strip() in (state.message or "")
    begin_attempt(run, "13", 1)
    assert [line.get("kind") for line in read_json_lines(run.attempts)] == [None, "out_of_memory", None]


def test_a_memory_kill_of_an_earlier_attempt_is_not_this_ones(tmp_path: Path) -> None:
    run = killed_for_memory(ExperimentDir(tmp_path), "r", KILLED)
    with (run.experiment.slurm_logs(1) / "12_0_log.out").open("a") as log:
        log.write("r: attempt 2 started, process 8\n")
    begin_attempt(run, "12", 1)
    assert [attempt.kind for attempt in ended_attempts(run)] == [Kind.OUT_OF_MEMORY, Kind.NODE_FAILURE]


def killed_for_memory(experiment: ExperimentDir, run_id: str, line: str) -> RunDir:
    run = experiment.run(run_id)
    run.path.mkdir(parents=True)
    experiment.slurm_logs(1).mkdir(parents=True, exist_ok=True)
    with (experiment.slurm_logs(1) / "12_0_log.out").open("a") as log:
        log.write(f"2026-01-01 00:00:00  {run_id}: attempt 1 started, process 7\n{line}")
    append_json(run.attempts, {"attempt": 1, "time": 1.0, "job_id": "12"})
    return run


def starting(most: int, task: str = "crystal") -> RunConfig:
    """The configuration of a run that is to start."""
    facts = {"experiment": "e", "run_id": "d", "variant": "d", "seed": 0, "task": task, "params": {}}
    return RunConfig(**facts, retry={"max_attempts": most})  # type: ignore[arg-type]


def test_the_breaker_sees_runs_that_memory_has_ended_for_good(tmp_path: Path) -> None:
    experiment = ExperimentDir(tmp_path)
    for name in "abc":
        killed_for_memory(experiment, name, KILLED)
    assert tripped(experiment, starting(2), 3, since=0.0) is None  # they get more memory first
    assert "3 runs of this experiment failed in the same way (out_of_memory" in str(
        tripped(experiment, starting(1), 3, since=0.0)
    )


def test_the_breaker_sees_that_more_memory_did_not_help_before_the_attempts_are_used_up(tmp_path: Path) -> None:
    experiment = ExperimentDir(tmp_path)
    for name in "abc":
        attempted(experiment.run(name), Kind.OUT_OF_MEMORY, advanced=False)
    assert tripped(experiment, starting(9), 3, since=0.0) is None
    for name in "abc":
        attempted(experiment.run(name), Kind.OUT_OF_MEMORY, advanced=True)
    assert "(out_of_memory)" in str(tripped(experiment, starting(9), 3, since=0.0))
    assert tripped(experiment, starting(9), 3, since=time.time() + 1) is None


def test_the_breaker_counts_gpu_memory_of_commands_at_once(tmp_path: Path) -> None:
    for name in "abc":
        run = ExperimentDir(tmp_path).run(name)
        attempted(run, Kind.GPU_OUT_OF_MEMORY, advanced=False)
        Failure(Kind.GPU_OUT_OF_MEMORY, "CUDA", 1, time.time(), fingerprint="gpu_out_of_memory:x").write(run)
    assert tripped(ExperimentDir(tmp_path), starting(9), 3, since=0.0) is None
    assert tripped(ExperimentDir(tmp_path), starting(9, "command"), 3, since=0.0) is not None


def slurm_says(monkeypatch: pytest.MonkeyPatch, accounting: dict[str, str], booted: float = 0.0) -> None:
    """An empty queue, and what the accounting has."""
    monkeypatch.setattr("runner.submit.scheduler_snapshot.slurm.queue", lambda *_: [])
    monkeypatch.setattr("runner.submit.survey.slurm.boot_time", lambda _: booted)
    monkeypatch.setattr("runner.submit.survey.slurm.accounting", lambda *_: accounting)


def test_what_the_accounting_calls_out_of_memory_gets_more_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm_says(monkeypatch, {"12": "OUT_OF_MEMORY"})
    directory = ExperimentDir(tmp_path)
    sent(directory, log="r: attempt 1 started, process 7\n")
    begin_attempt(directory.run("r"), "12", 1)
    state = survey(directory, ["r"])[0]["r"]
    assert (state.state, state.kind) == ("lost", "out_of_memory")
    assert "Slurm's accounting says OUT_OF_MEMORY" in str(state.message)
    experiment = Experiment(experiment="e", task="crystal", params={}, resources={"memory": "1G"})  # type: ignore
    needed = retry_plan(directory.run("r"), {}, experiment, Limits(), None, Kind.OUT_OF_MEMORY)
    assert needed.resources.memory == 1536


def sent(directory: ExperimentDir, *, log: str | None) -> None:
    """Run `r`, sent to Slurm as job 12, which is not in the queue any more."""
    run = directory.run("r")
    run.path.mkdir(parents=True)
    run.config.touch()
    directory.slurm_logs(1).mkdir(parents=True)
    write_json(directory.pool_tasks(1), {"tasks": [["r"]]})
    chunk = {"submission": 1, "token": "t", "first": 0, "count": 1}
    manifest.log_submission(directory, {"submission": 1, "event": "begun", "kind": "slurm"})
    manifest.log_submission(directory, {**chunk, "event": "sending"})
    manifest.log_submission(directory, {**chunk, "event": "sent", "job_id": "12"})
    if log is not None:
        (directory.slurm_logs(1) / "12_0_log.out").write_text(log)


@pytest.mark.parametrize(
    ("log", "accounting", "booted", "state"),
    [
        (None, {}, 0.0, "cancelled"),
        ("module: not found\n", {}, 0.0, "lost"),
        ("requeue of job 12\nslurmstepd: error: *** STEP 12.0 ON n1 CANCELLED DUE TO JOB REQUEUE ***\n", {}, 0.0,
         "cancelled"),
        ("requeue of job 12\nnot requeued: Access denied\n", {}, 0.0, "lost"),
        ("requeue of job 12\nsubmitit INFO - Starting with JobEnvironment(…)\n", {}, 0.0, "lost"),
        (None, {"12": "NODE_FAIL"}, 0.0, "lost"),  # its node could not start it
        (None, {}, math.inf, "lost"),  # Slurm was started anew
    ],
)  # fmt: skip
def test_a_run_that_somebody_took_from_the_queue_is_cancelled_and_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: str | None, accounting: dict[str, str], booted: float,
    state: str,
) -> None:  # fmt: skip
    slurm_says(monkeypatch, accounting, booted)
    sent(ExperimentDir(tmp_path), log=log)
    assert survey(ExperimentDir(tmp_path), ["r"])[0]["r"].state == state


@pytest.mark.parametrize("kind", [None, "timeout", "preempted"])
def test_while_slurm_is_away_a_queued_run_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str | None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    directory = ExperimentDir(tmp_path / "e")
    sent(directory, log=None)
    if kind:
        write_json(directory.run("r").failure, {"kind": kind, "attempt": 1, "time": 1.0})
    assert survey(directory, ["r"])[0]["r"].state == "unknown"


def test_states_have_their_order() -> None:
    assert STATES[4:] == ("cancelled", "dropped", "unknown", "lost", "incomplete", "new")


def test_the_result_of_another_run_completes_none(tmp_path: Path) -> None:
    run = ExperimentDir(tmp_path).run("r")
    write_json(run.result, {"run_id": "another", "metrics": {"val_mae": 0.1}})
    assert run_state(run).state != "completed"
    write_json(run.result, {"run_id": "r", "metrics": {"val_mae": 0.1}})
    assert run_state(run).state == "completed"

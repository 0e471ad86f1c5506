"""Runs under a real parent process: they complete, fail, stop, die and resume."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from runner.files import append_json, read_json, read_json_lines, write_json
from runner.rundir import attempts
from runner.rundir.failures import Failure, Kind, read_failure
from runner.rundir.layout import RunDir
from runner.rundir.lock import Holder
from runner.rundir.processes import start_time
from runner.rundir.states import run_state
from tiny_experiment import environment, parent_command, wait_until, write_run


def run_parent(*directories: RunDir, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        parent_command(*directories), env=environment(**changes), capture_output=True, text=True, timeout=60
    )


def start_parent(*directories: RunDir, **changes: str) -> subprocess.Popen[str]:
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(parent_command(*directories), env=environment(**changes), **pipes)


def slurm_job(job_id: str, **changes: str) -> dict[str, str]:
    """The environment of a job whose Slurm cannot be asked: scontrol is not on the PATH."""
    return {"SLURM_JOB_ID": job_id, "PATH": "/nonexistent", **changes}


def running_epoch(directory: RunDir, epoch: int = 1) -> dict[str, Any]:
    """The heartbeat once `epoch` is recorded."""

    def reached() -> Any:
        heartbeat = read_json(directory.heartbeat)
        return heartbeat if heartbeat and (heartbeat["epoch"] or 0) >= epoch else None

    heartbeat: dict[str, Any] = wait_until(reached, what=f"epoch {epoch} of {directory.run_id}")
    return heartbeat


def undisturbed_loss(tmp_path: Path, **params: Any) -> float:
    directory = write_run(tmp_path / "undisturbed", **params)
    assert run_parent(directory).returncode == 0
    loss: float = read_json(directory.result)["metrics"]["val_loss"]
    return loss


def epochs(directory: RunDir) -> list[int]:
    return [line["epoch"] for line in read_json_lines(directory.metrics)]


def ended_attempts(directory: RunDir) -> list[dict[str, Any]]:
    return [line for line in read_json_lines(directory.attempts) if "ended" in line]


def test_completed_run_has_its_files_and_no_claim(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp")
    assert run_parent(directory).returncode == 0
    result = read_json(directory.result)
    assert result["run_id"] == "tiny-0"
    assert (result["epochs"], result["best_epoch"], result["attempts"], result["parameters"]) == (3, 3, 1, 1)
    assert result["seconds"] > 0
    (attempt,) = ended_attempts(directory)
    assert (attempt["outcome"], attempt["exit_status"], attempt["signal"]) == ("completed", 0, None)
    assert attempt["peak_memory_bytes"] > 5_000_000
    assert read_json(directory.heartbeat)["ended"]
    assert not directory.claim.exists()
    assert not directory.failure.exists()
    assert "completed" in directory.log(1).read_text()


def test_completed_run_is_not_started_again(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp")
    run_parent(directory)
    before = directory.result.read_bytes()
    again = run_parent(directory)
    assert again.returncode == 0
    assert "tiny-0: completed already" in again.stdout
    assert directory.result.read_bytes() == before
    assert len(ended_attempts(directory)) == 1


def test_cancelled_run_is_not_started(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp")
    write_json(directory.cancelled, {})
    assert run_parent(directory).returncode == 0
    assert not directory.attempts.exists()


@pytest.mark.parametrize(
    ("mischief", "kind", "words"),
    [
        ("raise", Kind.EXCEPTION, "the task was told to raise"),
        ("nan", Kind.DIVERGED, "the loss is not finite"),
        ("not_finite", Kind.DIVERGED, "val_loss = nan"),
        ("kill", Kind.KILLED, "SIGKILL"),
        ("segfault", Kind.EXCEPTION, "SIGSEGV"),
        ("exit", Kind.UNKNOWN, "exit status 3"),
    ],
)
def test_failed_run_says_its_kind(tmp_path: Path, mischief: str, kind: Kind, words: str) -> None:
    directory = write_run(tmp_path / "exp", mischief=mischief)
    assert run_parent(directory).returncode == 1
    failure = read_failure(directory)
    assert failure is not None
    assert (failure.kind, failure.attempt) == (kind, 1)
    assert words in failure.message
    assert not directory.result.exists()
    assert not directory.claim.exists()
    (attempt,) = ended_attempts(directory)
    assert (attempt["outcome"], attempt["kind"]) == ("failed", kind)


def test_traceback_is_in_failure_and_log(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp", mischief="raise")
    run_parent(directory)
    failure = read_failure(directory)
    assert failure is not None
    assert failure.fingerprint == "exception:ValueError:tiny_task.py:mischief"
    assert "in mischief" in failure.traceback
    assert "in mischief" in directory.log(1).read_text()


@pytest.mark.parametrize(("limit_mib", "kind"), [("160", Kind.OUT_OF_MEMORY), ("4096", Kind.KILLED)])
def test_kill_near_the_memory_limit_is_out_of_memory(tmp_path: Path, limit_mib: str, kind: Kind) -> None:
    directory = write_run(tmp_path / "exp", mischief="allocate", allocate_mib=150)
    run_parent(directory, SLURM_MEM_PER_NODE=limit_mib)
    failure = read_failure(directory)
    assert failure is not None
    assert failure.kind is kind
    assert ended_attempts(directory)[0]["peak_memory_bytes"] > 150 << 20


def test_wrong_parameters_are_bad_config_with_the_key(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp", train={"epochs": "many"})
    assert run_parent(directory).returncode == 1
    failure = read_failure(directory)
    assert failure is not None
    assert failure.kind is Kind.BAD_CONFIG
    assert "params.train.epochs" in failure.message


def test_damaged_config_is_bad_config(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp")
    directory.config.write_text("run_id: [unclosed")
    assert run_parent(directory).returncode == 1
    failure = read_failure(directory)
    assert failure is not None
    assert failure.kind is Kind.BAD_CONFIG
    assert "not valid YAML" in failure.message


def test_new_attempt_removes_the_failure_of_the_older_one(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp", mischief="raise", first_attempts=1)
    run_parent(directory)
    assert run_parent(directory).returncode == 0
    assert not directory.failure.exists()
    assert read_json(directory.result)["attempts"] == 2
    assert epochs(directory) == [1, 2, 3]


def test_killed_run_resumes_bit_for_bit_and_sums_its_seconds(tmp_path: Path) -> None:
    slow = {"seed": 7, "epochs": 5, "epoch_seconds": 0.1}
    directory = write_run(tmp_path / "exp", train=slow, mischief="kill", at_epoch=3, first_attempts=1)
    run_parent(directory)
    assert run_parent(directory).returncode == 0
    result = read_json(directory.result)
    assert result["metrics"]["val_loss"] == undisturbed_loss(tmp_path, train={"seed": 7, "epochs": 5})
    assert epochs(directory) == [1, 2, 3, 4, 5]
    assert result["seconds"] > 0.5  # five epochs in two attempts
    assert "starts after epoch 2" in directory.log(2).read_text()


def test_runs_of_one_parent_do_not_hurt_each_other(tmp_path: Path) -> None:
    good = write_run(tmp_path / "exp", "good", train={"epochs": 3, "epoch_seconds": 0.2})
    bad = write_run(tmp_path / "exp", "bad", mischief="kill")
    missing = RunDir(tmp_path / "exp" / "runs" / "missing")
    assert run_parent(bad, missing, good).returncode == 1
    assert good.result.exists()
    assert bad.failure.exists()


@pytest.mark.parametrize(
    ("number", "kind"),
    [(signal.SIGTERM, Kind.CANCELLED), (signal.SIGINT, Kind.CANCELLED), (signal.SIGUSR2, Kind.PREEMPTED)],
)
def test_signal_to_the_parent_makes_a_checkpoint(tmp_path: Path, number: signal.Signals, kind: Kind) -> None:
    directory = write_run(tmp_path / "exp", train={"epochs": 1000, "epoch_seconds": 0.05})
    parent = start_parent(directory)
    running_epoch(directory, 2)
    parent.send_signal(number)
    output, _ = parent.communicate(timeout=20)
    assert parent.returncode == 1, output
    failure = read_failure(directory)
    assert failure is not None
    assert (failure.kind, failure.provisional) == (kind, False)
    assert "wrote its checkpoint and left" in failure.message
    assert read_json(directory.last_checkpoint)["epoch"] == epochs(directory)[-1] >= 2
    assert ended_attempts(directory)[0]["outcome"] == "stopped"


def test_signal_shortly_before_the_time_limit_is_a_timeout(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp", train={"epochs": 1000, "epoch_seconds": 0.05})
    end = str(int(time.time() + 60))
    parent = start_parent(directory, **slurm_job("1", SLURM_JOB_END_TIME=end))
    running_epoch(directory)
    parent.send_signal(signal.SIGUSR2)
    parent.communicate(timeout=20)
    failure = read_failure(directory)
    assert failure is not None
    assert (failure.kind, failure.job_id) == (Kind.TIMEOUT, "1")


def test_run_that_does_not_stop_is_killed_after_the_grace(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp", train={"epochs": 1000, "epoch_seconds": 0.05}, deaf=True)
    parent = start_parent(directory, RUNNER_GRACE_S="1")
    child = running_epoch(directory)["pid"]
    parent.send_signal(signal.SIGTERM)
    provisional = wait_until(lambda: read_failure(directory), what="provisional failure")
    assert provisional.provisional
    parent.communicate(timeout=20)
    failure = read_failure(directory)
    assert failure is not None
    assert (failure.kind, failure.provisional) == (Kind.CANCELLED, False)
    assert "did not stop in time" in failure.message
    assert start_time(child) is None


def test_run_that_completes_while_it_is_asked_to_stop_is_completed(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp", train={"epochs": 20, "epoch_seconds": 0.05}, deaf=True)
    parent = start_parent(directory)
    running_epoch(directory)
    parent.send_signal(signal.SIGTERM)
    wait_until(directory.failure.exists, what="provisional failure")
    parent.communicate(timeout=20)
    assert parent.returncode == 0
    assert directory.result.exists()
    assert not directory.failure.exists()


def test_run_that_failed_just_before_it_was_asked_to_stop_keeps_its_own_failure(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp", train={"epochs": 5, "epoch_seconds": 0.2}, mischief="raise", at_epoch=3)
    parent = start_parent(directory)
    child = running_epoch(directory)["pid"]
    parent.send_signal(signal.SIGSTOP)
    wait_until(lambda: start_time(child) is None, what="end of the child")
    parent.send_signal(signal.SIGTERM)
    parent.send_signal(signal.SIGCONT)
    parent.communicate(timeout=20)
    failure = read_failure(directory)
    assert failure is not None
    assert (failure.kind, failure.message) == (Kind.EXCEPTION, "the task was told to raise")


def test_child_of_a_killed_parent_checkpoints_and_leaves(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp", train={"epochs": 1000, "epoch_seconds": 0.05})
    parent = start_parent(directory)
    child = running_epoch(directory, 2)["pid"]
    parent.kill()
    parent.communicate()
    wait_until(lambda: start_time(child) is None, what="end of the orphan")
    failure = read_failure(directory)
    assert failure is not None
    assert failure.kind is Kind.KILLED
    assert "parent_gone" in failure.message
    assert read_json(directory.last_checkpoint)["epoch"] >= 2


def test_attempt_after_a_killed_parent_takes_over_and_closes_the_lost_attempt(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp", train={"epochs": 6, "epoch_seconds": 0.1})
    parent = start_parent(directory)
    child = running_epoch(directory, 2)["pid"]
    parent.kill()
    os.kill(child, signal.SIGKILL)
    parent.communicate()
    wait_until(lambda: start_time(child) is None, what="end of the child")
    assert directory.claim.exists()
    assert run_parent(directory).returncode == 0
    lost, completed = ended_attempts(directory)
    assert (lost["outcome"], completed["outcome"]) == ("lost", "completed")
    assert lost["seconds"] > 0.2
    assert read_json(directory.result)["seconds"] > 0.6
    assert epochs(directory) == [1, 2, 3, 4, 5, 6]


def test_second_parent_leaves_and_says_who_runs_it(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp", train={"epochs": 1000, "epoch_seconds": 0.05})
    first = start_parent(directory)
    running_epoch(directory)
    second = run_parent(directory)
    assert second.returncode == 0
    assert f"tiny-0: left to process {first.pid} on" in second.stdout
    first.terminate()
    first.communicate(timeout=20)
    assert len(ended_attempts(directory)) == 1


def test_of_parents_started_at_once_one_runs_the_run(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp", train={"epochs": 30, "epoch_seconds": 0.1})
    parents = [start_parent(directory) for _ in range(6)]
    outputs = [parent.communicate(timeout=30)[0] for parent in parents]
    assert [parent.returncode for parent in parents] == [0] * 6, outputs
    assert sum("tiny-0: attempt 1 started" in output for output in outputs) == 1
    assert sum("tiny-0: left to process" in output for output in outputs) == 5
    assert epochs(directory) == list(range(1, 31))


def test_requeued_task_waits_for_its_dying_former_self(tmp_path: Path) -> None:
    slow = {"epochs": 1000, "epoch_seconds": 0.05}
    directory = write_run(tmp_path / "exp", train=slow, checkpoint_seconds=3.0)
    job = slurm_job("5", RUNNER_HEARTBEAT_S="1.5")  # four of these are longer than the checkpoint takes
    first = start_parent(directory, **job)
    running_epoch(directory)
    first.send_signal(signal.SIGUSR2)
    second = start_parent(directory, **job, SLURM_RESTART_COUNT="1")
    assert "waiting to see whether it still lives" in second.stdout.readline()
    first.communicate(timeout=20)
    wait_until(lambda: (read_json(directory.heartbeat) or {}).get("attempt") == 2, what="second attempt")
    second.terminate()
    second.communicate(timeout=20)
    assert [line["attempt"] for line in ended_attempts(directory)] == [1, 2]


def test_run_held_on_another_machine_is_taken_over_once_its_heartbeat_stays_away(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp")
    holder = {**Holder.of_this_process(None).__dict__, "machine": "another", "host": "other"}
    write_json(directory.claim, holder)
    begun = time.monotonic()
    assert run_parent(directory).returncode == 0
    assert time.monotonic() - begun > 1.4  # three heartbeats of 0.5 s
    assert directory.result.exists()


def test_run_held_on_another_machine_is_left_when_it_beats(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp")
    holder = {**Holder.of_this_process(None).__dict__, "machine": "another", "host": "other", "pid": 4711}
    write_json(directory.claim, holder)
    parent = start_parent(directory)
    assert "waiting to see" in parent.stdout.readline()
    os.utime(directory.claim)
    output, _ = parent.communicate(timeout=20)
    assert parent.returncode == 0
    assert "left to process 4711 on other" in output
    assert not directory.attempts.exists()


def test_run_that_lost_its_directory_is_ended_and_writes_nothing(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp", train={"epochs": 1000, "epoch_seconds": 0.05})
    parent = start_parent(directory)
    running_epoch(directory, 2)
    thief = {**Holder.of_this_process(None).__dict__, "machine": "another", "host": "other"}
    write_json(directory.claim, thief)
    output, _ = parent.communicate(timeout=20)
    assert "taken over by another process; nothing written" in output
    assert read_json(directory.claim) == thief
    assert not directory.failure.exists()
    assert ended_attempts(directory) == []


def test_failure_in_the_same_job_stands_when_slurm_requeues_it(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp")
    Failure(Kind.EXCEPTION, "a bug", 1, time.time(), "5").write(directory)
    job = slurm_job("5")
    requeued = run_parent(directory, **job, SLURM_RESTART_COUNT="1")
    assert requeued.returncode == 1
    assert "failed before in this job (exception); not started again" in requeued.stdout
    assert run_parent(directory, **job).returncode == 0  # sent again by hand: another story


def test_circuit_breaker_stops_at_the_limit(tmp_path: Path) -> None:
    config = {"stop_after_same_error": 2}
    runs = [write_run(tmp_path / "exp", f"r{i}", config=config, mischief="raise") for i in range(3)]
    for directory in runs:
        run_parent(directory)
    kinds = [failure.kind for directory in runs if (failure := read_failure(directory))]
    assert kinds == [Kind.EXCEPTION, Kind.EXCEPTION, Kind.CANCELLED]
    last = read_failure(runs[2])
    assert last is not None
    assert "2 runs of this experiment failed in the same way" in last.message
    assert "(exception:ValueError:tiny_task.py:mischief)" in last.message
    assert "runner resubmit exp --force" in last.message
    assert not runs[2].attempts.exists()


def test_circuit_breaker_forgets_failures_before_the_submission(tmp_path: Path) -> None:
    config = {"stop_after_same_error": 2}
    for i in range(2):
        run_parent(write_run(tmp_path / "exp", f"r{i}", config=config, mischief="raise"))
    after = write_run(tmp_path / "exp", "after", config=config)
    assert run_parent(after, RUNNER_SUBMITTED_AT=str(time.time())).returncode == 0


def test_only_the_best_checkpoint_is_kept_when_asked(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp", config={"keep": {"checkpoints": "best"}})
    run_parent(directory)
    assert directory.best_checkpoint.exists()
    assert not directory.last_checkpoint.exists()


def test_half_written_files_of_a_killed_attempt_are_swept(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp")
    (directory.path / ".last.pt.abc.part").write_text("half")
    (directory.path / ".cancelled.json.abc.part").write_text("half")  # of `runner cancel`, which is about to rename it
    run_parent(directory)
    assert [path.name for path in directory.path.glob(".*")] == [".cancelled.json.abc.part"]


def test_child_that_a_signal_ends_after_its_last_word_has_still_stopped(tmp_path: Path) -> None:
    """Slurm signals the child as well; a second SIGTERM may come while its interpreter shuts down."""
    directory = write_run(tmp_path / "exp", train={"epochs": 1000, "epoch_seconds": 0.05}, lingers=True)
    parent = start_parent(directory)
    child = running_epoch(directory)["pid"]
    os.kill(child, signal.SIGTERM)
    parent.send_signal(signal.SIGUSR2)
    wait_until(lambda: "lingers" in directory.log(1).read_text(), what="the child's last word")
    os.kill(child, signal.SIGKILL)
    parent.communicate(timeout=20)
    failure = read_failure(directory)
    assert failure is not None
    assert failure.kind is Kind.PREEMPTED
    assert "wrote its checkpoint and left" in failure.message


def test_attempt_that_vanished_near_its_memory_limit_ran_out_of_memory(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "exp", train={"epochs": 6, "epoch_seconds": 0.1})
    parent = start_parent(directory)
    heartbeat = running_epoch(directory, 2)
    parent.kill()
    os.kill(heartbeat["pid"], signal.SIGKILL)
    parent.communicate()
    wait_until(lambda: start_time(heartbeat["pid"]) is None, what="end of the child")
    write_json(directory.heartbeat, {**heartbeat, "peak_memory_bytes": 95 << 20, "memory_limit_bytes": 100 << 20})
    state = run_state(directory)
    assert (state.state, state.kind) == ("lost", "out_of_memory")
    assert "last seen with 95 of 100 MiB allowed" in (state.message or "")
    assert attempts.exhausted(attempts.ended_attempts(directory)) == {"out_of_memory": 1}
    assert run_parent(directory).returncode == 0
    assert [line["kind"] for line in ended_attempts(directory) if line["outcome"] == "lost"] == ["out_of_memory"]
    assert attempts.exhausted(attempts.ended_attempts(directory)) == {"out_of_memory": 1}


def test_what_the_parent_wrote_in_advance_is_the_kind_of_an_attempt_that_vanished(tmp_path: Path) -> None:
    """Slurm ends parent and run together for their memory, although the run alone was far from the limit."""
    directory = write_run(tmp_path / "exp")
    write_json(directory.heartbeat, {"attempt": 1, "time": 1.0, "peak_memory_bytes": 60, "memory_limit_bytes": 100})
    append_json(directory.attempts, {"attempt": 1, "time": 1.0})
    Failure(Kind.OUT_OF_MEMORY, "memory was scarce", 1, 1.0, provisional=True).write(directory)
    assert attempts.exhausted(attempts.ended_attempts(directory)) == {"out_of_memory": 1}
    assert run_parent(directory).returncode == 0
    assert attempts.exhausted(attempts.ended_attempts(directory)) == {"out_of_memory": 1}


def test_preemption_that_looked_like_a_cancellation_goes_on_in_the_same_job(tmp_path: Path) -> None:
    """Slurm never runs a cancelled job again, so its word counts more than our guess."""
    directory = write_run(tmp_path / "exp")
    Failure(Kind.CANCELLED, "asked to stop (cancelled)", 1, time.time(), "5").write(directory)
    assert run_parent(directory, **slurm_job("5", SLURM_RESTART_COUNT="1")).returncode == 0
    assert directory.result.exists()


def test_run_outlives_a_directory_that_cannot_be_written_for_a_while(tmp_path: Path) -> None:
    """Neither its claim, nor its heartbeat, nor its logs can be written for several heartbeats."""
    directory = write_run(tmp_path / "exp", train={"epochs": 20, "epoch_seconds": 0.2})
    # root writes everywhere, unless it may not
    bound = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"] if os.getuid() == 0 else []
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    parent = subprocess.Popen([*bound, *parent_command(directory)], env=environment(), **pipes)
    running_epoch(directory, 2)
    directory.path.chmod(0o555)
    time.sleep(8)
    assert not directory.result.exists()
    directory.path.chmod(0o755)
    told, _ = parent.communicate(timeout=60)
    assert parent.returncode == 0, told
    assert read_json(directory.result)["attempts"] == 1
    assert [line["epoch"] for line in read_json_lines(directory.metrics)] == list(range(1, 21))

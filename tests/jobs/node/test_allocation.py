"""What a parent knows about its Slurm job."""

from __future__ import annotations

import signal

import pytest

from jobs.node.allocation import Allocation, Verdict

NOW = 1_800_000_000.0
TERM, USR2 = signal.SIGTERM, signal.SIGUSR2


def allocation(**environ: str) -> Allocation:
    return Allocation.from_environment({"SLURM_JOB_ID": "31", **environ}, NOW)


def test_array_task_has_the_id_that_slurm_writes() -> None:
    task = allocation(SLURM_ARRAY_JOB_ID="31", SLURM_ARRAY_TASK_ID="4", SLURM_RESTART_COUNT="2")
    assert (task.job_id, task.array_task_id, task.restarts) == ("31_4", 4, 2)
    assert allocation().job_id == "31"


def test_without_slurm_there_is_nothing_to_ask_or_to_requeue() -> None:
    local = Allocation.from_environment({"RUNNER_JOB_ID": "local-2", "RUNNER_REQUEUE": "1"}, NOW)
    assert (local.job_id, local.may_requeue, local.ask(TERM, NOW)) == ("local-2", False, None)


def test_end_comes_from_slurm_or_from_the_submitted_time_limit() -> None:
    assert allocation(SLURM_JOB_END_TIME="1800000100", RUNNER_TIME_LIMIT_S="60").end == NOW + 100
    assert allocation(RUNNER_TIME_LIMIT_S="60").end == NOW + 60
    assert allocation().end is None


@pytest.mark.parametrize(
    ("number", "seconds_left", "reason"),
    [(USR2, 90, "timeout"), (USR2, 3600, "preempted"), (TERM, -1, "timeout"), (TERM, 3600, "cancelled")],
)
def test_time_left_tells_a_timeout_from_other_reasons(number: int, seconds_left: int, reason: str) -> None:
    assert allocation(RUNNER_TIME_LIMIT_S=str(seconds_left)).guess_reason(number, NOW) == reason


@pytest.mark.parametrize(
    ("number", "shown", "verdict"),
    [  # as Slurm 22.05 showed them at preemption, scancel, requeue, and at the time limit
        (USR2, "JobState=RUNNING Restarts=0 PreemptTime=2027-01-15T08:00:00", Verdict("preempted")),
        (USR2, "JobState=RUNNING Restarts=0 PreemptTime=None EndTime=Unknown", Verdict("preempted")),
        (TERM, "JobState=COMPLETING Restarts=0 RunTime=00:00:01 TimeLimit=00:10:00", Verdict("cancelled")),
        (TERM, "JobState=COMPLETING Restarts=0 RunTime=00:00:01 TimeLimit=UNLIMITED", Verdict("cancelled")),
        (TERM, "JobState=COMPLETING Restarts=1 RunTime=00:00:00 TimeLimit=00:10:00", Verdict("preempted", True)),
        (TERM, "JobState=COMPLETING Restarts=0 RunTime=1-00:00:03 TimeLimit=1-00:00:00", Verdict("timeout")),
        (TERM, "JobState=CANCELLED Restarts=0", Verdict("cancelled")),
        (TERM, "JobState=PENDING Restarts=0", Verdict("preempted", True)),
    ],
)
def test_slurms_own_words_are_understood(number: int, shown: str, verdict: Verdict) -> None:
    facts = dict(word.split("=") for word in shown.split())
    assert allocation().judge(facts, number, NOW) == verdict


def test_end_that_an_administrator_has_moved_counts() -> None:
    from datetime import datetime

    soon = datetime.fromtimestamp(NOW + 30).isoformat(timespec="seconds")
    facts = {"JobState": "RUNNING", "EndTime": soon}
    assert allocation(RUNNER_TIME_LIMIT_S="3600").judge(facts, USR2, NOW) == Verdict("timeout")

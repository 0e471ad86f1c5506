"""Kinds of failures, and the failure.json that tells them."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.failure import (
    Kind,
    RunFailure,
    Stopped,
    failure_of_death,
    failure_of_exception,
    kind_of_exception,
)
from runner.errors import UserError
from runner.rundir.failures import Failure, read_failure
from runner.rundir.layout import RunDir


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_kinds_that_may_pass_are_retried() -> None:
    retried = [kind.value for kind in Kind if kind.retried]
    assert retried == ["out_of_memory", "gpu_out_of_memory", "timeout", "preempted", "node_failure", "killed"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), Kind.OUT_OF_MEMORY),
        (OSError(12, "Cannot allocate memory"), Kind.OUT_OF_MEMORY),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate"), Kind.OUT_OF_MEMORY),
        (RuntimeError("CUDA error: out of memory"), Kind.GPU_OUT_OF_MEMORY),
        (UserError("no such data set"), Kind.BAD_CONFIG),
        (RunFailure("data_missing", "no structures"), Kind.DATA_MISSING),
        (FileNotFoundError("any file"), Kind.EXCEPTION),
        (ValueError("CUDA out of memory is only quoted here"), Kind.EXCEPTION),
        (Stopped("parent_gone"), Kind.KILLED),
    ],
)
def test_exceptions_have_kinds(error: BaseException, kind: Kind) -> None:
    assert kind_of_exception(error) is kind


@pytest.mark.torch
def test_torchs_own_out_of_memory_error_is_known_by_name() -> None:
    import torch

    assert kind_of_exception(torch.OutOfMemoryError("any text")) is Kind.GPU_OUT_OF_MEMORY


def test_explicit_cause_of_an_exception_counts() -> None:
    wrapped = RuntimeError("batch 3 failed")
    wrapped.__cause__ = RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
    assert kind_of_exception(wrapped) is Kind.GPU_OUT_OF_MEMORY


@pytest.mark.parametrize(
    ("status", "memory", "kind"),
    [
        (-9, "peak 990 MiB of 1000 MiB allowed", Kind.OUT_OF_MEMORY),
        (-9, None, Kind.KILLED),
        (-11, "peak 990 MiB of 1000 MiB allowed", Kind.EXCEPTION),
        (0, None, Kind.UNKNOWN),
        (3, None, Kind.UNKNOWN),
    ],
)
def test_silent_deaths_have_kinds(status: int, memory: str | None, kind: Kind) -> None:
    assert failure_of_death(status, memory, attempt=1, job_id=None).kind is kind


def test_fingerprint_is_the_place_and_not_the_message() -> None:
    first = failure_of_exception(raised(ValueError("crystal 17 is empty")), 1, None)
    second = failure_of_exception(raised(ValueError("crystal 99 is empty")), 2, "7_3")
    other = failure_of_exception(raised(TypeError("crystal 17 is empty")), 1, None)
    assert first.fingerprint == second.fingerprint == "exception:ValueError:test_failure.py:raised"
    assert other.fingerprint != first.fingerprint


def test_failure_is_read_as_it_was_written(tmp_path: Path) -> None:
    failure = failure_of_exception(raised(KeyError("x")), 2, "12_4")
    failure.write(RunDir(tmp_path))
    assert read_failure(RunDir(tmp_path)) == failure
    assert "KeyError" in failure.traceback


def test_half_written_failure_is_of_kind_unknown_and_unknown_fields_are_ignored(tmp_path: Path) -> None:
    directory = RunDir(tmp_path)
    assert read_failure(directory) is None
    directory.failure.write_text('{"kind": "timeo')
    assert read_failure(directory) == Failure(Kind.UNKNOWN, "failure.json is not readable")
    directory.failure.write_text('{"kind": "timeout", "attempt": 3, "time": 5.0, "colour": "red"}')
    assert read_failure(directory) == Failure(Kind.TIMEOUT, "", 3, 5.0)


def test_stop_reason_must_be_known() -> None:
    with pytest.raises(ValueError, match="allowed: preempted, timeout, cancelled, parent_gone"):
        Stopped("tired")


TRACEBACK = 'Traceback (most recent call last):\n  File "/a/{}/train.py", line {}, in {}\n    fail()\nValueError: {}\n'


@pytest.mark.parametrize(
    ("output", "place"),
    [
        (TRACEBACK.format("r1", 3, "load", "no 7"), "ValueError:train.py:load"),
        (TRACEBACK.format("r2", 9, "step", "x") + "job ended", "ValueError:train.py:step"),
        ("a\nbash: line 1: /data/r1/train.py: No such file or directory\n", "bash: line No such file or directory"),
        ("error: lr=0.1 is wrong for sample 12 of /data/x", "error: is wrong for sample of"),
        ("", ""),
    ],
)
def test_fingerprint_of_a_program_is_its_own_place_without_what_varies(output: str, place: str) -> None:
    error = RunFailure(Kind.EXCEPTION, "the command ended with exit status 1")
    error.output = output
    assert failure_of_exception(error, 1, None).fingerprint == f"exception:{place}"

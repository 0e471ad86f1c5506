"""failure.json, and the kinds of failure: which are retried, and what to do about each. The only list of them."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal

from runner.files import write_json
from runner.record import JobId, Record
from runner.rundir.layout import RunDir


class Kind(StrEnum):
    """What made a run fail."""

    retried: bool  # by policy; the others need a person, or --force
    advice: str  # what to do about it, whatever the task

    def __new__(cls, word: str, retried: bool = False, advice: str = "") -> Kind:
        kind = str.__new__(cls, word)
        kind._value_, kind.retried, kind.advice = word, retried, advice
        return kind

    OUT_OF_MEMORY = "out_of_memory", True, "ask for more memory: resources.memory"
    GPU_OUT_OF_MEMORY = "gpu_out_of_memory", True, "smaller batches, or a larger GPU"
    TIMEOUT = "timeout", True, "more time: resources.time; it goes on from its checkpoint, where it has one"
    PREEMPTED = "preempted", True, ""
    NODE_FAILURE = "node_failure", True, ""
    KILLED = "killed", True, ""
    CANCELLED = "cancelled", False, ""
    DIVERGED = "diverged", False, "a smaller learning rate"
    BAD_CONFIG = "bad_config", False, "correct the experiment file and submit it again"
    DATA_MISSING = "data_missing", False, "put back what is missing, or `runner prepare` where there is internet"
    EXCEPTION = "exception", False, "read its last lines above; the whole output is in its log"
    UNKNOWN = "unknown", False, ""


# Those that a command can say with its exit status
CommandKind = Literal["diverged", "out_of_memory", "gpu_out_of_memory", "data_missing", "bad_config", "exception"]


def is_retried(kind: Kind, task: str | None) -> bool:
    """Whether the policy may retry `kind`; a command cannot be told to work in smaller pieces."""
    return kind.retried and not (kind is Kind.GPU_OUT_OF_MEMORY and task == "command")


def kind_of(word: object) -> Kind:
    """`word` of a file as a kind; `unknown` for what no version of ours writes there."""
    return Kind(word) if isinstance(word, str) and word in list(Kind) else Kind.UNKNOWN


@dataclass(frozen=True)
class Failure(Record):
    """failure.json: why the last attempt of a run did not complete."""

    readers: ClassVar = {"kind": kind_of}

    kind: Kind = Kind.UNKNOWN
    message: str = ""
    attempt: int = 0
    time: float = 0.0  # Unix seconds
    job_id: JobId | None = None
    traceback: str = ""
    fingerprint: str = ""  # equal for failures that have the same cause, for the circuit breaker
    provisional: bool = False  # written by the parent when the run was asked to stop and had not left yet

    def write(self, run: RunDir) -> None:
        write_json(run.failure, vars(self))


def read_failure(run: RunDir) -> Failure | None:
    """The failure of the last attempt: None where there is none, one of kind unknown where its file is damaged."""
    return failure_at(os.fspath(run.failure))


def failure_at(path: str) -> Failure | None:
    """The same of a path, for those who look at thousands."""
    with suppress(PermissionError):  # a colleague's run; the others can still be shown
        if failure := Failure.read(path):
            return failure
    return Failure(message=f"{os.path.basename(path)} is not readable") if os.path.lexists(path) else None

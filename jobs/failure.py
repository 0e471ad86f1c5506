"""Why a run did not complete: the exceptions, and the failure that an ending stands for."""

from __future__ import annotations

import errno
import re
import signal
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from runner.errors import UserError
from runner.rundir.failures import Failure
from runner.rundir.failures import Kind as Kind

# What `RunContext.stop_reason` may say, and the kind a run then fails with.
STOP_REASONS = {
    **{kind.value: kind for kind in (Kind.PREEMPTED, Kind.TIMEOUT, Kind.CANCELLED)},
    "parent_gone": Kind.KILLED,
}


# The exit status of a run's process
EXIT_FAILED = 1  # failure.json says why
EXIT_STOPPED = 75  # asked to stop, checkpoint written
EXIT_SUPERSEDED = 76  # another process has the run directory now; nothing was written any more


class RunFailure(Exception):
    """A failure whose kind is known where it happens, such as a loss that is not finite."""

    def __init__(self, kind: Kind | str, message: str) -> None:
        self.kind = Kind(kind)  # decides whether the run is tried again
        self.output: str | None = None  # of a program that was started: its last words stand for a traceback of ours
        super().__init__(message)


LEFT_WITH_CHECKPOINT = "wrote its checkpoint and left"
LEFT_WITHOUT = "left without a checkpoint"


class Stopped(Exception):
    """The run was asked to stop and has left; `checkpoint`: whether it can go on from one."""

    def __init__(self, reason: str, checkpoint: bool = True) -> None:
        if reason not in STOP_REASONS:
            raise ValueError(f"stop reason {reason!r}; allowed: {', '.join(STOP_REASONS)}")
        self.reason, self.checkpoint = reason, checkpoint
        super().__init__(reason)


def failure_of_exception(error: BaseException, attempt: int, job_id: str | None) -> Failure:
    """The failure that `error`, which escaped from a task, stands for."""
    kind = kind_of_exception(error)
    if isinstance(error, Stopped):
        left = LEFT_WITH_CHECKPOINT if error.checkpoint else LEFT_WITHOUT
        message, text = f"asked to stop ({error.reason}): {left}", ""
    else:
        message = str(error) or type(error).__name__
        output = error.output if isinstance(error, RunFailure) else None
        text = "".join(traceback.format_exception(error)) if output is None else output
    return Failure(kind, message, attempt, time.time(), job_id, text, _fingerprint(kind, error))


def failure_of_death(status: int, memory: str | None, attempt: int, job_id: str | None) -> Failure:
    """The failure of a run whose process ended without a word.

    status: exit status, negative for a signal (as `subprocess` writes it). memory: what shows that the machine ran
    out of memory, None when nothing does.
    """
    ending = f"exit status {status}" if status >= 0 else signal.Signals(-status).name
    if status == -signal.SIGKILL and memory:
        kind, message = Kind.OUT_OF_MEMORY, f"killed (SIGKILL) for its memory: {memory}"
    elif status == -signal.SIGKILL:
        kind, message = Kind.KILLED, "killed (SIGKILL) by someone else; its memory was within the limit"
    elif status < 0:
        kind, message = Kind.EXCEPTION, f"the process ended by {ending}; its log may hold the place"
    elif status == 0:
        kind, message = Kind.UNKNOWN, "the process ended with status 0 but left no result.json"
    else:
        kind, message = Kind.UNKNOWN, f"the process ended with {ending} and left no failure.json; see its log"
    return Failure(kind, message, attempt, time.time(), job_id, fingerprint=f"{kind}:{ending}")


def kind_of_exception(error: BaseException) -> Kind:
    """Classified by name, so that torch need not be imported; an explicit cause (`raise … from`) counts too."""
    for link in _causes(error):
        if isinstance(link, RunFailure):
            return link.kind
        if isinstance(link, Stopped):
            return STOP_REASONS[link.reason]
        if _is_gpu_memory(link):
            return Kind.GPU_OUT_OF_MEMORY
        if _is_memory(link):
            return Kind.OUT_OF_MEMORY
        if isinstance(link, UserError):
            return Kind.BAD_CONFIG
    return Kind.EXCEPTION


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _is_gpu_memory(error: BaseException) -> bool:
    of_torch = any(c.__name__ == "OutOfMemoryError" and c.__module__.startswith("torch") for c in type(error).__mro__)
    signs = ("CUDA out of memory", "CUDA error: out of memory", "HIP out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return of_torch or (isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs))


def _is_memory(error: BaseException) -> bool:
    refused = isinstance(error, OSError) and error.errno == errno.ENOMEM
    return (
        refused
        or isinstance(error, MemoryError)
        or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))
    )


# A frame of a traceback, and whatever stands in front of the name of the exception
_FRAME = re.compile(r'^ +File "(.+)", line \d+, in (.+)$', re.MULTILINE)
_VARIES = re.compile(r"\S*[\d/=]\S*")  # numbers, paths and settings


def _of_program(output: str) -> str:
    """Where the traceback of a program ends, else its last line without the words that vary between runs."""
    if frames := list(_FRAME.finditer(output)):
        name = re.search(r"^[A-Za-z_][\w.]*", output[frames[-1].end() :], re.MULTILINE)
        return f"{name[0] if name else '?'}:{Path(frames[-1][1]).name}:{frames[-1][2]}"
    return " ".join(_VARIES.sub("", output.strip().rpartition("\n")[2]).split())[:80]


def _fingerprint(kind: Kind, error: BaseException) -> str:
    """Kind, exception and the function that raised it; no line number and no message, which vary between runs."""
    if isinstance(error, RunFailure) and error.output is not None:
        return f"{kind}:{_of_program(error.output)}"
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].name}" if frames else "?"
    return f"{kind}:{type(error).__name__}:{place}"

"""The kinds of failure: which of them are retried, and what to do about each. The only list of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal


class Kind(StrEnum):
    """What made a run fail."""

    retried: bool  # by policy; the others need a person, or --force
    advice: str  # what to do about it, whatever the task

    def __new__(cls, word: str, retried: bool = False, advice: str = "") -> Kind:
        kind = str.__new__(cls, word)
        kind._value_ = word
        kind.retried = retried
        kind.advice = advice
        return kind

    OUT_OF_MEMORY = "out_of_memory", True, "ask for more memory: resources.memory"
    GPU_OUT_OF_MEMORY = (
        "gpu_out_of_memory", True, "a smaller train.batch_size or train.micro_batch, or a larger GPU"
    )  # fmt: skip
    TIMEOUT = "timeout", True, "more time: resources.time; the run goes on from its checkpoint"
    PREEMPTED = "preempted", True, ""
    NODE_FAILURE = "node_failure", True, ""
    KILLED = "killed", True, ""
    CANCELLED = "cancelled", False, ""
    DIVERGED = "diverged", False, "a smaller train.learning_rate, or train.gradient_clip: 1.0"
    BAD_CONFIG = "bad_config", False, "mend the experiment file and submit it again"
    DATA_MISSING = "data_missing", False, "put back what is gone, or `runner prepare` where there is internet"
    EXCEPTION = "exception", False, "read the traceback in its log"
    UNKNOWN = "unknown", False, ""


# Those that a command can say with its exit status
CommandKind = Literal["diverged", "out_of_memory", "gpu_out_of_memory", "data_missing", "bad_config", "exception"]


def kind_of(word: object) -> Kind:
    """`word` of a file as a kind; `unknown` for what no version of ours writes there."""
    return Kind(word) if isinstance(word, str) and word in list(Kind) else Kind.UNKNOWN

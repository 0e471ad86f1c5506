"""The kinds of failure: which of them are retried, and what to do about each. The only list of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal


class Kind(StrEnum):
    """What made a run fail."""

    retried: bool  # by policy; the others need a person, or --force
    advice: str  # what to do about it, whatever the task
    keys: str  # the same for tasks of ours that train: the keys to change

    def __new__(cls, word: str, retried: bool = False, advice: str = "", keys: str = "") -> Kind:
        kind = str.__new__(cls, word)
        kind._value_ = word
        kind.retried = retried
        kind.advice = advice
        kind.keys = keys
        return kind

    OUT_OF_MEMORY = "out_of_memory", True, "ask for more memory: resources.memory"
    GPU_OUT_OF_MEMORY = (
        "gpu_out_of_memory", True, "smaller batches, or a larger GPU",
        "a smaller train.batch_size or train.micro_batch, or a larger GPU",
    )  # fmt: skip
    TIMEOUT = "timeout", True, "more time: resources.time; it goes on from its checkpoint, where it has one"
    PREEMPTED = "preempted", True, ""
    NODE_FAILURE = "node_failure", True, ""
    KILLED = "killed", True, ""
    CANCELLED = "cancelled", False, ""
    DIVERGED = (
        "diverged", False, "a smaller learning rate",
        "a smaller train.learning_rate, or train.gradient_clip: 1.0",
    )  # fmt: skip
    BAD_CONFIG = "bad_config", False, "correct the experiment file and submit it again"
    DATA_MISSING = "data_missing", False, "put back what is missing, or `runner prepare` where there is internet"
    EXCEPTION = "exception", False, "read its last lines above; the whole output is in its log"
    UNKNOWN = "unknown", False, ""


# Those that a command can say with its exit status
CommandKind = Literal["diverged", "out_of_memory", "gpu_out_of_memory", "data_missing", "bad_config", "exception"]


def is_retried(kind: Kind, task: str) -> bool:
    """Whether the policy may retry `kind`; a command cannot be told to work in smaller pieces."""
    return kind.retried and not (kind is Kind.GPU_OUT_OF_MEMORY and task == "command")


def kind_of(word: object) -> Kind:
    """`word` of a file as a kind; `unknown` for what no version of ours writes there."""
    return Kind(word) if isinstance(word, str) and word in list(Kind) else Kind.UNKNOWN

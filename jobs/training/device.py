"""The device that a task computes on, and with how many threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from runner.errors import UserError


@contextmanager
def one_thread(wanted: bool = True) -> Iterator[None]:
    """What is computed inside does not depend on how many threads there are."""
    threads = torch.get_num_threads()
    if wanted:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def choose_device(gpus: int) -> torch.device:
    """The GPU of this task, or the CPU; UserError when a GPU was asked for and none is visible."""
    if gpus and not torch.cuda.is_available():
        raise UserError(
            "resources.gpus asks for a GPU, but torch sees none here",
            next_command="runner submit CONFIG --set resources.gpus=0, or a cluster with GPUs",
        )
    return torch.device("cuda" if gpus else "cpu")

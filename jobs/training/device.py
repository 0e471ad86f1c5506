"""Where a run computes. Free of torch until it is asked."""

from __future__ import annotations

from typing import Any

from runner.errors import UserError


def choose_device(gpus: int) -> Any:
    """The GPU of this task, or the CPU; UserError when a GPU was asked for and none is visible."""
    import torch

    if not gpus:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UserError(
            "resources.gpus asks for a GPU, but torch sees none here",
            next_command="runner submit CONFIG --set resources.gpus=0, or a cluster with GPUs",
        )
    return torch.device("cuda")

"""Checkpoints: everything that a run needs to go on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from jobs.patience import patiently
from runner.files import replacing

FORMAT = 1


def random_state() -> dict[str, Any]:
    """The states of torch's random generators."""
    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Go on drawing where `random_state` was taken; generators of GPUs that are not here are left alone."""
    torch.set_rng_state(state["cpu"].cpu())
    if torch.cuda.is_available() and len(state.get("cuda", [])) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([item.cpu() for item in state["cuda"]])


def save(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values beside `path` and rename."""
    patiently(lambda: _write(path, content))


def _write(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as beside:
        torch.save({"format": FORMAT, **content}, beside)


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint; nothing but tensors and plain values is unpickled.

    Raises ValueError when it is truncated, foreign or of a newer format.
    """
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except (OSError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a damaged file raises whatever its bytes happen to mean
        reason = str(error).strip().split("\n")[0][:200] or type(error).__name__
        raise ValueError(f"{path} is not a whole checkpoint: {reason}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} is not a checkpoint of this version")
    return content


def load_first(paths: Sequence[Path], warn: Callable[[str], None]) -> dict[str, Any] | None:
    """The first of `paths` that exists and is whole; None when there is none. Damaged ones are named to `warn`."""
    for path in paths:
        if not path.exists():
            continue
        try:
            return load(path)
        except ValueError as error:
            warn(f"{error}; trying an older one")
    return None

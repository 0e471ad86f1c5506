"""Checkpoints: everything that a run needs to go on as if nothing had happened."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from jobs.patience import patiently
from runner.files import open_file, replacing
from runner.rundir.layout import RunDir

FORMAT = 1
# What taking over a state raises where it is that of another model, or nothing of the kind
REFUSED = (RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError)


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


def save_stable(run: RunDir, state: dict[str, Any]) -> None:
    """Write stable.pt: `state`, with the best epoch so far beside it."""
    best = next((content for _, content in readable([run.best_checkpoint], lambda _: None)), None)
    save(run.stable_checkpoint, {**state, "best": best})


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint; nothing but tensors and plain values is unpickled.

    Raises ValueError when it is truncated, foreign or of a newer format.
    """
    try:
        with io.BufferedReader(open_file(path, links=True)) as file:
            content = torch.load(file, map_location=device, weights_only=True)
    except (OSError, MemoryError, torch.OutOfMemoryError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENXIO:  # a pipe, a folder
            raise ValueError(f"{path} is not a whole checkpoint: {error.strerror}") from None
        raise
    except Exception as error:  # a damaged file raises whatever its bytes happen to mean
        raise ValueError(f"{path} is not a whole checkpoint: {_reason(error)}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} is not a checkpoint of this version")
    return content


def _reason(error: Exception) -> str:
    """What is wrong with a file; torch's own words advise to open it without weights_only, which runs what it holds."""
    if "weights_only" in str(error):
        return "it holds more than tensors and plain values, and was not opened"
    return str(error).strip().split("\n")[0][:200] or type(error).__name__


def load_weights(model: nn.Module, path: Path, device: torch.device | str = "cpu") -> None:
    """Give `model` the weights of a checkpoint; ValueError where it is damaged, foreign, or of another model."""
    try:
        model.load_state_dict(load(path, device)["model"])
    except REFUSED as error:
        if isinstance(error, ValueError | torch.OutOfMemoryError):
            raise
        lines = [line.strip() for line in str(error).splitlines()] or [type(error).__name__]
        raise ValueError(f"{path} holds the weights of another model: {' '.join(lines)[:400]}") from None


def readable(paths: Sequence[Path], warn: Callable[[str], None]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Those of `paths` that exist and are whole, with what they hold. Damaged ones are named to `warn`."""
    for path in paths:
        if not path.exists():
            continue
        try:
            yield path, load(path)
        except ValueError as error:
            warn(f"{error}; trying an older one")

"""Scalars of TensorBoard's event files, read by TensorBoard itself, without torch or TensorFlow."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from runner.files import LARGEST_FILE, open_file


def rows_of_events(path: Path) -> list[dict[str, Any]]:
    """One row per step: its tags, `step`, and `epoch`, which is the step where no tag `epoch` says otherwise.

    Raises OSError for what is no file of its size; what is damaged ends the rows.
    """
    from google.protobuf.message import DecodeError
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader  # 0.6 s

    with open_file(path) as file:  # refuses links and pipes
        if os.fstat(file.fileno()).st_size > LARGEST_FILE:
            raise OSError(0, "more than any file of a run")
    steps: dict[int, dict[str, Any]] = {}
    with suppress(DecodeError, ValueError, TypeError):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if (scalar := _scalar(value)) is not None:
                    steps.setdefault(event.step, {})[value.tag] = scalar
    named = any("epoch" in tags for tags in steps.values())
    return [{"step": step, **({} if named else {"epoch": step}), **tags} for step, tags in sorted(steps.items())]


def _scalar(value: Any) -> float | None:
    """The number of a summary; None for text, histograms, and shapes of more than one number."""
    from tensorboard.util import tensor_util

    if value.metadata.plugin_data.plugin_name != "scalars" or any(
        axis.size != 1 for axis in value.tensor.tensor_shape.dim
    ):
        return None
    return float(tensor_util.make_ndarray(value.tensor).item())

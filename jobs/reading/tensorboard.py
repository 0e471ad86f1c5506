"""Scalars of TensorBoard's event files, read by TensorBoard itself, without torch or TensorFlow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from runner.files import LARGEST_FILE, open_file


def rows_of_events(path: Path) -> list[dict[str, Any]]:
    """One row per step: its tags, `step`, and `epoch`, which is the step where no tag `epoch` says otherwise."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader  # 0.6 s
    from tensorboard.util import tensor_util

    with open_file(path) as file:  # refuses links and pipes
        if os.fstat(file.fileno()).st_size > LARGEST_FILE:
            return []
    steps: dict[int, dict[str, Any]] = {}
    for event in EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == "scalars":
                array = tensor_util.make_ndarray(value.tensor)
                if array.size == 1:
                    steps.setdefault(event.step, {})[value.tag] = float(array.item())
    named = any("epoch" in tags for tags in steps.values())
    return [{"step": step, **({} if named else {"epoch": step}), **tags} for step, tags in sorted(steps.items())]

"""TensorBoard: the curves of a run in its tensorboard/ directory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


class TensorBoardLog:
    """Writes one epoch at a time. The writer is made at the first one, so that a run starts without waiting for it.

    The curves can be had from metrics.jsonl too: a file that cannot be written is named to `warn` once, and the run
    goes on without TensorBoard.
    """

    def __init__(self, directory: Path, warn: Callable[[str], None]) -> None:
        self.directory, self._warn = directory, warn
        self._writer: Any = None
        self._given_up = False

    def epoch(
        self,
        epoch: int,
        metrics: Mapping[str, float],
        layers: Mapping[str, Mapping[str, float]],
        findings: Sequence[str],
    ) -> None:
        """Scalars of the epoch, and what was found in it; they are on disk when this returns."""
        if self._given_up:
            return
        try:
            if self._writer is None:
                from torch.utils.tensorboard import SummaryWriter  # 0.2 s

                # purge_step: what an earlier attempt wrote of this epoch and later ones is not shown
                self._writer = SummaryWriter(str(self.directory), purge_step=epoch)
            for name, value in metrics.items():
                self._writer.add_scalar(f"{name.partition('_')[0]}/{name}" if "_" in name else name, value, epoch)
            for layer, values in layers.items():
                for name, value in values.items():
                    self._writer.add_scalar(f"fusion {layer}/{name}", value, epoch)
            if findings:
                self._writer.add_text("findings", "\n\n".join(findings), epoch)
            self._writer.flush()
        except OSError as error:
            self._warn(f"TensorBoard's file was not written: {error}")
            self._given_up = True
            self.close()

    def close(self) -> None:
        """End the writer."""
        with contextlib.suppress(OSError):  # it was named when it was written
            if self._writer is not None:
                self._writer.close()

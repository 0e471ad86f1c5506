"""TensorBoard: the curves of a run in its tensorboard/ directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class Board:
    """Writes an epoch at a time. The writer is made at the first, so that a run starts without waiting for it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._writer: Any = None

    def epoch(
        self, epoch: int, metrics: Mapping[str, float], layers: Mapping[str, Mapping[str, float]], said: Sequence[str]
    ) -> None:
        """Scalars of the epoch, and what was found in it; they are on disk when this returns."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # 0.2 s

            # purge_step: what an earlier attempt wrote of this epoch and later ones is not shown
            self._writer = SummaryWriter(str(self.directory), purge_step=epoch)
        for name, value in metrics.items():
            self._writer.add_scalar(f"{name.partition('_')[0]}/{name}" if "_" in name else name, value, epoch)
        for layer, values in layers.items():
            for name, value in values.items():
                self._writer.add_scalar(f"fusion {layer}/{name}", value, epoch)
        if said:
            self._writer.add_text("findings", "\n\n".join(said), epoch)
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

"""A gate that opens slowly: × min(step / W, 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.fusion.records import LayerRecord


class GateWarmup(nn.Module):
    """`step` is part of the state dict, so that a resumed run goes on where it stopped.

    `begin_step` is called once per optimiser step, whatever the number of forward passes in it; a training pass before
    the first call raises RuntimeError, since its gate would never open.
    """

    step: Tensor

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self._begun = False

    def begin_step(self) -> None:
        self.step += 1
        self._begun = True

    def forward(self, gate: Tensor, record: LayerRecord | None = None) -> Tensor:
        if not self.steps:
            return gate
        if self.training and not self._begun:
            raise RuntimeError("gate_warmup counts optimiser steps: call CrystalModel.begin_step() before each")
        opened = (self.step / self.steps).clamp(max=1.0)
        if record is not None:
            record.value("gate_open", opened)
        return gate * opened

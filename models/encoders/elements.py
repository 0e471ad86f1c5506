"""CGCNN's 92 atom features by atomic number (Xie & Grossman, Phys. Rev. Lett. 120, 145301, 2018)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

NUM_FEATURES = 92
MAX_ATOMIC_NUMBER = 100  # fermium, the last element of the table

_FILE = Path(__file__).with_name("data") / "cgcnn.json"
_BEYOND = ("Md", "No", "Lr", "Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn", "Nh", "Fl", "Mc", "Lv", "Ts", "Og")


def check_elements(atomic_numbers: Iterable[int]) -> None:
    """Raise ValueError naming the elements that have no features."""
    if missing := sorted({int(z) for z in atomic_numbers if not 1 <= z <= MAX_ATOMIC_NUMBER}):
        names = ", ".join(f"{_symbol(z)} (Z = {z})" for z in missing)
        raise ValueError(
            f"no atom features for {names}: CGCNN's table covers H (Z = 1) to Fm (Z = {MAX_ATOMIC_NUMBER})"
        )


def _symbol(atomic_number: int) -> str:
    beyond = atomic_number - MAX_ATOMIC_NUMBER - 1
    return _BEYOND[beyond] if 0 <= beyond < len(_BEYOND) else "no element"


class AtomFeatures(nn.Module):
    """(N,) atomic numbers → (N, 92) features; ValueError for an element outside the table."""

    table: Tensor

    def __init__(self) -> None:
        super().__init__()
        features = json.loads(_FILE.read_text())["features"]
        # NaN where there is no element: on a GPU, where looking would stall the device, the loss then shows it
        table = torch.full((MAX_ATOMIC_NUMBER + 1, NUM_FEATURES), torch.nan)
        for number, digits in features.items():
            table[int(number)] = torch.tensor([float(digit) for digit in digits])
        self.register_buffer("table", table, persistent=False)

    def forward(self, atomic_number: Tensor) -> Tensor:
        if atomic_number.device.type == "cpu":
            check_elements(torch.unique(atomic_number).tolist())
        return self.table.index_select(0, atomic_number)

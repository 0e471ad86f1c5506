"""The graphs of a data set as tensors on one device, and batches formed there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jobs.tasks.crystal.data.crystals import Crystal
from jobs.tasks.crystal.graphs.packing import LEVELS, TABLES, Packed
from jobs.tasks.crystal.graphs.shards import packed_graphs
from jobs.tasks.crystal.schema import GraphParams
from models.batch import Distinct, Edges, GraphBatch

Indices = Sequence[int] | NDArray[np.integer[Any]]
ATOMS, BONDS, PAIRS, LENGTHS, COSINES = range(len(LEVELS))


class GraphStore:
    """The graphs of C crystals. Sizes stay on the host, so that forming a batch never waits for the device."""

    def __init__(self, packed: Packed, *, weighted: bool, device: torch.device | str = "cpu") -> None:
        self.weighted = weighted  # quotients: atoms, bonds and pairs have weights
        self.sizes = packed.sizes  # (C, 5) of each level
        self.starts = np.cumsum(packed.sizes, axis=0) - packed.sizes
        self.device = torch.device(device)
        self.tables = {name: torch.from_numpy(packed.tables[name]).to(self.device) for name in TABLES}

    @classmethod
    def open(
        cls,
        crystals: Sequence[Crystal],
        choice: GraphParams,
        root: Path,
        *,
        workers: int = 1,
        device: torch.device | str = "cpu",
        log: Callable[[str], None] = lambda text: None,
    ) -> GraphStore:
        """The graphs of `crystals`, in this order, from the cache below `root`; errors as of `packed_graphs`."""
        packed = packed_graphs(crystals, choice, root, workers=workers, log=log)
        return cls(packed, weighted=choice.quotient, device=device)

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def nbytes(self) -> int:
        """Memory that the tensors take, bytes."""
        return sum(table.nbytes for table in self.tables.values())

    def pairs_of(self, indices: Indices) -> NDArray[np.int64]:
        """Bond pairs of each crystal: the time of a step grows with their sum."""
        return self.sizes[np.asarray(indices, dtype=np.int64), PAIRS]  # type: ignore[no-any-return]

    def batch(self, indices: Indices) -> GraphBatch:
        """The crystals at `indices` as one batch on the store's device: one small copy to it, then gathers."""
        chosen = np.asarray(indices, dtype=np.int64)
        sizes = self.sizes[chosen]
        base = np.cumsum(sizes, axis=0) - sizes
        plan = torch.from_numpy(np.stack((sizes, base, self.starts[chosen] - base)).transpose(0, 2, 1).copy())
        if self.device.type == "cuda":
            plan = plan.pin_memory()
        size, first, shift = plan.to(self.device, non_blocking=True)  # each (5, B)
        owner, place = self._columns(size, shift, sizes.sum(axis=0).tolist())
        atoms = self.tables["atoms"][:, place[ATOMS]]
        bonds = self.tables["bonds"][:, place[BONDS]]
        pairs = self.tables["pairs"][:, place[PAIRS]]
        bond_base = _rows(first, ATOMS, ATOMS, LENGTHS, BONDS, BONDS)[:, owner[BONDS]]
        pair_base = _rows(first, BONDS, BONDS, COSINES, PAIRS, PAIRS)[:, owner[PAIRS]]
        bond_edges, length_index, by_length = self._edges(bonds, bond_base, ends=atoms[2], starts=atoms[3])
        pair_edges, cosine_index, by_cosine = self._edges(pairs, pair_base, ends=bonds[6], starts=bonds[7])
        return GraphBatch(
            atomic_number=atoms[0].long(),
            atom_weight=atoms[1].float() if self.weighted else None,
            crystal=owner[ATOMS],
            crystal_offsets=_offsets(size[ATOMS]),
            bonds=bond_edges,
            pairs=pair_edges,
            length=self._distinct("lengths", "length_counts", place[LENGTHS], length_index, by_length),
            cosine=self._distinct("cosines", "cosine_counts", place[COSINES], cosine_index, by_cosine),
        )

    def _columns(self, size: Tensor, shift: Tensor, totals: list[int]) -> tuple[list[Tensor], list[Tensor]]:
        """For each level: the crystal of the batch that a column belongs to, and its column in the table."""
        number = torch.arange(size.shape[1], device=self.device)
        owner = [torch.repeat_interleave(number, size[i], output_size=total) for i, total in enumerate(totals)]
        place = [
            torch.arange(len(crystals), device=self.device) + shift[i][crystals] for i, crystals in enumerate(owner)
        ]
        return owner, place

    def _edges(self, table: Tensor, base: Tensor, *, ends: Tensor, starts: Tensor) -> tuple[Edges, Tensor, Tensor]:
        """Edges numbered within the batch; the index of their scalar and the order by it."""
        src, dst, index, by_src, by_value = table[:5] + base
        weight = table[5].float() if self.weighted else None
        return Edges(src, dst, _offsets(ends), by_src, _offsets(starts), weight), index, by_value

    def _distinct(self, values: str, counts: str, place: Tensor, index: Tensor, by_value: Tensor) -> Distinct:
        return Distinct(self.tables[values][place], index, by_value, _offsets(self.tables[counts][place]))


def _rows(table: Tensor, *rows: int) -> Tensor:
    """Rows by number; indexing with a list would copy the list to the device and wait for it."""
    return torch.stack([table[row] for row in rows])


def _offsets(counts: Tensor) -> Tensor:
    """(n,) counts → (n+1,) int64 offsets."""
    return torch.nn.functional.pad(torch.cumsum(counts, 0, dtype=torch.int64), (1, 0))

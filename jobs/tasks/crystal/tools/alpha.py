"""The gates of a trained model atom by atom, as the crystals are: without the quotient, for figures and tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jobs.tasks.crystal.data import sources
from jobs.tasks.crystal.graphs.crystal_graph import crystal_graph
from jobs.tasks.crystal.graphs.quotient import refine
from jobs.tasks.crystal.schema import CrystalParams
from jobs.tasks.crystal.tools.inspection import gates, sampled
from jobs.tasks.crystal.tools.load_run import open_run, params_of
from runner.errors import UserError
from runner.rundir.layout import RunDir


@dataclass(frozen=True)
class LayerAlpha:
    """The gates of one layer: one row per atom, or per crystal for a late fusion."""

    layer: str
    material_ids: list[str]  # of each row
    atoms: list[int | None]  # of each row, counted from 0 in the order of the structure; None: the whole crystal
    values: NDArray[np.float32]  # (rows, channels) in (0, 1)

    def lines(self) -> Iterator[tuple[str, str, int | None, int, str]]:
        """(material_id, layer, atom, channel, alpha), one line per channel."""
        for material_id, atom, row in zip(self.material_ids, self.atoms, self.values.tolist(), strict=True):
            for channel, value in enumerate(row):
                yield material_id, self.layer, atom, channel, f"{value:.6g}"


def alpha(
    run: RunDir,
    cache_root: Path,
    split: str = "val",
    samples: int | None = None,
    log: Callable[[str], None] = lambda text: None,
    weights: Path | None = None,
) -> list[LayerAlpha]:
    """The gates of every fused layer on `samples` crystals of the train or val split, at the best epoch.

    Raises UserError for a model in which nothing is gated, or that cannot be opened.
    """
    params = params_of(run)
    if not params.model.uses_text or not params.model.uses_graph:
        raise UserError(f"{run.run_id} does not join graph and text: it has no gate")
    learner = open_run(run, cache_root, log=log, weights=weights)
    positions = sampled(learner, split, samples)
    if not (layer_gates := gates(learner, positions)):
        fusions = " and ".join(fusion.name for fusion in (*params.model.middle_fusions, params.model.late_fusion))
        raise UserError(f"{run.run_id}: none of its fusions ({fusions}) has a gate or weights")
    ids = [learner.corpus.ids[position] for position in positions]
    layers = [LayerAlpha(gate.layer, ids, [None] * len(ids), gate.values) for gate in layer_gates if not gate.of_atoms]
    if of_atoms := [gate for gate in layer_gates if gate.of_atoms]:
        rows, owners, atoms = _expanded(ids, _classes(ids, params, cache_root))
        layers = [*(LayerAlpha(gate.layer, owners, atoms, gate.values[rows]) for gate in of_atoms), *layers]
    return layers


def _classes(ids: list[str], params: CrystalParams, cache_root: Path) -> list[NDArray[np.int64]]:
    """For each crystal the row that each of its atoms has among the crystal's atoms in the model's graph."""
    data = sources.load(params.data.dataset, params.data.target, cache_root)
    crystals = {crystal.material_id: crystal for crystal in data.crystals}
    if not params.graph.quotient:
        return [np.arange(len(crystals[material_id].atomic_numbers)) for material_id in ids]
    return [refine(crystal_graph(crystals[material_id], params.graph)).atom for material_id in ids]


def _expanded(
    ids: list[str], classes: list[NDArray[np.int64]]
) -> tuple[NDArray[np.int64], list[str], list[int | None]]:
    """For each atom of each crystal: its row in the batch, its crystal, its number."""
    sizes = np.array([atom_rows.max() + 1 for atom_rows in classes])
    starts = np.cumsum(sizes) - sizes
    rows = np.concatenate([start + atom_rows for start, atom_rows in zip(starts, classes, strict=True)])
    owners = [material_id for material_id, atom_rows in zip(ids, classes, strict=True) for _ in atom_rows]
    return rows, owners, [atom for atom_rows in classes for atom in range(len(atom_rows))]

"""Building crystal graphs: milliseconds a crystal, ours against the pure-PyTorch builder of the package alignn.

    python -m benchmarks.graphs [--crystals 200] [--rounds 7] [--neighbour-lists]

Both start from parsed structures of mp6k, drawn at random. alignn: graph and line graph as tensors, atom features
looked up. Ours: `nearest` gives the same graph; `shell` is the default; with `quotient` and packing it is all that is
done before a graph lies in the cache. `--neighbour-lists` compares the libraries that find neighbours instead.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from alignn.torch_graph_builder import build_pure_torch_graph
from jarvis.core.atoms import Atoms

from benchmarks.timing import alternate, machine
from jobs.tasks.crystal.data.crystals import Crystal
from jobs.tasks.crystal.data.sources import load
from jobs.tasks.crystal.graphs.crystal_graph import crystal_graph
from jobs.tasks.crystal.graphs.packing import pack
from jobs.tasks.crystal.graphs.quotient import quotient
from jobs.tasks.crystal.schema import GraphParams

SHELL, NEAREST = GraphParams(), GraphParams(strategy="nearest")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--crystals", type=int, default=200)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--neighbour-lists", action="store_true")
    chosen = arguments.parse_args()
    torch.set_num_threads(1)
    crystals = random.Random(0).sample(load("mp6k", None).crystals, chosen.crystals)
    compare = neighbour_lists if chosen.neighbour_lists else builders
    print(json.dumps({"machine": machine(), "results": compare(crystals, chosen.rounds)}, indent=1))


# Side → the name of its result, and what is compared with alignn's graph
BUILDERS = {
    "nearest": "graphs_vs_alignn",  # the same graph
    "shell": "graphs_shells_vs_alignn",  # the product's default graph
    "shell, quotient, packed": "graphs_quotient_vs_alignn",  # all that is done before it lies in the cache
}


def builders(crystals: list[Crystal], rounds: int) -> list[dict[str, Any]]:
    """Graph builders against alignn."""
    atoms = [jarvis_atoms(crystal) for crystal in crystals]
    seconds = alternate(
        {
            "alignn": lambda: [build_pure_torch_graph(its, two_body_cutoff=8.0, max_neighbors=12) for its in atoms],
            "nearest": lambda: [crystal_graph(its, NEAREST) for its in crystals],
            "shell": lambda: [crystal_graph(its, SHELL) for its in crystals],
            "shell, quotient, packed": lambda: [pack(quotient(crystal_graph(its, SHELL))) for its in crystals],
        },
        rounds,
        time.process_time,
    )
    return against(seconds, "alignn", len(crystals), BUILDERS)


def neighbour_lists(crystals: list[Crystal], rounds: int) -> list[dict[str, Any]]:
    """The search for all neighbours within the radius that complete shells need, by each installed library."""
    radii = [float(crystal_graph(crystal, SHELL).length.max()) for crystal in crystals]
    searches: dict[str, Callable[[Crystal, float], object]] = {"vesin": vesin, "ase": ase}
    if importlib.util.find_spec("matscipy"):
        searches["matscipy"] = matscipy
    for crystal, radius in zip(crystals, radii, strict=True):
        counts = {name: len(search(crystal, radius + 1e-6)[0]) for name, search in searches.items()}  # type: ignore[index]
        if len(set(counts.values())) > 1:
            raise RuntimeError(f"the libraries disagree on {crystal.material_id}: {counts}")
    steps = {
        name: lambda search=search: [search(its, radius) for its, radius in zip(crystals, radii, strict=True)]
        for name, search in searches.items()
    }
    names = {name: f"neighbours: {name} against ase" for name in searches}
    return against(alternate(steps, rounds, time.process_time), "ase", len(crystals), names)


def against(seconds: dict[str, float], theirs: str, crystals: int, names: dict[str, str]) -> list[dict[str, Any]]:
    """Milliseconds of one core a crystal, and how many times faster than `theirs`."""
    other = seconds.pop(theirs) / crystals * 1e3
    return [
        {
            "name": names[name],
            "unit": "ms a crystal",
            "ours": round(taken / crystals * 1e3, 4),
            "theirs": round(other, 4),
            "ratio": round(other / (taken / crystals * 1e3), 2),
        }
        for name, taken in seconds.items()
    ]


def jarvis_atoms(crystal: Crystal) -> Atoms:
    return Atoms(lattice_mat=crystal.lattice, coords=crystal.fractional, elements=crystal.symbols, cartesian=False)


def vesin(crystal: Crystal, radius: float) -> list[np.ndarray]:
    from vesin import NeighborList

    search = NeighborList(cutoff=radius, full_list=True, n_threads=1)
    return search.compute(points=crystal.positions, box=crystal.lattice, periodic=True, quantities="ijSDd")


def ase(crystal: Crystal, radius: float) -> tuple[np.ndarray, ...]:
    from ase.neighborlist import primitive_neighbor_list

    return primitive_neighbor_list("ijSDd", (True,) * 3, crystal.lattice, crystal.positions, radius)


def matscipy(crystal: Crystal, radius: float) -> tuple[np.ndarray, ...]:
    from matscipy.neighbours import neighbour_list

    return neighbour_list(
        "ijSDd", positions=crystal.positions, cell=crystal.lattice, pbc=np.ones(3, dtype=bool), cutoff=radius
    )


if __name__ == "__main__":
    main()

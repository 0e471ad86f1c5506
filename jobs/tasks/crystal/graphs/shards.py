"""The graphs of a data set on disk: built once, then found by every run.

A folder for each choice of graph parameters holds shards: directories of flat arrays of some thousand crystals, never
changed once there. Crystals are found by the hash of their structure, and only those that no shard has are built. So
a larger subset, a second target or another seed computes only what is new.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from jobs.content_cache import by_shard, content_key, find_in_shards, load_array, publish_shard, save_arrays
from jobs.launch import mapping
from jobs.tasks.crystal.data.crystals import Crystal
from jobs.tasks.crystal.graphs.crystal_graph import SHELL_WIDTH, crystal_graph
from jobs.tasks.crystal.graphs.packing import TABLES, Packed, pack
from jobs.tasks.crystal.graphs.quotient import quotient
from jobs.tasks.crystal.schema import GraphParams

VERSION = 1  # of graphs and tables; raised when either changes, so that old shards are not read
SHARD = 4096  # crystals per shard at most, so that an interrupted build keeps what it has
CHUNK = 64  # crystals a process is given at a time
WORTH_PROCESSES = 2048  # crystals; fewer are built before the processes have started


def shard_folder(choice: GraphParams, root: Path) -> Path:
    """Where the shards for these graph parameters lie; parameters without effect take no part in the name."""
    limit = choice.cutoff if choice.strategy == "radius" else choice.max_neighbors
    width = [choice.shell_width] if choice.shell_width != SHELL_WIDTH else []  # added later: the default kept its name
    key = content_key([choice.strategy, limit, choice.angle_cutoff, choice.quotient, VERSION, *width])
    return root / "graphs" / f"{choice.strategy}-{key}"


def packed_graphs(
    crystals: Sequence[Crystal],
    choice: GraphParams,
    root: Path,
    *,
    workers: int = 1,
    log: Callable[[str], None] = lambda text: None,
) -> Packed:
    """The graphs of `crystals`, in this order; missing ones are built, in at most `workers` processes, and kept.

    Raises UserError for a crystal that has no graph, CommandFailed where something must be built and the cache below
    `root` cannot be written.
    """
    folder = shard_folder(choice, root)
    keys = [crystal.structure_key for crystal in crystals]
    places = find_in_shards(keys, folder)
    if missing := {key: crystal for key, crystal in zip(keys, crystals, strict=True) if key not in places}:
        log(f"building the graphs of {len(missing):,} crystals in {folder}")
        _build(missing, choice, folder, root, workers)
        places = find_in_shards(keys, folder)
    return _gathered([places[key] for key in keys])


def build_chunk(crystals: Sequence[Crystal], choice: GraphParams) -> Packed:
    """The graphs of a few crystals."""
    graphs = (crystal_graph(crystal, choice) for crystal in crystals)
    return Packed.joined(pack(quotient(graph) if choice.quotient else graph) for graph in graphs)


def _build(missing: Mapping[str, Crystal], choice: GraphParams, folder: Path, root: Path, workers: int) -> None:
    keys = list(missing)
    run = partial(build_chunk, choice=choice)
    with mapping(min(workers, len(keys) // CHUNK) if len(keys) >= WORTH_PROCESSES else 1) as mapped:
        for start in range(0, len(keys), SHARD):

            def fill(directory: Path, shard_keys: Sequence[str] = keys[start : start + SHARD]) -> None:
                bare = [replace(missing[key], targets={}, texts={}) for key in shard_keys]
                packed = Packed.joined(mapped(run, [bare[at : at + CHUNK] for at in range(0, len(bare), CHUNK)]))
                save_arrays(directory, {**packed.tables, "sizes": packed.sizes})

            publish_shard(folder, root, "graphs", keys[start : start + SHARD], fill)


def _gathered(places: Sequence[tuple[Path, int]]) -> Packed:
    """The crystals at `places`, in this order, from memory-mapped shards."""
    parts, order = [], np.empty(len(places), dtype=np.int64)
    before = 0
    for shard, (members, rows) in by_shard(places).items():
        order[members] = before + np.arange(len(members))
        before += len(members)
        tables = {name: load_array(shard, name) for name in TABLES}
        parts.append(Packed(np.array(load_array(shard, "sizes")), tables).taken(rows))
    return parts[0] if len(parts) == 1 else Packed.joined(parts).taken(order)

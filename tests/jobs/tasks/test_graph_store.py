"""The store on disk and the batches it forms."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from build_log import builds
from jobs.tasks.crystal.data.crystals import Crystal
from jobs.tasks.crystal.data.sources import load
from jobs.tasks.crystal.graphs import shards
from jobs.tasks.crystal.graphs.crystal_graph import crystal_graph
from jobs.tasks.crystal.graphs.packing import Packed, pack, ranges
from jobs.tasks.crystal.graphs.quotient import quotient
from jobs.tasks.crystal.graphs.shards import packed_graphs, shard_folder
from jobs.tasks.crystal.graphs.store import GraphStore
from jobs.tasks.crystal.schema import GraphParams
from models.batch import Edges, GraphBatch
from runner.errors import CommandFailed

WHOLE, MERGED = GraphParams(quotient=False), GraphParams()


@pytest.fixture(scope="module")
def crystals() -> list[Crystal]:
    return load("mp6k", None).crystals[2::400]


def built(root: Path) -> list[int]:
    return [build["items"] for build in builds(root) if build["kind"] == "graphs"]


def assert_well_formed(edges: Edges, nodes: int) -> None:
    numbers = torch.arange(nodes + 1)
    assert (edges.dst.diff() >= 0).all()
    assert torch.equal(edges.offsets, torch.searchsorted(edges.dst, numbers))
    assert torch.equal(edges.by_src.sort().values, torch.arange(len(edges.src)))
    by_src = edges.src[edges.by_src]
    assert (by_src.diff() >= 0).all()
    assert torch.equal(edges.src_offsets, torch.searchsorted(by_src, numbers))


@pytest.mark.parametrize("params", [WHOLE, MERGED, GraphParams(angle_cutoff=2.6)], ids=["whole", "merged", "cut"])
def test_a_batch_keeps_the_contract(crystals, params, tmp_path) -> None:
    batch = GraphStore.open(crystals, params, tmp_path).batch([3, 0, 7, 3])
    assert_well_formed(batch.bonds, batch.num_atoms)
    assert_well_formed(batch.pairs, len(batch.bonds.src))
    assert torch.equal(batch.bonds.dst[batch.pairs.src], batch.bonds.src[batch.pairs.dst])
    for scalar in (batch.length, batch.cosine):
        by_value = scalar.index[scalar.by_value]
        numbers = torch.arange(len(scalar.value) + 1)
        assert torch.equal(scalar.value_offsets, torch.searchsorted(by_value, numbers))
        assert (by_value.diff() >= 0).all()
    assert torch.equal(batch.crystal_offsets, torch.searchsorted(batch.crystal, torch.arange(5)))
    weights = (batch.atom_weight, batch.bonds.weight, batch.pairs.weight)
    assert all((weight is not None) == params.quotient for weight in weights)


def test_a_batch_holds_the_graphs_of_its_crystals_in_order(crystals, tmp_path) -> None:
    chosen = [5, 1, 9]
    batch = GraphStore.open(crystals, WHOLE, tmp_path).batch(np.array(chosen))
    graphs = [crystal_graph(crystals[number], WHOLE) for number in chosen]
    atoms = np.cumsum([0] + [len(graph.atomic_number) for graph in graphs])
    bonds = np.cumsum([0] + [len(graph.src) for graph in graphs])
    joined = np.concatenate
    assert batch.atomic_number.tolist() == joined([graph.atomic_number for graph in graphs]).tolist()
    assert batch.bonds.src.tolist() == joined([g.src + n for g, n in zip(graphs, atoms, strict=False)]).tolist()
    assert batch.bonds.dst.tolist() == joined([g.dst + n for g, n in zip(graphs, atoms, strict=False)]).tolist()
    assert batch.pairs.src.tolist() == joined([g.pair_src + n for g, n in zip(graphs, bonds, strict=False)]).tolist()
    assert batch.pairs.dst.tolist() == joined([g.pair_dst + n for g, n in zip(graphs, bonds, strict=False)]).tolist()
    length, cosine = batch.length.value[batch.length.index], batch.cosine.value[batch.cosine.index]
    np.testing.assert_allclose(length, joined([graph.length for graph in graphs]), atol=1e-5)
    np.testing.assert_allclose(cosine, joined([graph.cosine for graph in graphs]), atol=1e-5)


def equal(first: GraphBatch, second: GraphBatch) -> bool:
    def tensors(batch) -> list[torch.Tensor]:
        values = [getattr(batch, name) for name in batch.__dataclass_fields__]
        return [t for v in values if v is not None for t in ([v] if isinstance(v, torch.Tensor) else tensors(v))]

    return all(torch.equal(a, b) for a, b in zip(tensors(first), tensors(second), strict=True))


def test_a_batch_of_one_is_the_packed_crystal(crystals, tmp_path) -> None:
    alone = GraphStore(pack(quotient(crystal_graph(crystals[4], MERGED))), weighted=True)
    assert equal(alone.batch([0]), GraphStore.open(crystals, MERGED, tmp_path).batch([4]))


def test_nothing_is_built_twice(crystals, tmp_path) -> None:
    first = GraphStore.open(crystals[:6], MERGED, tmp_path)
    assert built(tmp_path) == [6]
    more = GraphStore.open(crystals[2:10], MERGED, tmp_path)
    assert built(tmp_path) == [6, 4]
    GraphStore.open(list(reversed(crystals[:10])), MERGED.model_copy(update={"cutoff": 6.0}), tmp_path)
    assert built(tmp_path) == [6, 4]  # the cutoff does not shape complete shells
    GraphStore.open(crystals[:2], WHOLE, tmp_path)
    assert built(tmp_path) == [6, 4, 2]
    assert equal(first.batch([2, 5]), more.batch([0, 3]))


def test_targets_and_texts_do_not_make_a_new_graph(crystals, tmp_path) -> None:
    GraphStore.open(crystals[:3], MERGED, tmp_path)
    renamed = [replace(it, material_id=f"x{it.material_id}", targets={}, texts={}) for it in crystals[:3]]
    GraphStore.open(renamed, MERGED, tmp_path)
    assert built(tmp_path) == [3]


def test_pairs_of_counts_what_a_batch_holds(crystals, tmp_path) -> None:
    store = GraphStore.open(crystals, MERGED, tmp_path)
    assert store.pairs_of([1, 8]).sum() == len(store.batch([1, 8]).pairs.src)
    assert len(store) == len(crystals)


@pytest.mark.slow
def test_processes_build_the_same_shards(crystals, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(shards, "WORTH_PROCESSES", 1)
    monkeypatch.setattr(shards, "CHUNK", 4)
    monkeypatch.setattr(shards, "SHARD", 9)
    spawned = packed_graphs(crystals, MERGED, tmp_path / "spawned", workers=2)
    alone = packed_graphs(crystals, MERGED, tmp_path / "alone", workers=1)
    assert len(list(shard_folder(MERGED, tmp_path / "alone").iterdir())) == 2
    for name, table in alone.tables.items():
        np.testing.assert_array_equal(spawned.tables[name], table)


@pytest.mark.slow
def test_two_builders_at_once_leave_one_shard(crystals, tmp_path) -> None:
    program = (
        "import sys; from pathlib import Path; from jobs.tasks.crystal.graphs.store import GraphStore;"
        "from jobs.tasks.crystal.schema import GraphParams; from jobs.tasks.crystal.data.sources import load;"
        "s = GraphStore.open(load('mp6k', None).crystals[2::400], GraphParams(), Path(sys.argv[1]));"
        "print(s.sizes.sum())"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    builders = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = {builder.communicate()[0] for builder in builders}
    assert [builder.returncode for builder in builders] == [0, 0]
    assert printed == {f"{GraphStore.open(crystals, MERGED, tmp_path).sizes.sum()}\n"}
    assert len(list(shard_folder(MERGED, tmp_path).iterdir())) == 1


def test_an_unwritable_cache_is_named(crystals, tmp_path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(
        CommandFailed, match=r"lacks graphs \(2 to compute\) and cannot be written[\s\S]*runner prepare"
    ):
        GraphStore.open(crystals[:2], MERGED, blocked)


def test_a_filled_cache_may_be_read_only(crystals, tmp_path) -> None:
    GraphStore.open(crystals[:3], MERGED, tmp_path)
    shard = next(shard_folder(MERGED, tmp_path).iterdir())
    for file in shard.iterdir():
        file.chmod(0o444)
    os.chmod(shard, 0o555)
    assert len(GraphStore.open(crystals[:3], MERGED, tmp_path)) == 3
    os.chmod(shard, 0o755)


def test_ranges_joins_runs_of_numbers() -> None:
    assert ranges(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]


def test_taken_reorders_crystals(crystals) -> None:
    single = [pack(quotient(crystal_graph(it, MERGED))) for it in crystals[:4]]
    taken = Packed.joined(single).taken(np.array([2, 0]))
    expected = Packed.joined([single[2], single[0]])
    for name, table in expected.tables.items():
        np.testing.assert_array_equal(taken.tables[name], table)

"""Every optimisation of the training step against plain float64, on 200 real crystals as they are and jittered.

Plain: the whole graph, nothing computed once for several, torch's operations. The optimisations: equal atoms, bonds and
pairs merged (quotient), equal lengths and cosines embedded once, convolutions in one compiled pass, float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from torch import Tensor

from crystals import Graph, batch
from jobs.tasks.crystal.compiled_kernel import use_kernels
from jobs.tasks.crystal.data.crystals import Crystal, crystal
from jobs.tasks.crystal.data.sources import load
from jobs.tasks.crystal.graphs.crystal_graph import crystal_graph
from jobs.tasks.crystal.graphs.store import GraphStore
from jobs.tasks.crystal.schema import GraphParams
from model_cases import model
from models.batch import GraphBatch
from models.crystal_model import CrystalModel
from models.encoders import cpp_convolution
from models.options import AlignnOptions

torch.set_num_threads(1)
pytestmark = pytest.mark.slow
COUNT, PART = 200, 40
ENCODER = AlignnOptions(alignn_layers=2, gcn_layers=2, embedding=16, hidden=32)


@cache
def chosen(jittered: bool) -> list[Crystal]:
    """200 crystals of mp6k with 2 to 5 atoms a cell; jittered: no two of their distances are equal any more."""
    small = [its for its in load("mp6k", None).crystals if 2 <= len(its.atomic_numbers) <= 5]
    found = small[:: len(small) // COUNT][:COUNT]
    assert len(found) == COUNT
    if not jittered:
        return found
    draw = np.random.default_rng(0)
    return [
        crystal(its.material_id, its.lattice, its.symbols, its.fractional + draw.normal(0, 0.01, its.fractional.shape))
        for its in found
    ]


def plain_graph(its: Crystal) -> Graph:
    found = crystal_graph(its, GraphParams())
    bonds, pairs = np.stack([found.src, found.dst], 1), np.stack([found.pair_src, found.pair_dst], 1)
    return Graph(found.atomic_number, bonds, found.length, pairs, found.cosine)


@cache
def store(jittered: bool, quotient: bool) -> GraphStore:
    with TemporaryDirectory() as folder:
        return GraphStore.open(chosen(jittered), GraphParams(quotient=quotient), Path(folder))


def results(net: CrystalModel, parts: Iterator[GraphBatch]) -> tuple[Tensor, dict[str, Tensor]]:
    """Predictions of all crystals, and the gradient of their weighted sum for every parameter that has one."""
    found = []
    weight = torch.linspace(0.5, 1.5, COUNT, dtype=torch.float64)
    for number, graphs in enumerate(parts):
        prediction = net(graphs).prediction
        (prediction.double() * weight[number * PART : (number + 1) * PART]).sum().backward()
        found.append(prediction.detach().double())
    return torch.cat(found), {name: p.grad.double() for name, p in net.named_parameters() if p.grad is not None}


@cache
def exact(jittered: bool) -> tuple[Tensor, dict[str, Tensor]]:
    graphs = [plain_graph(its) for its in chosen(jittered)]
    parts = (batch(graphs[start : start + PART], torch.float64) for start in range(0, COUNT, PART))
    return results(model(encoder=ENCODER, text_dim=None), parts)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("jittered", [False, True], ids=["symmetric", "jittered"])
@pytest.mark.parametrize("quotient", [False, True], ids=["whole", "quotient"])
@pytest.mark.parametrize("compiled", [False, True], ids=["torch", "compiled"])
def test_predictions_and_gradients_are_those_of_plain_float64(
    root: Path, compiled: bool, quotient: bool, jittered: bool
) -> None:
    expected, gradients = exact(jittered)
    net = model(encoder=ENCODER, text_dim=None).float()
    if compiled:
        assert use_kernels(root, print) != "torch"
    graphs = store(jittered, quotient)
    try:
        found, its = results(net, (graphs.batch(range(start, start + PART)) for start in range(0, COUNT, PART)))
    finally:
        cpp_convolution.use(None)
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5
    assert its.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert float((its[name] - gradient).abs().max() / gradient.abs().max()) < 1e-4, name


def test_jittered_crystals_have_nothing_to_merge_and_symmetric_ones_have() -> None:
    def pairs(jittered: bool, quotient: bool) -> int:
        return int(store(jittered, quotient).pairs_of(range(COUNT)).sum())

    assert pairs(True, True) > 0.9 * pairs(True, False)
    assert pairs(False, True) < 0.3 * pairs(False, False)

"""Compiled convolutions: the same numbers as torch, built once, and never needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from build_log import builds
from crystals import RECORDS, batch, graph, quotient, structure
from jobs.tasks.crystal.compiled_kernel import NoKernels, build_kernels, use_kernels
from models.batch import Edges, GraphBatch
from models.encoders import cpp_convolution
from models.encoders.alignn import Alignn
from models.encoders.convolution import EdgeGatedConvolution
from models.options import AlignnOptions

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def compiled(root: Path) -> Iterator[None]:
    said: list[str] = []
    assert use_kernels(root, said.append).startswith("compiled for "), said
    yield
    cpp_convolution.use(None)


def crystals(merged: bool, count: int = 6) -> GraphBatch:
    found = [graph(structure(record)) for record in RECORDS[:count]]
    return batch([quotient(one) for one in found] if merged else found)


def in_float64(graphs: GraphBatch) -> GraphBatch:
    length, cosine = (replace(its, value=its.value.double()) for its in (graphs.length, graphs.cosine))
    return replace(graphs, length=length, cosine=cosine)


def encoder(hidden: int = 24) -> Alignn:
    torch.manual_seed(0)
    return Alignn(AlignnOptions(alignn_layers=2, gcn_layers=2, embedding=16, hidden=hidden))


def results(model: Alignn, graphs: GraphBatch) -> dict[str, torch.Tensor]:
    """The atoms, and the gradient of every parameter that has one."""
    model.zero_grad()
    atoms = model(graphs)
    (atoms * torch.linspace(-1, 1, atoms.shape[1])).sum().backward()
    return {"atoms": atoms.detach(), **{name: p.grad for name, p in model.named_parameters() if p.grad is not None}}


def farthest(found: dict[str, torch.Tensor], exact: dict[str, torch.Tensor]) -> float:
    """The largest difference of any tensor, relative to its largest value."""
    assert found.keys() == exact.keys()
    return max(float((found[name] - exact[name]).abs().max() / exact[name].abs().max()) for name in exact)


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("merged", [False, True], ids=["whole", "quotient"])
@pytest.mark.parametrize("hidden", [7, 24, 64])  # rows that do not fill vectors as well
def test_compiled_outputs_and_gradients_are_those_of_float64(merged: bool, hidden: int) -> None:
    ours, exact = encoder(hidden), encoder(hidden).double()
    graphs = crystals(merged)
    nodes = torch.zeros(graphs.num_atoms, hidden)
    assert cpp_convolution.applies(ours.gcn_layers[0], nodes, nodes)
    found, expected = results(ours, graphs), results(exact, in_float64(graphs))
    assert farthest({"atoms": found["atoms"]}, {"atoms": expected["atoms"]}) < 1e-5
    assert farthest(found, expected) < 1e-4


@pytest.mark.usefixtures("compiled")
def test_compiled_convolution_without_edges_and_without_readers_of_edges() -> None:
    none, start = torch.zeros(0, dtype=torch.int64), torch.zeros(4, dtype=torch.int64)
    lone = Edges(none, none, start, none, start)
    convolution, nodes = EdgeGatedConvolution(16, "layer"), torch.randn(3, 16)
    new, edges = convolution(lone, nodes, torch.zeros(0, 16))
    assert edges.shape == (0, 16)
    new.sum().backward()
    cpp_convolution.use(None)
    torch.testing.assert_close(new, convolution(lone, nodes, torch.zeros(0, 16))[0])


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("value", [1e4, -1e4, float("nan"), float("inf")])
def test_compiled_gates_saturate_and_nan_stays(value: float) -> None:
    """A run that diverges has to be seen to do so."""
    place = torch.zeros(1, dtype=torch.int64)
    edges = Edges(place, place, torch.tensor([0, 1]), place, torch.tensor([0, 1]))
    convolution = EdgeGatedConvolution(16, "layer")
    nodes, features = torch.randn(1, 16), torch.full((1, 16), value)
    found = convolution(edges, nodes, features)
    cpp_convolution.use(None)
    expected = convolution(edges, nodes, features)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4, equal_nan=True)


@pytest.mark.usefixtures("compiled")
def test_compiled_results_do_not_depend_on_the_number_of_threads() -> None:
    torch.manual_seed(0)
    graphs, convolution = crystals(merged=False), EdgeGatedConvolution(16, "layer")
    nodes, features = torch.randn(graphs.num_atoms, 16), torch.randn(len(graphs.bonds.src), 16)
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        convolution.zero_grad()
        new, edges = convolution(graphs.bonds, nodes, features)
        (new.sum() + edges.square().sum()).backward()
        found.append([new, edges, convolution.norm_edges.weight.grad, convolution.norm_nodes.bias.grad])
    torch.set_num_threads(1)
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


@pytest.mark.usefixtures("compiled")
def test_what_is_not_alignn_2_in_float32_is_computed_by_torch() -> None:
    rows = torch.zeros(2, 16)
    plain, batch_norm = EdgeGatedConvolution(16, "layer"), EdgeGatedConvolution(16, "batch")
    assert cpp_convolution.applies(plain, rows, rows)
    assert not cpp_convolution.applies(batch_norm, rows, rows)
    assert not cpp_convolution.applies(plain.double(), rows.double(), rows.double())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not cpp_convolution.applies(plain.float(), rows, rows)
    cpp_convolution.use(None)
    assert not cpp_convolution.applies(plain, rows, rows)


def test_kernels_are_built_once(root: Path) -> None:
    kinds = build_kernels(root)
    build_kernels(root)
    paths = [build["path"] for build in builds(root) if build["kind"] == "kernels"]
    assert len(paths) == len(set(paths)) == len(kinds)


def test_without_a_compiler_torch_computes_and_the_log_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    said: list[str] = []
    assert use_kernels(tmp_path / "cache", said.append) == "torch"
    (line,) = said
    assert "computed by torch" in line
    assert "no C++ compiler" in line
    assert not list((tmp_path / "cache").rglob("*.so"))


def test_a_compiler_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(NoKernels, match="false ended with status 1"):
        build_kernels(tmp_path)


def test_a_library_that_others_could_have_written_is_not_loaded(root: Path) -> None:
    build_kernels(root)
    libraries = list(root.rglob("convolution.so"))
    for library in libraries:
        library.chmod(0o775)
    said: list[str] = []
    assert use_kernels(root, said.append) == "torch"
    assert "could have been written by another user" in said[0]
    for library in libraries:
        library.chmod(0o755)

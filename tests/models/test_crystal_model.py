"""The whole model: every fusion in it, missing texts, gradients, what it says of itself."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from crystals import RECORDS, Graph, batch, graph, permuted, quotient, structure, supercell
from model_cases import LATE_CASES, MIDDLE_CASES, SMALL, WIDTH, late, merged, middle, model, text_only, texts, whole
from models.batch import TextBatch
from models.crystal_model import CrystalModel
from models.encoders.projection import ProjectionHead
from models.fusion.records import Records
from models.options import AlignnOptions, NoEncoder

torch.set_num_threads(1)
EVERY_FUSION = [(case, "none") for case in MIDDLE_CASES] + [("none", case) for case in LATE_CASES]
UNREAD = {  # see `Alignn`
    f"encoder.{layer}.norm_edges.{part}"
    for layer in ("alignn_layers.1.on_pairs", "gcn_layers.0")
    for part in ("weight", "bias")
}


def pick(text: TextBatch, crystals: list[int]) -> TextBatch:
    assert text.tokens is not None
    assert text.token_mask is not None
    return TextBatch(text.vector[crystals], text.present[crystals], text.tokens[crystals], text.token_mask[crystals])


@cache
def smallest_quotients(count: int) -> list[Graph]:
    graphs = [quotient(graph(structure(record))) for record in RECORDS]
    return sorted(graphs, key=lambda g: len(g.pairs))[:count]


def test_graph_only_model_has_the_published_number_of_parameters() -> None:
    whole_model = CrystalModel(AlignnOptions(), middle(), late(), text_dim=None)
    assert sum(p.numel() for p in whole_model.parameters()) == 4_026_753


@pytest.mark.parametrize(("middle_case", "late_case"), EVERY_FUSION)
def test_quotient_gives_the_prediction_of_the_whole_crystal(middle_case: str, late_case: str) -> None:
    net, text = model(middle_case, late_case), texts(absent=(2,))
    torch.testing.assert_close(net(merged(), text).prediction, net(whole(), text).prediction, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("middle_case", "late_case"), EVERY_FUSION)
def test_batched_is_one_by_one(middle_case: str, late_case: str) -> None:
    net, text = model(middle_case, late_case), texts(6, absent=(1, 4))
    graphs = [quotient(graph(structure(record))) for record in RECORDS[:6]]
    singly = [net(batch([g], torch.float64), pick(text, [i])).prediction for i, g in enumerate(graphs)]
    torch.testing.assert_close(net(merged(6), text).prediction, torch.cat(singly))


@pytest.mark.parametrize(("middle_case", "late_case"), EVERY_FUSION)
def test_order_of_atoms_does_not_matter(middle_case: str, late_case: str) -> None:
    net, text, cell = model(middle_case, late_case), texts(1), structure(RECORDS[10])
    shuffled = permuted(cell, np.random.default_rng(0).permutation(len(cell.numbers)))
    there, here = (net(batch([graph(c)], torch.float64), text).prediction for c in (shuffled, cell))
    torch.testing.assert_close(there, here)


@pytest.mark.parametrize(("middle_case", "late_case"), EVERY_FUSION)
def test_supercell_is_the_same_crystal(middle_case: str, late_case: str) -> None:
    net, text, cell = model(middle_case, late_case), texts(1), structure(RECORDS[10])
    twice, once = (net(batch([graph(c)], torch.float64), text).prediction for c in (supercell(cell, (1, 2, 1)), cell))
    torch.testing.assert_close(twice, once)


@pytest.mark.parametrize(("middle_case", "late_case"), EVERY_FUSION)
def test_every_parameter_learns(middle_case: str, late_case: str) -> None:
    net = model(middle_case, late_case, dropout=0.1).train()
    net.begin_step()
    net(merged(), texts(absent=(3,))).prediction.square().sum().backward()
    idle = {name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()}
    assert idle == UNREAD


@pytest.mark.slow
@pytest.mark.parametrize(("middle_case", "late_case"), EVERY_FUSION)
def test_sixteen_crystals_can_be_learned_by_heart(middle_case: str, late_case: str) -> None:
    net = model(middle_case, late_case).float().train()
    graphs, text = batch(smallest_quotients(16)), texts(16)
    assert text.tokens is not None
    text = TextBatch(text.vector.float(), text.present, text.tokens.float(), text.token_mask)
    target = torch.randn(16, generator=torch.Generator().manual_seed(0))
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(150):
        net.begin_step()
        optimiser.zero_grad()
        loss = (net(graphs, text).prediction - target).square().mean()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.02 * target.var().item()


@pytest.mark.parametrize(("middle_case", "late_case"), [*itertools.product(["middle", "atom_attention"], LATE_CASES)])
def test_middle_and_late_combine(middle_case: str, late_case: str) -> None:
    records = Records()
    net = model(middle_case, late_case)
    assert net(merged(4), texts(4), records=records).prediction.shape == (4,)
    assert set(records.summary()) == {"2", "late"}


def test_text_only_model_reads_no_graph() -> None:
    net = text_only()
    output = net(None, texts())
    assert output.prediction.shape == (len(RECORDS),)
    assert output.graph_vector is None
    assert torch.equal(net(merged(), texts()).prediction, output.prediction)


def test_contrastive_model_gives_both_vectors_and_graph_only_none() -> None:
    both = model(contrastive=True)(merged(), texts())
    assert both.graph_vector.shape == both.text_vector.shape == (len(RECORDS), 8)
    alone = model(text_dim=None)(merged())
    assert alone.graph_vector is alone.text_vector is None


def test_projection_head_is_its_formula() -> None:
    torch.manual_seed(0)
    head, x = ProjectionHead(12, 8, 0.0), torch.randn(5, 12)
    p = x @ head.first.weight.T + head.first.bias
    gelu = p * 0.5 * (1 + torch.erf(p / 2**0.5))
    total = p + gelu @ head.second.weight.T + head.second.bias
    expected = (total - total.mean(1, keepdim=True)) / (total.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(head(x), expected)


def test_several_outputs_keep_their_dimension() -> None:
    assert model(outputs=3, text_dim=None)(merged()).prediction.shape == (len(RECORDS), 3)


@pytest.mark.parametrize("case", ["middle", "atom_attention"])
def test_absent_text_is_the_null_text_whatever_stands_in_its_place(case: str) -> None:
    net = model(case)
    text = texts(4, absent=(1,))
    assert text.tokens is not None
    scribbled = TextBatch(text.vector + ~text.present.unsqueeze(1), text.present, text.tokens.clone(), text.token_mask)
    scribbled.tokens[1] = 9.0
    before = net(merged(4), text).prediction
    assert torch.equal(net(merged(4), scribbled).prediction, before)
    net.null_text.data += 1.0
    changed = net(merged(4), text).prediction != before
    assert changed.tolist() == [False, True, False, False]


def test_null_text_learns_only_where_it_is_used() -> None:
    net = model("middle")
    net(merged(4), texts(4)).prediction.sum().backward()
    assert not net.null_text.grad.any()
    net(merged(4), texts(4, absent=(0,))).prediction.sum().backward()
    assert net.null_text.grad.any()


def test_fused_layers_are_counted_from_one_and_each_has_its_own_module() -> None:
    net = CrystalModel(SMALL, middle("dynamic", layers=[2, 1]), late(), text_dim=WIDTH).double()
    records = Records()
    net(merged(4), texts(4), records=records)
    assert list(records.summary()) == ["1", "2"]
    assert net.middle_fusions["1"] is not net.middle_fusions["2"]


def test_fusion_after_the_last_alignn_layer_changes_what_follows() -> None:
    with_text = model("middle")
    first, second = texts(4), pick(texts(4), [3, 2, 1, 0])
    assert not torch.allclose(with_text(merged(4), first).prediction, with_text(merged(4), second).prediction)


def test_bfloat16_autocast_runs_every_fusion() -> None:
    graphs = batch([quotient(graph(structure(record))) for record in RECORDS[:4]])
    text = texts(4, absent=(2,))
    assert text.tokens is not None
    text = TextBatch(text.vector.float(), text.present, text.tokens.float(), text.token_mask)
    for middle_case, late_case in EVERY_FUSION:
        net = model(middle_case, late_case).float()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = net(graphs, text, records=Records()).prediction
        rough.float().sum().backward()
        torch.testing.assert_close(rough.float(), net(graphs, text).prediction, rtol=0.1, atol=0.1)


def test_improved_adds_less_than_a_twentieth_of_the_parameters() -> None:
    def size(name: str) -> int:
        net = CrystalModel(AlignnOptions(), middle(name, layers=[1, 2, 3, 4]), late(), text_dim=384)
        return sum(parameter.numel() for parameter in net.parameters())

    assert size("middle") < size("improved") < 1.05 * size("middle")


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"after layer 4: the encoder has layers 1 to 2 \(model.*\), then to 3 \(gcn"):
        CrystalModel(SMALL, middle("middle", layers=[4]), late(), text_dim=WIDTH)
    with pytest.raises(ValueError, match="text-only model has no graph to join: late"):
        CrystalModel(NoEncoder(), middle(), late("concat"), text_dim=WIDTH)
    with pytest.raises(ValueError, match="needs text_dim"):
        CrystalModel(SMALL, middle("middle"), late(), text_dim=None)
    with pytest.raises(ValueError, match="hidden_dim 10 is not a multiple of num_heads 4"):
        late("cross_attention", hidden_dim=10, num_heads=4)


def test_batch_without_what_the_model_reads_is_refused() -> None:
    with pytest.raises(ValueError, match="reads descriptions; the batch has none"):
        model("middle")(merged(4), None)
    with pytest.raises(ValueError, match="reads crystal graphs; the batch has none"):
        model("middle")(None, texts(4))
    vectors = TextBatch(texts(4).vector, texts(4).present)
    with pytest.raises(ValueError, match="attends to the tokens"):
        model("atom_attention")(merged(4), vectors)


@pytest.mark.parametrize(
    ("middle_case", "late_case", "tokens"),
    [("none", "none", False), ("middle", "concat", False), ("atom_attention", "none", True),
     ("none", "cross_attention", True), ("none", "cross_attention pooled", False)],
)  # fmt: skip
def test_only_attention_asks_for_tokens(middle_case: str, late_case: str, tokens: bool) -> None:
    assert model(middle_case, late_case).reads_tokens is tokens


def test_description_names_parts_layers_switches_and_size() -> None:
    net = CrystalModel(
        SMALL, middle("middle scaled", layers=[1, 2]), late("gated"), text_dim=384, projection_dim=8, dropout=0.2
    )
    lines = net.describe()
    assert lines[0].startswith("encoder: alignn, alignn_layers 2, gcn_layers 1, embedding 8, hidden 16, norm layer")
    assert "layers 1 and 2" in lines[1]
    assert "initial_scale 12.0, learnable_scale on, gate_norm on" in lines[1]
    assert lines[2].startswith("late fusion: gated, dropout 0.1; 34 parameters")
    total = sum(parameter.numel() for parameter in net.parameters())
    assert lines[-1] == f"in all {total:,} trainable parameters"


def test_dropout_is_drawn_in_training_only() -> None:
    net = model("middle", "concat", dropout=0.5)
    still, moving = net(merged(4), texts(4)).prediction, net.train()(merged(4), texts(4)).prediction
    assert torch.equal(net.eval()(merged(4), texts(4)).prediction, still)
    assert not torch.equal(moving, still)


def test_step_of_the_gate_is_counted_by_the_model() -> None:
    net = model("none", "balanced_gated").train()
    net.begin_step()
    net.begin_step()
    step: Tensor = net.state_dict()["late_fusion.gate.warmup.step"]
    assert step.item() == 2

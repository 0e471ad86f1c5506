"""Several middle fusions, GCN layers, dropout of the encoder."""

from __future__ import annotations

import pytest
import torch

from jobs.tasks.crystal.schema import CrystalParams, ModelParams
from model_cases import SMALL, WIDTH, late, merged, middle, model, texts, whole
from models.crystal_model import CrystalModel
from models.fusion.records import Records
from runner.matrix.run_id import identity

DYNAMIC, ATTENTION = {"name": "dynamic", "layers": [1]}, {"name": "atom_attention", "layers": [3], "num_heads": 2}


def net(dropout: float = 0.0) -> CrystalModel:
    torch.manual_seed(0)
    both = [middle("dynamic", layers=[1], dropout=0.0), middle("atom_attention", layers=[3], dropout=0.0)]
    encoder = SMALL.model_copy(update={"dropout": dropout})
    return CrystalModel(encoder, both, late(), text_dim=WIDTH, projection_dim=8, dropout=0.0).double()


def test_each_fusion_stands_after_its_layer_and_reports_there() -> None:
    records = Records()
    fused = net().eval()
    fused(merged(4), texts(4), records=records)
    assert set(records.summary()) == {"1", "3"}
    assert "attention_entropy" in records.summary()["3"]
    assert "dynamic, layers 1" in fused.describe()[1]
    assert "and atom_attention, layers 3" in fused.describe()[1]


def test_all_fusions_receive_gradients_and_quotients_predict_as_whole_crystals() -> None:
    fused = net()
    fused(merged(4), texts(4)).prediction.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in fused.middle_fusions["1"].parameters())
    assert fused.middle_fusions["3"].norm.weight.grad.abs().sum() > 0
    fused.eval()
    torch.testing.assert_close(fused(merged(4), texts(4)).prediction, fused(whole(4), texts(4)).prediction)


def test_several_fusions_fit_random_targets() -> None:
    fused, target = net().train(), torch.randn(6, dtype=torch.float64)
    optimiser = torch.optim.Adam(fused.parameters(), lr=1e-2)
    for _ in range(150):
        optimiser.zero_grad()
        loss = (fused(merged(6), texts(6)).prediction - target).abs().mean()
        loss.backward()
        optimiser.step()
    assert loss < 0.1


def test_a_list_of_one_is_that_fusion_and_the_order_of_a_list_is_no_matter() -> None:
    one, listed = (ModelParams.model_validate({"middle_fusion": its}) for its in (DYNAMIC, [DYNAMIC]))
    assert one == listed
    assert identity(one) == identity(listed)
    first, second = ([DYNAMIC, ATTENTION], [ATTENTION, DYNAMIC])
    assert ModelParams.model_validate({"middle_fusion": first}) == ModelParams.model_validate({"middle_fusion": second})


def test_new_keys_at_their_neutral_value_are_no_part_of_a_run() -> None:
    said = identity(CrystalParams())
    assert "dropout" not in said["model"]["encoder"]
    assert not {"scale", "positive_weight"} & {*said["data"], *said["train"]}


@pytest.mark.parametrize(
    ("several", "message"),
    [
        ([], "is not empty"),
        ([DYNAMIC, {"name": "none"}], "holds no `none`"),
        ([DYNAMIC, {**ATTENTION, "layers": [1, 3]}], "two fusions after layer 1"),
        ([DYNAMIC, {**ATTENTION, "layers": [9]}], "there is no layer 9"),
    ],
)
def test_lists_that_make_no_model_are_refused(several: list[dict[str, object]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelParams.model_validate({"middle_fusion": several})


def test_dropout_acts_in_training_alone_and_none_changes_no_bit() -> None:
    plain, dropped = net(), net(0.5)
    assert plain.state_dict().keys() == dropped.state_dict().keys()
    graphs = merged(4), texts(4)
    assert torch.equal(plain.eval()(*graphs).prediction, dropped.eval()(*graphs).prediction)
    assert not torch.equal(dropped.train()(*graphs).prediction, dropped(*graphs).prediction)
    assert torch.equal(plain.train()(*graphs).prediction, plain(*graphs).prediction)


def test_dropout_keeps_what_a_convolution_adds_on_average() -> None:
    convolution = net(0.5).train().encoder.gcn_layers[0]
    added = convolution.dropout(torch.ones(100_000))
    assert set(added.unique().tolist()) == {0.0, 2.0}
    assert added.mean().item() == pytest.approx(1, abs=0.02)
    assert isinstance(model().encoder.gcn_layers[0].dropout, torch.nn.Identity)

"""What fusions report: means over atoms as often as they stand, ratios of means, one wait for the device."""

from __future__ import annotations

import pytest
import torch

from model_cases import LATE_CASES, MIDDLE_CASES, merged, model, texts, whole
from models.fusion.records import LayerRecord, Records

torch.set_num_threads(1)


def summary_of(record: LayerRecord) -> dict[str, float]:
    records = Records()
    records._layers["1"] = record
    return records.summary()["1"]


def reported(middle_case: str, late_case: str = "none", graphs=merged) -> dict[str, dict[str, float]]:
    records = Records()
    with torch.no_grad():
        model(middle_case, late_case)(graphs(), texts(), records=records)
    return records.summary()


def test_mean_runs_over_batches_and_counts_atoms_as_often_as_they_stand() -> None:
    record = LayerRecord()
    record.mean("w", torch.tensor([[1.0], [2.0]]), torch.tensor([3.0, 1.0]))
    record.mean("w", torch.tensor([[6.0]]), torch.tensor([4.0]))
    assert summary_of(record)["w"] == pytest.approx((3 + 2 + 24) / 8)


def test_gate_spreads_over_rows_each_the_mean_of_its_channels() -> None:
    record = LayerRecord()
    record.gate(torch.tensor([[0.0, 0.1], [0.4, 0.6]]), torch.tensor([1.0, 2.0]))
    record.gate(torch.tensor([[0.96, 0.96]]), torch.tensor([1.0]))
    found = summary_of(record)
    rows = torch.tensor([0.05, 0.5, 0.5, 0.96], dtype=torch.float64)
    assert found["gate_mean"] == pytest.approx(rows.mean().item())
    assert found["gate_std"] == pytest.approx(rows.std(correction=0).item())
    assert (found["gate_min"], found["gate_max"]) == pytest.approx((0.05, 0.96))
    shares = [found[f"gate_share_{name}"] for name in ("below_0.1", "above_0.9", "0.3_to_0.7")]
    assert shares == [0.25, 0.25, 0.5]


def test_histogram_counts_every_value_as_often_as_its_atom_stands() -> None:
    records = Records()
    record = records.layer("1")
    record.gate(torch.tensor([[0.0, 0.049], [0.05, 0.5]]), torch.tensor([1.0, 3.0]))
    record.gate(torch.tensor([[1.0, 0.999]]), torch.tensor([2.0]))
    records.layer("2").mean("w_text", torch.ones(2))
    expected = [0.0] * 20
    expected[0], expected[1], expected[10], expected[19] = 2.0, 3.0, 3.0, 4.0
    assert records.histograms() == {"1": expected}
    assert Records().histograms() == {}


def test_constant_gate_has_no_spread() -> None:
    record = LayerRecord()
    record.gate(torch.full((1000, 3), 0.1))
    assert summary_of(record)["gate_std"] == pytest.approx(0.0, abs=1e-8)


def test_ratio_of_equal_weights_is_three() -> None:
    net = model("dynamic")
    for parameter in net.middle_fusions["2"].weights[2].parameters():
        parameter.data.zero_()
    records = Records()
    net(merged(), texts(), records=records)
    found = records.summary()["2"]
    assert (found["w_graph"], found["w_text"], found["ratio"]) == pytest.approx((0.5, 0.5, 3.0))


def test_text_that_is_shut_out_reads_as_a_huge_ratio() -> None:
    record = LayerRecord()
    record.terms(torch.ones(2, 3), torch.zeros(2, 3))
    assert summary_of(record)["contribution_ratio"] == pytest.approx(1e12)


def test_middle_reports_the_terms_of_its_sum() -> None:
    net, records = model("middle scaled"), Records()
    seen = {}
    fusion = net.middle_fusions["2"]
    fusion.norm.register_forward_pre_hook(lambda module, args: seen.update(total=seen.get("total", args[0])))
    fusion.register_forward_pre_hook(lambda module, args: seen.update(h=args[0]))
    net(merged(), texts(), records=records)
    found, weight = records.summary()["2"], merged().atom_weight
    term = (seen["total"] - seen["h"]).norm(dim=1) / 16**0.5  # per √width
    assert found["text_term_norm"] == pytest.approx(((term * weight).sum() / weight.sum()).item())
    assert found["contribution_ratio"] == pytest.approx(found["h_norm"] / found["text_term_norm"])
    assert found["text_scale"] == 12.0
    assert found["t_norm"] == pytest.approx(1, rel=1e-3)  # t leaves a LayerNorm
    assert found["scaled_u_norm"] == pytest.approx(12 * found["u_norm"], rel=0.2)  # one mean over atoms, one over texts


@pytest.mark.parametrize("case", MIDDLE_CASES)
def test_quotient_reports_what_the_whole_crystal_does(case: str) -> None:
    on_merged, on_whole = reported(case)["2"], reported(case, graphs=whole)["2"]
    assert on_merged == pytest.approx(on_whole, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("case", [*LATE_CASES])
def test_late_quotient_reports_what_the_whole_crystal_does(case: str) -> None:
    on_merged, on_whole = reported("none", case)["late"], reported("none", case, graphs=whole)["late"]
    assert on_merged == pytest.approx(on_whole, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("case", MIDDLE_CASES)
def test_every_middle_fusion_reports_the_common_quantities(case: str) -> None:
    common = {"contribution_ratio", "norm_ratio", "cosine", "relative_change"}
    assert common <= reported(case)["2"].keys()


def test_each_fusion_reports_its_own_quantities() -> None:
    own = {
        "middle": {"gate_mean", "gate_std", "text_scale"},
        "improved": {"gate_mean", "gate_std", "text_scale", "node_scale", "beta", "importance"},
        "dynamic": {"w_graph", "w_text", "ratio"},
        "atom_attention": {"attention_entropy"},
    }
    for case, quantities in own.items():
        assert quantities <= reported(case)["2"].keys()
    late = {
        "gated": {"w_graph", "w_text", "contribution_ratio"},
        "adaptive": {"w_add", "w_multiply", "w_gate"},
        "cross_attention": {"attention_entropy", "token_attention_entropy"},
        "gated_cross_attention quality": {"gate_mean", "quality", "fusion_gate"},
    }
    for case, quantities in late.items():
        assert quantities <= reported("none", case)["late"].keys()
    assert not {"attention_entropy"} & reported("none", "cross_attention pooled")["late"].keys()
    assert "ratio" not in reported("none", "gated")["late"]  # its bands are those of `dynamic`


def test_nothing_is_read_from_the_device_before_the_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    for name in ("item", "tolist", "__float__", "__bool__", "cpu", "numpy"):
        original = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor,
            name,
            lambda self, *a, original=original, name=name: (reads.append(name), original(self, *a))[1],
        )
    net, text, graphs, records = model("improved", "gated"), texts(), merged(), Records()
    reads.clear()
    net(graphs, text)
    without = reads.copy()
    reads.clear()
    net(graphs, text, records=records)
    assert reads == without
    reads.clear()
    records.summary()
    assert reads == ["tolist"]
    records.histograms()
    assert reads == ["tolist"] * 2


def test_records_do_not_change_predictions_or_gradients() -> None:
    net = model("improved", "gated_cross_attention")
    net(merged(), texts()).prediction.sum().backward()
    silent = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
    net.zero_grad()
    net(merged(), texts(), records=Records()).prediction.sum().backward()
    assert all(torch.equal(p.grad, silent[name]) for name, p in net.named_parameters() if name in silent)


def test_empty_records_have_no_layers() -> None:
    assert Records().summary() == {}
    assert reported("none", "none") == {}

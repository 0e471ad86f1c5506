"""Each fusion against its formula, written down once more in a few plain lines of float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from model_cases import WIDTH, late, merged, middle, texts
from models.attention import CrossAttention, Keys
from models.fusion.interface import GraphSide, TextSide, Widths
from models.fusion.registry import LATE, MIDDLE

torch.set_num_threads(1)
NODE, JOINT = 16, 8
CRYSTALS = merged()


def fusion(registry: Any, options: Any) -> torch.nn.Module:
    """Initialised at random, its norms and scalars too, so that none of them can be forgotten unnoticed."""
    torch.manual_seed(3)
    module = registry[options.name].load()(options, Widths(NODE, JOINT, WIDTH)).double().eval()
    for parameter in module.parameters():
        if parameter.dim() < 2:
            parameter.data += 0.3 * torch.randn_like(parameter)
    return module


def inputs() -> tuple[Tensor, TextSide, GraphSide]:
    torch.manual_seed(4)
    h, batch = torch.randn(CRYSTALS.num_atoms, NODE, dtype=torch.float64), texts()
    text = TextSide(torch.randn(len(batch.vector), JOINT, dtype=torch.float64), batch.tokens, batch.token_mask)
    g = torch.randn(len(batch.vector), JOINT, dtype=torch.float64)
    return h, text, GraphSide(h, h.new_empty(0), g, CRYSTALS)


def linear(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    bias = weights.get(f"{name}.bias")
    return x @ weights[f"{name}.weight"].T + (0 if bias is None else bias)


def norm(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def mlp(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Linear layers with ReLU between them."""
    layers = sorted({int(key.split(".")[-2]) for key in weights if key.startswith(f"{name}.")})
    for layer in layers:
        x = linear(weights, f"{name}.{layer}", x)
        x = x.clamp(min=0) if layer != layers[-1] else x
    return x


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + (-x).exp())


def check_middle(case: str, expected: Any, **changes: Any) -> None:
    h, text, _ = inputs()
    module = fusion(MIDDLE, middle(case, **changes))
    found = module(h, text, CRYSTALS, None)
    torch.testing.assert_close(found, expected(dict(module.state_dict()), h, text), rtol=1e-10, atol=1e-10)


def projected(w: dict[str, Tensor], text: TextSide, activation: Any) -> Tensor:
    return linear(w, "text.second", activation(linear(w, "text.first", text.t)))[CRYSTALS.crystal]


def test_middle_is_its_formula() -> None:
    def expected(w: dict[str, Tensor], h: Tensor, text: TextSide) -> Tensor:
        u = 7.0 * projected(w, text, lambda x: x.clamp(min=0))
        a = sigmoid(linear(w, "gate", torch.cat([h, u], 1)))
        return norm(w, "norm", h + a * u)

    check_middle("middle", expected, initial_scale=7.0)


def test_middle_with_gate_norm_normalises_each_half() -> None:
    def expected(w: dict[str, Tensor], h: Tensor, text: TextSide) -> Tensor:
        u = w["text_scale"] * projected(w, text, lambda x: x.clamp(min=0))
        a = sigmoid(linear(w, "gate", torch.cat([norm(w, "norm_h", h), norm(w, "norm_u", u)], 1)))
        return norm(w, "norm", h + a * u)

    check_middle("middle scaled", expected)


def test_improved_is_its_formula() -> None:
    def expected(w: dict[str, Tensor], h: Tensor, text: TextSide) -> Tensor:
        u = w["text_scale"] * projected(w, text, lambda x: x.clamp(min=0))
        a = sigmoid(linear(w, "gate", torch.cat([h, u], 1)))
        a = a * (1 + w["beta"] * sigmoid(mlp(w, "importance", h)))
        return norm(w, "norm", w["node_scale"] * h + a * u)

    check_middle("improved", expected, initial_scale=2.0, learnable_scale=True, initial_node_scale=0.5)


def test_improved_with_both_switches_off_is_middle() -> None:
    h, text, _ = inputs()
    plain = fusion(MIDDLE, middle("middle"))
    off = fusion(MIDDLE, middle("improved", residual_scaling=False, dynamic_gating=False))
    off.load_state_dict(plain.state_dict())
    assert torch.equal(off(h, text, CRYSTALS, None), plain(h, text, CRYSTALS, None))


def test_dynamic_is_its_formula() -> None:
    def expected(w: dict[str, Tensor], h: Tensor, text: TextSide) -> Tensor:
        u = projected(w, text, lambda x: x * sigmoid(x))
        scores = linear(w, "weights.2", linear(w, "weights.0", torch.cat([h, u], 1)).tanh()).exp()
        share = scores / scores.sum(1, keepdim=True)
        return norm(w, "norm", h + share[:, :1] * h + share[:, 1:] * u)

    check_middle("dynamic", expected)


def test_film_is_its_formula() -> None:
    def expected(w: dict[str, Tensor], h: Tensor, text: TextSide) -> Tensor:
        hidden = (linear(w, f"{part}.first", text.t) for part in ("scale", "shift"))
        scale, shift = (
            linear(w, f"{part}.second", x * sigmoid(x))[CRYSTALS.crystal]
            for part, x in zip(("scale", "shift"), hidden, strict=True)
        )
        return norm(w, "norm", (1 + scale) * h + shift)

    check_middle("film", expected)


def attended(w: dict[str, Tensor], name: str, query: Tensor, keys: Tensor, count: Tensor, heads: int) -> Tensor:
    """One query (d,) over keys (K, d), each of which counts `count` times, written out head by head."""
    q, k, v = linear(w, f"{name}.query", query), linear(w, f"{name}.key", keys), linear(w, f"{name}.value", keys)
    parts = []
    for q_head, k_head, v_head in zip(q.chunk(heads), k.chunk(heads, 1), v.chunk(heads, 1), strict=True):
        score = count * (k_head @ q_head / len(q_head) ** 0.5).exp()
        parts.append(score / score.sum() @ v_head)
    return linear(w, f"{name}.out", torch.cat(parts))


def test_atom_attention_is_its_formula() -> None:
    def expected(w: dict[str, Tensor], h: Tensor, text: TextSide) -> Tensor:
        rows = []
        for atom, crystal in enumerate(CRYSTALS.crystal.tolist()):
            tokens = text.tokens[crystal][text.token_mask[crystal]]
            rows.append(h[atom] + attended(w, "attention", h[atom], tokens, torch.ones(len(tokens)), 2))
        return norm(w, "norm", torch.stack(rows))

    check_middle("atom_attention", expected)


def check_late(case: str, expected: Any, **changes: Any) -> None:
    _, text, side = inputs()
    module = fusion(LATE, late(case, **changes))
    found = module(side, text, None)
    assert found.shape == (CRYSTALS.num_crystals, module.output_dim)
    torch.testing.assert_close(found, expected(dict(module.state_dict()), side, side.g, text.t), rtol=1e-10, atol=1e-10)


def test_concat_is_its_formula() -> None:
    def expected(w: dict[str, Tensor], side: GraphSide, g: Tensor, t: Tensor) -> Tensor:
        hidden = linear(w, "linear", torch.cat([g, t], 1))
        return hidden * sigmoid(hidden)

    check_late("concat", expected)


def test_gated_weights_sum_to_one() -> None:
    def expected(w: dict[str, Tensor], side: GraphSide, g: Tensor, t: Tensor) -> Tensor:
        gates = sigmoid(linear(w, "gates", torch.cat([g, t], 1)))
        share = gates[:, :1] / gates.sum(1, keepdim=True)
        return share * g + (1 - share) * t

    check_late("gated", expected)


def test_bilinear_is_its_formula() -> None:
    def expected(w: dict[str, Tensor], side: GraphSide, g: Tensor, t: Tensor) -> Tensor:
        left, right = linear(w, "graph", g).view(-1, 4, 5), linear(w, "text", t).view(-1, 4, 5)
        return sum(left[:, rank] * right[:, rank] for rank in range(4))

    check_late("bilinear", expected, output_dim=5)


def test_tucker_is_its_formula() -> None:
    def expected(w: dict[str, Tensor], side: GraphSide, g: Tensor, t: Tensor) -> Tensor:
        outer = [torch.outer(a, b).flatten() for a, b in zip(linear(w, "graph", g), linear(w, "text", t), strict=True)]
        return norm(w, "norm", linear(w, "core", torch.stack(outer)))

    check_late("tucker", expected, output_dim=5)


def test_adaptive_is_its_formula() -> None:
    def expected(w: dict[str, Tensor], side: GraphSide, g: Tensor, t: Tensor) -> Tensor:
        both = torch.cat([g, t], 1)
        scores = linear(w, "choice", both).exp()
        share, a = scores / scores.sum(1, keepdim=True), sigmoid(linear(w, "gate", both))
        mixed = share[:, :1] * (g + t) + share[:, 1:2] * g * t + share[:, 2:] * (a * g + (1 - a) * t)
        return linear(w, "out", mixed)

    check_late("adaptive", expected, output_dim=5)


def crossed(w: dict[str, Tensor], side: GraphSide, g: Tensor, t: Tensor, tokens: str = "all") -> tuple[Tensor, Tensor]:
    """g' and t', crystal by crystal, every atom as often as it stands."""
    if tokens == "pooled":
        from_text = linear(w, "cross.exchange.graph_reads.1", linear(w, "cross.exchange.graph_reads.0", t))
        from_graph = linear(w, "cross.exchange.text_reads.1", linear(w, "cross.exchange.text_reads.0", g))
        return norm(w, "cross.norm_g", g + from_text), norm(w, "cross.norm_t", t + from_graph)
    text, from_text, from_graph = inputs()[1], [], []
    for crystal in range(CRYSTALS.num_crystals):
        mine = CRYSTALS.crystal == crystal
        atoms, times = side.atoms[mine], CRYSTALS.atom_weight[mine]
        words = text.tokens[crystal][text.token_mask[crystal]]
        ones = torch.ones(len(words), dtype=torch.float64)
        reads = torch.stack([attended(w, "cross.exchange.atoms_read", atom, words, ones, 2) for atom in atoms])
        from_text.append(times @ reads / times.sum())
        reads = torch.stack([attended(w, "cross.exchange.tokens_read", word, atoms, times, 2) for word in words])
        from_graph.append(reads.mean(0))
    return norm(w, "cross.norm_g", g + torch.stack(from_text)), norm(w, "cross.norm_t", t + torch.stack(from_graph))


@pytest.mark.parametrize("tokens", ["all", "pooled"])
def test_cross_attention_is_its_formula(tokens: str) -> None:
    check_late("cross_attention", lambda w, side, g, t: torch.cat(crossed(w, side, g, t, tokens), 1), tokens=tokens)


def double_gate(w: dict[str, Tensor], g: Tensor, t: Tensor, learnable: bool) -> Tensor:
    length = t.square().sum(1, keepdim=True).sqrt()
    network = sigmoid(mlp(w, "gate.quality.network", t))
    quality = network * sigmoid(length - 3)
    if learnable:
        c = sigmoid(w["gate.quality.mixture"])
        quality = c * network + (1 - c) * sigmoid(length - w["gate.quality.threshold"])
    return quality * sigmoid(mlp(w, "gate.fusion", torch.cat([g, t], 1)))


@pytest.mark.parametrize("learnable", [False, True])
def test_gated_cross_attention_is_its_formula(learnable: bool) -> None:
    def expected(w: dict[str, Tensor], side: GraphSide, g: Tensor, t: Tensor) -> Tensor:
        (g2, t2), e = crossed(w, side, g, t), double_gate(w, g, t, learnable)
        return norm(w, "norm", (1 - e) * g2 + e * t2 + g)

    check_late("gated_cross_attention", expected, text_quality=learnable)


def test_simplified_gated_is_its_formula() -> None:
    def expected(w: dict[str, Tensor], side: GraphSide, g: Tensor, t: Tensor) -> Tensor:
        g2, t2 = crossed(w, side, g, t)
        return norm(w, "norm", g2 + sigmoid(mlp(w, "gate", torch.cat([g, t], 1))) * t2 + g)

    check_late("simplified_gated", expected)


@pytest.mark.parametrize("learnable", [False, True])
def test_balanced_gated_is_its_formula(learnable: bool) -> None:
    def expected(w: dict[str, Tensor], side: GraphSide, g: Tensor, t: Tensor) -> Tensor:
        (g2, t2), e = crossed(w, side, g, t), 0.5 + 0.5 * double_gate(w, g, t, learnable)
        return norm(w, "norm", (1 - e) * g + e * g2 + e * t + (1 - e) * t2)

    check_late("balanced_gated", expected, text_quality=learnable, gate_warmup=0)


def test_text_quality_starts_at_the_published_values() -> None:
    gate = LATE["balanced_gated"].load()(late("balanced_gated"), Widths(NODE, JOINT, WIDTH)).gate
    assert gate.quality.mixture.item() == pytest.approx(0.3)
    assert gate.quality.threshold.item() == 3.0


def test_simplified_gate_has_a_fifth_of_the_double_gate_s_parameters() -> None:
    def gate_parameters(name: str) -> int:
        module = LATE[name].load()(late(name), Widths(256, 64, 384))
        return sum(parameter.numel() for parameter in module.gate.parameters())

    assert gate_parameters("simplified_gated") / gate_parameters("gated_cross_attention") == pytest.approx(
        0.2, abs=0.01
    )


@pytest.mark.parametrize("case", ["gated_cross_attention", "simplified_gated"])
def test_gate_warmup_opens_the_gate_over_its_steps(case: str) -> None:
    _, text, side = inputs()
    module = fusion(LATE, late(case, gate_warmup=4))
    cold = module(side, text, None)
    shut = fusion(LATE, late(case, gate_warmup=0))
    for part in ("gate.fusion.4", "gate.2"):  # the last layer of either gate: σ(-∞) = 0
        if f"{part}.bias" in dict(shut.named_parameters()):
            shut.get_submodule(part).bias.data.fill_(-torch.inf)
    torch.testing.assert_close(cold, shut(side, text, None))
    for _ in range(7):  # four steps open it fully, more do not open it further
        (module.gate.warmup if hasattr(module.gate, "warmup") else module.warmup).begin_step()
    torch.testing.assert_close(module(side, text, None), fusion(LATE, late(case))(side, text, None))


def test_gate_warmup_step_is_part_of_the_state() -> None:
    module = fusion(LATE, late("simplified_gated", gate_warmup=4))
    module.warmup.begin_step()
    other = fusion(LATE, late("simplified_gated", gate_warmup=4))
    other.load_state_dict(module.state_dict())
    assert other.warmup(torch.ones(1)).item() == 0.25


def test_gate_warmup_that_nobody_counts_is_an_error() -> None:
    _, text, side = inputs()
    with pytest.raises(RuntimeError, match=r"call CrystalModel.begin_step\(\) before each"):
        fusion(LATE, late("simplified_gated", gate_warmup=4)).train()(side, text, None)


def test_attention_agrees_with_torch_s() -> None:
    torch.manual_seed(0)
    ours = CrossAttention(8, 6, 8, 2, 8, 0.0)
    theirs = torch.nn.MultiheadAttention(8, 2, kdim=6, vdim=6, batch_first=True)
    theirs.q_proj_weight.data, theirs.k_proj_weight.data = ours.query.weight.data, ours.key.weight.data
    theirs.v_proj_weight.data, theirs.out_proj.weight.data = ours.value.weight.data, ours.out.weight.data
    theirs.in_proj_bias.data = torch.cat([ours.query.bias, torch.zeros(8), ours.value.bias]).detach()
    theirs.out_proj.bias.data = ours.out.bias.data
    queries, states, mask = torch.randn(3, 4, 8), torch.randn(3, 5, 6), torch.arange(5) < torch.tensor([[2], [5], [1]])
    expected, shares = theirs(queries, states, states, key_padding_mask=~mask, average_attn_weights=False)
    keys = Keys.of_tokens(states, mask)
    torch.testing.assert_close(ours(queries, keys), expected)
    entropy = -torch.special.xlogy(shares, shares).sum(3).mean(1)
    torch.testing.assert_close(ours.entropy(queries, keys), entropy)


def test_atom_that_stands_for_three_weighs_as_three_in_attention() -> None:
    attention = CrossAttention(4, 4, 4, 2, 4, 0.0)
    queries, states = torch.randn(1, 2, 4), torch.randn(1, 2, 4)
    merged_keys = Keys(states, torch.tensor([[3.0, 1.0]]).log())
    spelled_out = Keys(states[:, [0, 0, 0, 1]], torch.zeros(1, 4))
    torch.testing.assert_close(attention(queries, merged_keys), attention(queries, spelled_out))
    torch.testing.assert_close(attention.entropy(queries, merged_keys), attention.entropy(queries, spelled_out))
    assert F.relu(attention.entropy(queries, spelled_out)).max() <= torch.tensor(4.0).log()

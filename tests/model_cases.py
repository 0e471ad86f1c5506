"""Small models, batches and every fusion, for the tests of `models`."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from crystals import RECORDS, batch, graph, quotient, structure
from models.batch import GraphBatch, TextBatch
from models.crystal_model import CrystalModel
from models.fusion.registry import LATE, MIDDLE
from models.options import AlignnOptions, NoEncoder

WIDTH = 12  # of the texts
SMALL = AlignnOptions(alignn_layers=2, gcn_layers=1, embedding=8, hidden=16)

MIDDLE_CASES: dict[str, dict[str, Any]] = {  # every fusion of the registry, and forms of some that differ
    **{name: {"name": name} for name in MIDDLE if name != "none"},
    "middle scaled": {"name": "middle", "initial_scale": 12.0, "learnable_scale": True, "gate_norm": True},
    "improved scale only": {"name": "improved", "dynamic_gating": False},
    "improved gating only": {"name": "improved", "residual_scaling": False},
    "atom_attention": {"name": "atom_attention", "hidden_dim": 8, "num_heads": 2},
}
ATTENTION = {"hidden_dim": 8, "num_heads": 2}
LATE_CASES: dict[str, dict[str, Any]] = {
    **{name: {"name": name} for name in LATE if name != "none"},
    "bilinear": {"name": "bilinear", "rank": 4},
    "tucker": {"name": "tucker", "rank": 6},
    "cross_attention": {"name": "cross_attention", **ATTENTION},
    "cross_attention pooled": {"name": "cross_attention", "tokens": "pooled", **ATTENTION},
    "gated_cross_attention": {"name": "gated_cross_attention", **ATTENTION},
    "gated_cross_attention quality": {"name": "gated_cross_attention", "text_quality": True, **ATTENTION},
    "simplified_gated": {"name": "simplified_gated", **ATTENTION},
    "balanced_gated": {"name": "balanced_gated", "text_quality": True, "gate_warmup": 5, **ATTENTION},
}


def middle(case: str = "none", **changes: Any) -> Any:
    values = {**MIDDLE_CASES.get(case, {"name": case}), **changes}
    return MIDDLE[values["name"]].options(**values)


def late(case: str = "none", **changes: Any) -> Any:
    values = {**LATE_CASES.get(case, {"name": case}), **changes}
    return LATE[values["name"]].options(**values)


def model(
    middle_case: str = "none", late_case: str = "none", *, seed: int = 0, dropout: float = 0.0, **settings: Any
) -> CrystalModel:
    """A small float64 model in evaluation mode, without dropout unless it is asked for."""
    torch.manual_seed(seed)
    drop = {} if dropout else {"dropout": 0.0}
    middle_options = middle(middle_case, **(drop if middle_case != "none" else {}))
    late_options = late(late_case, **(drop if late_case != "none" else {}))
    encoder = settings.pop("encoder", SMALL)
    settings = {"text_dim": WIDTH, "projection_dim": 8, "dropout": dropout, **settings}
    return CrystalModel(encoder, middle_options, late_options, **settings).double().eval()


def text_only(**settings: Any) -> CrystalModel:
    return model(encoder=NoEncoder(), **settings)


@cache
def whole(count: int = len(RECORDS)) -> GraphBatch:
    return batch([graph(structure(record)) for record in RECORDS[:count]], torch.float64)


@cache
def merged(count: int = len(RECORDS)) -> GraphBatch:
    return batch([quotient(graph(structure(record))) for record in RECORDS[:count]], torch.float64)


def texts(count: int = len(RECORDS), absent: tuple[int, ...] = ()) -> TextBatch:
    """Random texts of 1 to 5 tokens; the crystals in `absent` have none."""
    generator = torch.Generator().manual_seed(count)
    tokens = torch.randn(count, 5, WIDTH, generator=generator, dtype=torch.float64)
    lengths = torch.randint(1, 6, (count, 1), generator=generator)
    present = torch.tensor([i not in absent for i in range(count)])
    vector = torch.randn(count, WIDTH, generator=generator, dtype=torch.float64)
    return TextBatch(vector * present.unsqueeze(1), present, tokens, torch.arange(5) < lengths)

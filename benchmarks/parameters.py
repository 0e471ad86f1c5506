"""Writes the tables of docs/fusions.md: options, parameters and logged quantities of every fusion, from the code.

    python -m benchmarks.parameters

Numbers are those of the default encoder (4 + 4 layers, hidden 256), MiniLM's vectors (384) and the default options.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from benchmarks.page import filled, table
from models.batch import Distinct, Edges, GraphBatch, TextBatch
from models.crystal_model import CrystalModel
from models.encoders.alignn import Alignn
from models.fusion.records import Records
from models.fusion.registry import LATE, MIDDLE, Entry
from models.options import AlignnOptions, FusionOptions

PAGE = Path(__file__).resolve().parent.parent / "docs" / "fusions.md"
TEXT_WIDTH = 384

GROUPS = {  # quantities that come together
    "terms": ("graph_term_norm", "text_term_norm", "contribution_ratio"),
    "mix": ("h_norm", "scaled_u_norm", "norm_ratio", "change_norm", "relative_change", "cosine"),
    "text": ("t_norm", "u_norm"),
    "gate": (
        "gate_mean", "gate_std", "gate_min", "gate_max", "gate_share_below_0.1", "gate_share_above_0.9",
        "gate_share_0.3_to_0.7",
    ),
}  # fmt: skip
HEADER = ("name", "formula", "options and defaults", "logs", "parameters", "whole model")


def main() -> None:
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), tables()), encoding="utf-8")


def tables() -> dict[str, str]:
    """The parts of the page, by the names of their places."""
    return {"middle": fusions("middle"), "late": fusions("late"), "groups": groups(), "parts": parts()}


def fusions(side: str) -> str:
    """A row a fusion of `side`, middle or late."""
    entries = {name: entry for name, entry in (MIDDLE if side == "middle" else LATE).items() if name != "none"}
    rows = [_row(side, entry, {}) for entry in entries.values()]
    rows += [_row(side, entry, {"tokens": "pooled"}) for entry in entries.values() if _attends(entry)]
    return table(HEADER, rows, numbers=2)


def _attends(entry: Entry) -> bool:
    return "tokens" in entry.options.model_fields


def _row(side: str, entry: Entry, changes: dict[str, Any]) -> tuple[str, ...]:
    options = entry.options.model_validate({"name": entry.name, **changes})
    net = model(**{side: options})
    own = net.middle_fusions if side == "middle" else net.late_fusion
    assert own is not None
    name = ", ".join([f"`{entry.name}`", *(f"`{key}: {value}`" for key, value in changes.items())])
    if changes:
        return name, "the same with one vector a side", "", logged(net), _count(own), _count(net)
    listed = ", ".join(
        f"{key} {_plain(value)}" for key, value in options.model_dump().items() if key not in ("name", "layers")
    )
    return name, entry.formula, listed, logged(net), _count(own), _count(net)


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _count(module: torch.nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in module.parameters()):,}"


def model(middle: FusionOptions | None = None, late: FusionOptions | None = None, **settings: Any) -> CrystalModel:
    none = {"name": "none"}
    return CrystalModel(
        AlignnOptions(),
        middle or MIDDLE["none"].options.model_validate(none),
        late or LATE["none"].options.model_validate(none),
        **{"text_dim": TEXT_WIDTH, **settings},
    ).eval()


def logged(net: CrystalModel) -> str:
    """What the fusion of `net` reports, in its own order; groups by their names."""
    records = Records()
    with torch.no_grad():
        net(two_atoms(), one_text(), records=records)
    (found,) = records.summary().values()
    shown = [name for name, members in GROUPS.items() if set(members) <= set(found)]
    single = [name for name in found if not any(name in GROUPS[group] for group in shown)]
    return ", ".join([*(f"*{name}*" for name in shown), *single])


def groups() -> str:
    """What the names of groups stand for."""
    return "".join(f"- *{name}*: {', '.join(members)}\n" for name, members in GROUPS.items())


def parts() -> str:
    """The parameters of what fusions share."""
    whole = model(contrastive=True)
    assert whole.text_head is not None
    assert whole.graph_head is not None
    assert isinstance(whole.encoder, Alignn)
    alone = model(text_dim=None)
    rows = (
        ("graph only: encoder and head", _count(alone)),
        ("text projection head, wherever t is read", _count(whole.text_head)),
        ("graph projection head, wherever g is read", _count(whole.graph_head)),
        ("null text, wherever a text is read", f"{TEXT_WIDTH:,}"),
    )
    return table(("part", "parameters"), rows, numbers=1)


def two_atoms() -> GraphBatch:
    """One crystal of two atoms that are each other's only neighbours."""

    def edges() -> Edges:
        ends, offsets = torch.arange(2), torch.arange(3)
        return Edges(ends.flip(0), ends, offsets, ends.flip(0), offsets)

    def distinct(value: float) -> Distinct:
        return Distinct(torch.tensor([value]), torch.zeros(2, dtype=torch.int64), torch.arange(2), torch.tensor([0, 2]))

    numbers, crystal, offsets = torch.tensor([11, 17]), torch.zeros(2, dtype=torch.int64), torch.tensor([0, 2])
    return GraphBatch(numbers, None, crystal, offsets, edges(), edges(), distinct(2.8), distinct(-1.0))


def one_text() -> TextBatch:
    mask = torch.ones(1, 3, dtype=torch.bool)
    return TextBatch(torch.ones(1, TEXT_WIDTH), torch.ones(1, dtype=torch.bool), torch.ones(1, 3, TEXT_WIDTH), mask)


if __name__ == "__main__":
    main()

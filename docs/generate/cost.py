"""The table of docs/cost.md: what a run took, from the fusion study's measurements."""

from __future__ import annotations

from benchmarks import fusion_study
from benchmarks.page import table
from docs.generate.reference import DOCS

PAGE = DOCS / "cost.md"


def tables() -> dict[str, str]:
    """The parts of the page, by the names of their places."""
    variants = sorted(fusion_study.measured()["variants"], key=lambda variant: float(variant["seconds"]))
    rows = [(v["variant"], f"{v['parameters']:,}", f"{v['seconds']:.0f}") for v in variants]
    return {"cost": table(("variant", "parameters", "seconds a run"), rows, numbers=2)}

"""The table of docs/cost.md: what a run took, from the fusion study's measurements."""

from __future__ import annotations

from benchmarks import fusion_study
from benchmarks.page import table
from docs.generate.reference import DOCS

PAGE = DOCS / "cost.md"


def tables() -> dict[str, str]:
    """The parts of the page, by the names of their places."""
    variants = sorted(fusion_study.measured()["variants"], key=lambda variant: float(variant["seconds"]))
    alone = next(variant["seconds"] for variant in variants if variant["variant"] == "graph_only")
    rows = [
        (
            variant["variant"],
            f"{variant['parameters']:,}",
            f"{variant['seconds']:.0f}",
            f"{variant['seconds'] / alone:.2f}",
        )
        for variant in variants
    ]
    return {"cost": table(("variant", "parameters", "seconds a run", "× graph alone"), rows, numbers=3)}

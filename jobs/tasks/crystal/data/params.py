"""The parameters that choose crystals. Free of torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from jobs.section import Section, misfit

ALIGNN_SEED = 123  # of the split that the alignn package makes


class Classes(Section):
    """Makes a question of two classes from a property: is it above the threshold?"""

    threshold: float  # in the target's unit; above it a crystal is positive (1), otherwise negative (0)


class DataParams(Section):
    """Which crystals, which property."""

    dataset: str = "mp6k"  # a shipped set, a JARVIS set (dft_3d, …), a table, or a folder with id_prop.csv or a table
    target: str = "formation_energy_peratom"  # a property or column of the data set
    scale: Literal["linear", "log10"] = Field(
        "linear", json_schema_extra={"neutral": "linear"}
    )  # log10: of the target while it trains; predictions, mae and rmse stay in the target's unit, mae_log10 is new
    train: int | None = Field(None, ge=1)  # crystals; null: all
    val: int | None = Field(None, ge=1)  # crystals that rank the variants; null: all
    test: int | None = Field(None, ge=1)  # crystals looked at once, at the best epoch; null: all
    seed: int = Field(0, ge=0)  # chooses the subset; subsets are nested
    split: Literal["official", "random", "formula", "alignn"] = (
        "official"  # formula: one formula never on both sides; alignn: as that package, which has a seed of its own
    )
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)  # train, val, test of all but `official`
    classify: Classes | None = Field(None, json_schema_extra={"neutral": None})  # null: regression

    @model_validator(mode="after")
    def _alignn_has_its_seed(self) -> DataParams:
        """Another seed would name runs that are equal."""
        if self.split == "alignn" and self.seed not in (0, ALIGNN_SEED):
            raise misfit("seed", f"the alignn split is always shuffled with {ALIGNN_SEED}", "leave it out")
        return self

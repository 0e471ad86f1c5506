"""The keys of the learning-rate schedule, which all trainings of ours share. Free of torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from jobs.section import Section, misfit


class ScheduleParams(Section):
    """How the learning rate goes through a training."""

    schedule: Literal["onecycle", "linear_warmup", "constant", "plateau", "warmup_stable_decay"] = (
        "onecycle"  # of the learning rate; plateau: halved after 5 epochs without a better validation metric
    )
    pct_start: float = Field(0.3, gt=0, lt=1)  # share of the steps in which OneCycle rises
    warmup_steps: int | None = Field(
        None, ge=0
    )  # of linear_warmup, where null is 2,000, at most 30 % of all steps; warmup_stable_decay needs a number
    decay: float = Field(
        0.2, gt=0, le=0.5, json_schema_extra={"neutral": 0.2}
    )  # share of the steps, the last ones, in which warmup_stable_decay falls to zero

    @model_validator(mode="after")
    def _warmup_is_a_number(self) -> ScheduleParams:
        """A share of all steps would differ between a short run and the longer one that goes on from it."""
        if self.schedule == "warmup_stable_decay" and self.warmup_steps is None:
            what = "missing; warmup_stable_decay needs a number, which is the same for every number of epochs"
            raise misfit(("warmup_steps",), what, "a number of steps, as 100")
        return self

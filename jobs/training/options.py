"""What all trainings of ours share: the keys of the loop and of the schedule, advice on failures. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from jobs.section import Section, misfit
from runner.rundir.failures import Kind

ADVICE: Mapping[Kind, str] = {
    Kind.GPU_OUT_OF_MEMORY: "a smaller train.batch_size or train.micro_batch, or a larger GPU",
    Kind.DIVERGED: "a smaller train.learning_rate, or train.gradient_clip: 1.0",
}


class TrainingParams(Section):
    """What the training loop needs to know; a task adds its own keys and defaults."""

    epochs: int = Field(20, ge=1)  # passes over the train split, at most
    learning_rate: float = Field(1e-3, gt=0)  # the highest of the schedule
    weight_decay: float = Field(1e-5, ge=0)  # not applied to biases and norms
    gradient_clip: float | None = Field(None, gt=0)  # norm above which gradients are shortened; null: none
    patience: int | None = Field(None, ge=1)  # epochs without a better validation metric; null: no early stopping
    seed: int = Field(0, ge=0)  # initialisation, order, dropout

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
    def _warmup_is_a_number(self) -> TrainingParams:
        """A share of all steps would differ between a short run and the longer one that goes on from it."""
        if self.schedule == "warmup_stable_decay" and self.warmup_steps is None:
            what = "missing; warmup_stable_decay needs a number, which is the same for every number of epochs"
            raise misfit("warmup_steps", what, "a number of steps, as 100")
        return self

"""The section `adopt` of an experiment file: where finished runs of another program lie, and how they are read."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from jobs.reading.schema import Inside, MetricsParams, Section, misfit
from runner.config.experiment import validation_metric
from runner.config.template import names_in


def _template(text: str) -> str:
    names_in(text)
    return text


def _expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    return text


class ConfigFile(Section):
    """Further axes of a run, from a JSON file in its folder."""

    file: Inside  # in the folder of a run
    names: dict[str, str] = Field(min_length=1)  # name of the axis, or `seed` → its key in the file (a.b)


class Done(Section):
    """How a run that has come to its end is known."""

    pattern: Annotated[str, AfterValidator(_expression)]  # matches somewhere in the files of `log`


class StudyParams(Section):
    """A search with Optuna: each trial is a variant."""

    storage: str  # the SQLite file; sqlite:///FILE works too
    study: str | None = None  # its name; null: the only one of the file
    metric: Annotated[str, AfterValidator(validation_metric)] = "val_objective"  # what we call the objective: val_…
    objective: int = Field(0, ge=0)  # which one, of a study with several


class AdoptParams(Section):
    """Finished runs: folders that a pattern names, or the trials of a study."""

    folders: Annotated[str, AfterValidator(_template)] | None = (
        None  # results/layers_{layers}_seed{seed}; * is any text
    )
    optuna: StudyParams | None = None  # instead of folders
    values: dict[str, Any] = {}  # what the paths below name beside the names of the pattern; the same for all runs
    config: ConfigFile | None = None  # further axes
    log: Inside | None = None  # files in the folder that patterns read, as logs/*.log
    done: Done | None = None  # null: what has reported its metrics has ended
    metrics: MetricsParams | None = None  # as of a command; {names} are filled in
    predictions: dict[str, Inside] = {}  # split → CSV with id, target and prediction

    @model_validator(mode="after")
    def _parts_fit(self) -> AdoptParams:
        if (self.folders is None) == (self.optuna is None):
            raise misfit("folders", "runs come from folders or from a study, one of the two", "folders or optuna")
        if self.optuna is not None:
            for key in sorted(self.model_fields_set - {"optuna"}):
                raise misfit(
                    key, "belongs to folders; a study has its metrics and parameters in itself", "optuna alone"
                )
        elif self.metrics is None:
            raise misfit("metrics", "missing; it says where a folder holds its metrics", "as in a command task")
        if self.done is not None and self.log is None:
            raise misfit("done", "its pattern is looked for in the files of `log`, which is missing", "log: '*.log'")
        return self

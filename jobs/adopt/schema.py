"""The section `adopt` of an experiment file: where finished runs of another program lie, and how they are read."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from jobs.reading.schema import Inside, MetricsParams, PredictionsParams, regex
from jobs.section import Section, misfit
from runner.config.experiment import validation_metric
from runner.config.template import flat, names_in


def _template(text: str) -> str:
    names_in(text)
    return text


def _name(text: str) -> str:
    names_in(f"{{{text}}}")
    return text


class ConfigFile(Section):
    """Further axes of a run, from a JSON file in its folder."""

    file: Inside  # in the folder of a run
    names: dict[Annotated[str, AfterValidator(_name)], str] = Field(
        min_length=1
    )  # name of the axis, or `seed` → its key in the file (a.b)


class Done(Section):
    """How a run that has come to its end is known."""

    pattern: Annotated[str, AfterValidator(regex)]  # matches somewhere in the files of `log`


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
    predictions: PredictionsParams | None = None  # tables with id, target and prediction

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

    @model_validator(mode="after")
    def _names_are_known(self) -> AdoptParams:
        """Each name of a path stands for one value."""
        of_folders, of_config = set(names_in(self.folders or "")), set(self.config.names if self.config else ())
        if twice := (of_folders & of_config) | ((of_folders | of_config | {"seed"}) & self.values.keys()):
            what = f"{sorted(twice)[0]!r} has a value already: a folder or its file says it"
            raise misfit("config" if twice <= of_config else "values", what, "each name in one place")
        known = of_folders | set(flat(self.values))
        for key, names in self._named().items():
            if key != "config":
                known |= of_config | {"seed"}
            for name in names:
                if name not in known:
                    what = f"names {{{name}}}, which neither the folders nor their files nor `values` say"
                    raise misfit(key, what, ", ".join(sorted(known)) or "no names")
        return self

    def _named(self) -> dict[str, list[str]]:
        """The names in the paths of each section, in the order in which they become known."""
        metrics = self.metrics
        sources = [*metrics.places, *([metrics.fusion] if metrics.fusion else [])] if metrics else []
        tables = [self.predictions.val, self.predictions.test] if self.predictions else []
        texts = {
            "config": self.config and self.config.file,
            "log": self.log,
            "metrics": [source.file for source in sources],
            "predictions": tables,
        }
        return {key: names_in(template) for key, template in texts.items()}

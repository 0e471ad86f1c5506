"""The trials of a study as runs: a trial is a variant, its intermediate values are the metrics of its epochs."""

from __future__ import annotations

import math
from hashlib import sha256

from jobs.adopt.runs import Adoptable, AdoptedRun
from jobs.adopt.schema import StudyParams
from jobs.adopt.study import Study, Trial, read_study
from jobs.context import RunContext
from jobs.failure import Kind, RunFailure
from jobs.reading.history import Epoch
from jobs.reading.predictions import Predictions
from jobs.reading.recorded import log_all
from jobs.task import Outcome
from runner.config.ranking import Reported


def trial_runs(params: StudyParams) -> Adoptable:
    """Every trial that was begun. Raises ValueError and OSError as `read_study`."""
    study = read_study(params)
    begun = [trial for trial in study.trials if trial.state != "WAITING"]
    waiting = len(study.trials) - len(begun)
    notes = study.notes + ([f"{waiting} waiting in the study, not begun"] if waiting else [])
    first = min((step for trial in begun for step in trial.reported), default=1)
    runs = [_run(params, study, trial, 1 if first == 0 else 0) for trial in begun]
    return Adoptable(runs, Reported(params.metric, ((params.metric, study.mode),)), notes)


def _run(params: StudyParams, study: Study, trial: Trial, offset: int) -> AdoptedRun:
    reading = sha256(repr((params, study.mode, trial, offset)).encode()).hexdigest()

    def read(context: RunContext) -> Outcome | None:
        epochs = {step + offset: value for step, value in sorted(trial.reported.items())}
        log_all(context, [Epoch(epoch, {params.metric: value}, {}) for epoch, value in epochs.items()], Predictions())
        return _outcome(params.metric, study.mode, trial, epochs)

    place = f"{params.storage}: {study.name}, trial {trial.number}"
    return AdoptedRun(place, trial.params, 0, reading, read, name=f"trial {trial.number}", seconds=trial.seconds)


def _outcome(metric: str, mode: str, trial: Trial, epochs: dict[int, float]) -> Outcome | None:
    """The value that the study gives the trial. Raises RunFailure for one that was pruned or failed."""
    if trial.state == "PRUNED":
        raise RunFailure(Kind.CANCELLED, f"pruned by the study after epoch {max(epochs, default=0)}")
    if trial.state == "FAIL":
        raise RunFailure(Kind.EXCEPTION, "failed, as the study says; it does not say why")
    if trial.state != "COMPLETE":
        return None
    if trial.value is None or not math.isfinite(trial.value):
        raise RunFailure(Kind.DIVERGED, f"ended with the value {trial.value}")
    reported = {epoch: value for epoch, value in epochs.items() if math.isfinite(value)}
    best = (min if mode == "min" else max)(reported, key=lambda epoch: reported[epoch], default=None)
    return Outcome({metric: trial.value}, best_epoch=best, epochs=max(epochs, default=None))

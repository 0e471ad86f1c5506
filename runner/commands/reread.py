"""`runner reread`: metrics of a command read anew after their mapping was corrected; nothing is trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from jobs.context import RunContext
from jobs.heartbeat import interval_from_environment
from jobs.node.child import result_of
from jobs.reading.files import natural
from jobs.reading.history import Reading, no_followed, read_all
from jobs.reading.predictions import read_predictions
from jobs.reading.recorded import log_all, outcome_of
from jobs.tasks.command.epochs import number_sources
from jobs.tasks.command.schema import CommandParams
from jobs.tasks.command.session import names_of
from runner.commands.loading import Loaded, load
from runner.errors import CommandFailed, UserError
from runner.files import read_mapping, write_text
from runner.rundir import manifest
from runner.rundir.attempts import read_attempts, seconds_before
from runner.rundir.claim import Claim, acquire
from runner.rundir.layout import ExperimentDir, RunDir
from runner.rundir.lock import Holder
from runner.rundir.result import Result
from runner.rundir.run_config import RunConfig, read_run_config


def reread(directory: ExperimentDir, config: Path | None) -> Iterator[tuple[str, list[str] | str]]:
    """Run by run that has started: (run_id, what does not fit the mapping), or why it is left as it is.

    config: the corrected file; None: the one that was submitted. Raises UserError where it changes more than how
    metrics are read, or where the task is no command.
    """
    manifest.refuse_adopted(directory)
    with manifest.submit_lock(directory):
        sent = manifest.submissions(directory)
        overrides = sent[-1].origin.overrides if sent and sent[-1].origin else []
        loaded = load(config or _submitted_file(directory, sent), directory.path.parent, overrides)
        _refuse_other_changes(directory, loaded)
        manifest.write(directory, loaded.expansion, loaded.experiment.task, loaded.advice)
        if sent:  # what `resubmit` reads
            write_text(directory.experiment_copy(sent[-1].number), loaded.expansion.file.source.text)
        for run in loaded.expansion.runs:
            target = directory.run(run.run_id)
            if target.output.is_dir() and not target.path.is_symlink():
                yield run.run_id, _claimed(target, run.params, loaded)


def _claimed(run: RunDir, params: object, loaded: Loaded) -> list[str] | str:
    claim = acquire(run, Holder.of_this_process(None), interval_from_environment())
    if not isinstance(claim, Claim):
        return f"{claim.holder} is at work; its next attempt reads by the corrected mapping"
    try:
        select, health = loaded.experiment.select, loaded.experiment.health
        changes = {"metric": select.metric, "mode": select.mode, "ratio": select.ratio, "health": health}
        config = RunConfig.model_validate(read_run_config(run).model_dump() | changes | {"params": params})
        warnings = _read_anew(run, config)
        config.write(run)
        return warnings
    except CommandFailed as error:
        return error.message
    finally:
        claim.release()


def _read_anew(run: RunDir, config: RunConfig) -> list[str]:
    """Write the logs of `run` anew, and its result where the command has ended well; what does not fit the mapping.

    config: with the corrected mapping. Raises CommandFailed, and changes nothing, where a run that has ended has no
    followed metric by it.
    """
    params = CommandParams.model_validate(config.params)
    command, attempt = params.command, max((one.number for one in read_attempts(run)), default=1)
    context = RunContext(
        run, variant=config.variant, seed=config.seed, attempt=attempt, threads=config.threads,
        thresholds=config.thresholds(), params=config.params, config_dir=config.config_dir,
    )  # fmt: skip
    values = names_of(params, context)
    reading = Reading(command.metrics, run.output.absolute(), values)
    number_sources(reading, run)
    history = read_all(reading, sorted(run.logs.glob("attempt-*.log"), key=natural))
    predictions = read_predictions(run.output.absolute(), command.predictions, values)
    before, ended = Result.read(run.result), read_mapping(run.ended)
    words, notes = ended.get("words", before.extra.get("command") if before else None), ended.get("notes", [])
    outcome = outcome_of(history.epochs, predictions, command.metrics, [*notes, *history.warnings], command=words)
    if outcome is None and (before or ended):
        raise CommandFailed(no_followed(command.metrics, history.epochs, history.warnings))
    log_all(context, history.epochs, predictions)
    if outcome is not None and (before or ended):
        seconds = seconds_before(run, attempt + 1) if before is None or before.seconds is None else before.seconds
        replace(result_of(outcome, config, run, attempt), seconds=seconds).write(run)
        run.failure.unlink(missing_ok=True)
    return [*history.warnings, *predictions.warnings]


def _submitted_file(directory: ExperimentDir, sent: list[manifest.Submission]) -> Path:
    name = str(manifest.read(directory).config)
    places = [Path(name), *(Path(one.origin.folder) / name for one in sent[-1:] if one.origin)]
    if file := next((place for place in places if place.is_file()), None):
        return file
    raise UserError(f"the experiment file {name} is not there any more", next_command="runner reread CONFIG")


def _refuse_other_changes(directory: ExperimentDir, loaded: Loaded) -> None:
    path, task = loaded.expansion.file.path, loaded.experiment.task
    if task != "command":
        raise UserError(f"{path}: task {task} writes its metrics itself; only those of a command are read anew")
    known, listed = ({run.run_id for run in runs} for runs in (manifest.read(directory).runs, loaded.expansion.runs))
    if known != listed:
        raise UserError(
            f"{path} changes more than how metrics are read: {len(known ^ listed)} runs are new or gone",
            next_command=f"runner expand {path}",
        )

"""`runner adopt`: finished runs of another program become an experiment, of which only text is written."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import ValidationError
from rich.console import Console

from jobs.adopt.folder_runs import folder_runs
from jobs.adopt.runs import Adoptable, AdoptedRun
from jobs.adopt.schema import AdoptParams
from jobs.adopt.trial_runs import trial_runs
from runner.commands.loading import next_problems, refuse_unknown_thresholds
from runner.commands.status import value_of
from runner.commands.tables import Column, fitted
from runner.config.experiment_file import ExperimentFile, examine
from runner.config.quantities import counted, shortened
from runner.config.ranking import resolved_select
from runner.config.validation import problems
from runner.config.yaml_source import Key
from runner.errors import CommandFailed, ConfigError, Mistakes
from runner.files import content, read_json_lines, read_mapping
from runner.matrix.expansion import Expansion, Run, baseline_of
from runner.matrix.points import Point
from runner.matrix.run_id import axis_names, canonical_json, digest, run_id, slug, variant_label
from runner.rundir import manifest
from runner.rundir.layout import ExperimentDir
from runner.rundir.run_config import read_run_config
from runner.rundir.states import RunState, counts, run_state
from runner.submit.plan import RetryPlan
from runner.submit.run_files import write_run

TASK, SEED_KEY = "command", "values.seed"  # axes are values.NAME: an adopted table reads as that of a command
_OF_STARTED_RUNS = ("task", "params", "matrix", "search")
NOTES_SHOWN = 10


@dataclass(frozen=True)
class Row:
    """A run as it was read."""

    run: Run
    place: str
    state: RunState
    epochs: int  # that were reported
    layers: list[str]  # whose fusion was logged
    predictions: Counter[str]  # of each split
    notes: list[str]
    is_new: bool  # False: nothing has changed since it was read


@dataclass(frozen=True)
class Adoption:
    """What was read, or would be."""

    directory: ExperimentDir
    metric: str
    rows: list[Row]
    notes: list[str]  # what lies beside the runs and is not read

    @property
    def has_results(self) -> bool:
        """Whether there is anything to rank, or may still come."""
        return any(
            row.state.state == "completed" or (row.state.state == "incomplete" and row.epochs) for row in self.rows
        )


def adopt(config: Path, root: Path, overrides: Sequence[str], dry_run: bool) -> Adoption:
    """Read the runs that `config` names into an experiment under `root`; dry_run: into a folder that is removed again.

    Raises ConfigError for mistakes of the file, and for runs that cannot be told apart.
    """
    file, section = _load(config, overrides)
    with _at_its_key(file, section):
        adoptable = trial_runs(section.optuna) if section.optuna else folder_runs(section)
    expansion = _expansion(file, section, adoptable)
    directory = ExperimentDir(root / file.experiment.experiment)
    if directory.manifest.exists() and not manifest.read(directory).adopted:
        raise CommandFailed(
            f"{directory.path} holds runs that were submitted; what is adopted needs an experiment of its own",
            next_command=f"another name at `experiment` of {config}",
        )
    if dry_run:
        with TemporaryDirectory(prefix="runner-adopt-") as folder:
            return _read(ExperimentDir(Path(folder)), directory, expansion, adoptable)
    with manifest.submit_lock(directory):
        manifest.write(directory, expansion, TASK)
        return _read(directory, directory, expansion, adoptable)


def _load(config: Path, overrides: Sequence[str]) -> tuple[ExperimentFile, AdoptParams]:
    """The file and its section `adopt`; ConfigError with all mistakes of both."""
    file = examine(config, list(overrides))
    keys = file.source.value
    if "adopt" not in keys:
        raise ConfigError([file.source.problem((), "has no section `adopt`")], next_command=f"runner expand {config}")
    mistakes = Mistakes([*file.mistakes, *next_problems(file)])
    with mistakes.gathered():
        refuse_unknown_thresholds(file, ())
    what = "belongs to runs that are started; the values of adopted ones come from their folders or their study"
    mistakes.problems += [
        file.source.problem((key,), what, allowed="adopt: {values: {…}} for names in paths")
        for key in _OF_STARTED_RUNS
        if key in keys
    ]
    try:
        section = AdoptParams.model_validate(keys["adopt"])
    except ValidationError as error:
        mistakes.problems += problems(AdoptParams, error, file.source.problem, ("adopt",))
    mistakes.refuse()
    return file, section


@contextmanager
def _at_its_key(file: ExperimentFile, section: AdoptParams) -> Iterator[None]:
    """What is wrong with the runs stands at the key that names them."""
    try:
        yield
    except (ValueError, OSError) as error:
        what = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        raise ConfigError([file.source.problem(_place(section), what)]) from None


def _place(section: AdoptParams) -> Key:
    """The key that names the runs."""
    return "adopt", "optuna" if section.optuna else "folders"


def _expansion(file: ExperimentFile, section: AdoptParams, adoptable: Adoptable) -> Expansion:
    """The runs as a matrix would have described them. ConfigError where two are the same, and where there is none."""
    keys = list(dict.fromkeys(f"values.{name}" for run in adoptable.runs for name in run.values))
    names = axis_names(keys)
    runs: list[Run] = []
    points: dict[str, Point] = {}
    first: dict[tuple[str, int], AdoptedRun] = {}
    mistakes = Mistakes()
    where = _place(section)
    for number, adopted in enumerate(adoptable.runs, 1):
        axes = {f"values.{name}": value for name, value in adopted.values.items()}
        variant, seed = adopted.name or variant_label(axes, names), adopted.seed
        if (other := first.setdefault((variant, seed), adopted)) is not adopted:
            what = f"{other.place} and {adopted.place} are both {variant}, seed {seed}"
            allowed = "a pattern with a name for what differs, or one of them moved away"
            mistakes.problems.append(file.source.problem(where, what, allowed=allowed))
        points[variant] = Point(axes, (where,) * len(axes), adopted.name)
        params = {"values": {**section.values, **adopted.values, "seed": seed}}
        hashed = digest("adopt", [f'"params":{canonical_json(params)}'])
        runs.append(Run(number, run_id(slug(variant), seed, hashed), variant, seed, axes, params, hashed, None))
    if not runs:
        what = "names no run" + "".join(f"; {note}" for note in adoptable.notes)
        mistakes.problems.append(file.source.problem(where, what))
    select, contradictions = resolved_select(file, [adoptable.reported])
    baseline, more = baseline_of(file, points)
    mistakes.problems += [*contradictions, *(more if runs else [])]
    mistakes.refuse()
    adopting = file.experiment.model_copy(update={"select": select, "task": TASK})
    return Expansion(replace(file, experiment=adopting), runs, keys, points, SEED_KEY, baseline, [])


def _read(target: ExperimentDir, known: ExperimentDir, expansion: Expansion, adoptable: Adoptable) -> Adoption:
    """Read what is not in `known` already, and write it to `target`."""
    origin = manifest.Origin([], "local", str(Path.cwd()), config_dir=str(expansion.file.path.absolute().parent))
    rows = []
    for run, adopted in zip(expansion.runs, adoptable.runs, strict=True):
        directory = known.run(run.run_id)
        if is_new := not adopted.is_unchanged(directory):
            directory = target.run(run.run_id)
            write_run(target, expansion, run, RetryPlan(expansion.file.experiment.resources), origin)
            adopted.record(directory, read_run_config(directory))
        rows.append(
            Row(
                run,
                adopted.place,
                run_state(directory),
                epochs=len(read_json_lines(directory.metrics)),
                layers=list(dict.fromkeys(_column(directory.fusion_weights, "layer"))),
                predictions=Counter(_column(directory.predictions, "split")),
                notes=read_mapping(directory.adopted).get("notes") or [],
                is_new=is_new,
            )
        )
    left = known.existing() - {run.run_id for run in expansion.runs}
    notes = [f"{counted(len(left), 'run')} adopted before and no longer named; kept in {known.runs}"] if left else []
    return Adoption(known, str(expansion.file.experiment.select.metric), rows, adoptable.notes + notes)


def _column(path: Path, name: str) -> list[str]:
    """A column of a table that was just written."""
    return [str(row[name]) for row in csv.DictReader(content(path).decode().splitlines())]


def show(adoption: Adoption, console: Console) -> None:
    """A row per folder or trial: what it is, and what would be read of it."""
    rows = adoption.rows
    values = [value_of(row.state, adoption.metric) for row in rows]
    console.print(fitted(
        [
            Column("#", [str(row.run.number) for row in rows], right=True),
            Column("read from", [row.place for row in rows], fold=True),
            Column("variant", [row.run.variant for row in rows], fold=True),
            Column("seed", [str(row.run.seed) for row in rows], right=True),
            Column("state", [row.state.state for row in rows]),
            Column("epochs", [str(row.epochs) for row in rows], right=True),
            Column(adoption.metric, ["" if value is None else f"{value:.4g}" for value in values], right=True),
            Column("fused layers", [",".join(row.layers) for row in rows], keep=50),
            Column("predictions", [", ".join(f"{n} {s}" for s, n in row.predictions.items()) for row in rows], keep=40),
            Column("", ["" if row.is_new else "unchanged" for row in rows], keep=10),
        ],
        console.width,
    ))  # fmt: skip


def lines(adoption: Adoption, dry_run: bool) -> list[str]:
    """What was read, what was not and why, and the next command."""
    rows, name = adoption.rows, adoption.directory.path.name
    new = sum(row.is_new for row in rows)
    states = ", ".join(f"{number} {state}" for state, number in counts(row.state for row in rows).items())
    unchanged = f"; {len(rows) - new} unchanged" if new < len(rows) else ""
    done = "would be read; nothing was written (--dry-run)" if dry_run else "read"
    text = [f"{name}: {counted(new, 'run')} {done}{unchanged}: {states}"]
    remarks: dict[str, list[str]] = {}
    for row in rows:
        failed = [row.state.message] if row.state.message and row.state.state != "incomplete" else []
        for remark in [*row.notes, *failed]:
            remarks.setdefault(remark, []).append(f"#{row.run.number}")
    remarks |= {note: [] for note in adoption.notes}
    for remark, numbers in list(remarks.items())[:NOTES_SHOWN]:
        text.append(": ".join(filter(None, (shortened(numbers, NOTES_SHOWN), remark))))
    if len(remarks) > NOTES_SHOWN:
        text.append(f"… and {len(remarks) - NOTES_SHOWN} more remarks; adopted.json of each run has its own")
    return [*text, f"next: analysis summarize {name}" if not dry_run else "next: the same without --dry-run"]

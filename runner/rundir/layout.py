"""The names of the files of an experiment and of a run. No other module spells one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self, overload


class Named:
    """A file or folder whose name below the directory is always the same; `RunDir.result.name` is that name."""

    def __init__(self, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, folder: None, owner: type) -> Self: ...
    @overload
    def __get__(self, folder: RunDir | ExperimentDir, owner: type) -> Path: ...
    def __get__(self, folder: RunDir | ExperimentDir | None, owner: type) -> Self | Path:
        return self if folder is None else folder.path / self.name


@dataclass(frozen=True)
class RunDir:
    """Files of one run, under `runs/<experiment>/runs/<run_id>`."""

    path: Path

    config = Named("config.yaml")
    provenance = Named("provenance.json")
    private = Named("private.json")  # environment and uncommitted changes; only its owner may read it
    splits = Named("splits.json")
    claim = Named("claim.json")
    attempts = Named("attempts.jsonl")
    heartbeat = Named("heartbeat.json")
    metrics = Named("metrics.jsonl")
    fusion_weights = Named("fusion_weights.csv")
    diagnostics = Named("diagnostics.jsonl")
    last_checkpoint = Named("last.pt")
    best_checkpoint = Named("best.pt")
    stable_checkpoint = Named("stable.pt")  # where the learning rate begins to decay; the next rung begins from it
    predictions = Named("predictions.csv")
    output = Named("output")  # the folder of a command that is run
    values = Named("values.json")  # the values of a command, for those that read a file
    numbering = Named("numbering.json")  # of histories of a command that began anew: epochs before, and earlier rows
    adopted = Named("adopted.json")  # what an adopted run was read from: {from, files: {name: {bytes, …}}, …}
    ended = Named("ended.json")  # a command has ended well: its words, and notes; `runner reread` completes such a run
    result = Named("result.json")
    failure = Named("failure.json")
    cancelled = Named("cancelled.json")  # cancelled before it started; removed when the run is sent again
    reserve = Named("reserve.bin")  # holds room on the disk for the last words of an attempt
    logs = Named("logs")
    tensorboard = Named("tensorboard")
    analysis = Named("analysis")  # what the tools that open its checkpoint write
    diagnosis = Named("analysis/diagnosis.json")
    alpha = Named("analysis/alpha.csv")

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def experiment(self) -> ExperimentDir:
        return ExperimentDir(self.path.parent.parent)

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder that a run writes into; none may be a link."""
        return self.path.parent, self.path, self.logs, self.tensorboard, self.analysis, self.output

    def log(self, attempt: int) -> Path:
        return self.logs / f"attempt-{attempt}.log"

    def figure(self, name: str) -> Path:
        return self.analysis / name

    def of_checkpoint(self, path: Path, checkpoint: Path | None) -> Path:
        """`path` for the best checkpoint, and a name of its own for another one: diagnosis-rescaled.json."""
        if checkpoint is None or checkpoint.name == self.best_checkpoint.name:
            return path
        return path.with_name(f"{path.stem}-{checkpoint.stem}{path.suffix}")


@dataclass(frozen=True)
class ExperimentDir:
    """Files of one experiment, under `runs/<experiment>`."""

    path: Path

    code = Named("code")  # copies of the code that submissions run, by their content
    manifest = Named("manifest.json")
    submission_log = Named("submissions.jsonl")
    submit_lock = Named("submit.lock")
    submissions = Named("submissions")
    search = Named("search")  # the ledger of a search
    follower = Named("supervisor.json")  # which process of this machine supervises the experiment
    analysis = Named("analysis")
    summary_csv = Named("analysis/results_summary.csv")
    results = Named("analysis/results.json")  # every run with its best value, epochs and guidance weights
    best_config = Named("analysis/best_config.yaml")  # the choice of a search over loss weights, as an experiment file
    summary_markdown = Named("analysis/summary.md")
    summary_latex = Named("analysis/summary.tex")
    report = Named("analysis/report.html")
    figures = Named("analysis/figures")
    experiment_file = Named("experiment.yaml")  # of a stage that `runner promote` wrote
    supervisor_log = Named("supervisor.log")

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder below the experiment but those of runs; none may be a link."""
        return self.runs, self.submissions, self.code, self.analysis, self.search

    @cached_property
    def runs(self) -> Path:
        return self.path / "runs"

    def run(self, run_id: str) -> RunDir:
        return RunDir(self.runs / run_id)

    def existing(self) -> set[str]:
        """The ids of the runs that have a directory."""
        return {entry.name for entry in self.runs.iterdir() if entry.is_dir()} if self.runs.is_dir() else set()

    def search_page(self, number: int) -> Path:
        """What round `number` decided."""
        return self.search / f"{number:04}.json"

    def submission(self, number: int) -> Path:
        return self.submissions / str(number)

    def experiment_copy(self, number: int) -> Path:
        """The experiment file as submission `number` sent it."""
        return self.submission(number) / self.experiment_file.name

    def cluster_file(self, number: int) -> Path:
        """The cluster file of a submission; with a token in it, for its sender alone to read."""
        return self.submission(number) / "cluster.yaml"

    def pool_tasks(self, number: int) -> Path:
        """What the local pool has to do: {"tasks": [[run_id, …], …]}, one list an array task."""
        return self.submission(number) / "tasks.json"

    def pool_state(self, number: int) -> Path:
        return self.submission(number) / "pool.json"

    def pool_log(self, number: int) -> Path:
        return self.submission(number) / "pool.log"

    def prepare_log(self, number: int) -> Path:
        """Of the job that fills the caches before the arrays of submission `number`."""
        return self.submission(number) / "prepare.log"

    def slurm_logs(self, number: int) -> Path:
        """submitit's files of a submission: callables, batch scripts, output of the parents."""
        return self.submission(number) / "slurm"

    def array_task_logs(self, job_id: str) -> Iterator[Path]:
        """What an array task printed, `job_id` as Slurm writes it (12, 12_3)."""
        return self.submissions.glob(f"*/slurm/{job_id}_0_log.out")

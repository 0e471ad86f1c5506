"""The names of the files of an experiment and of a run. No other module spells one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class RunDir:
    """Files of one run, under `runs/<experiment>/runs/<run_id>`."""

    path: Path

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

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def provenance(self) -> Path:
        return self.path / "provenance.json"

    @property
    def private(self) -> Path:
        """Environment and uncommitted changes; only its owner may read it."""
        return self.path / "private.json"

    @property
    def splits(self) -> Path:
        return self.path / "splits.json"

    @property
    def claim(self) -> Path:
        return self.path / "claim.json"

    @property
    def attempts(self) -> Path:
        return self.path / "attempts.jsonl"

    @property
    def heartbeat(self) -> Path:
        return self.path / "heartbeat.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def fusion_weights(self) -> Path:
        return self.path / "fusion_weights.csv"

    @property
    def diagnostics(self) -> Path:
        return self.path / "diagnostics.jsonl"

    @property
    def last_checkpoint(self) -> Path:
        return self.path / "last.pt"

    @property
    def best_checkpoint(self) -> Path:
        return self.path / "best.pt"

    @property
    def predictions(self) -> Path:
        return self.path / "predictions.csv"

    @property
    def output(self) -> Path:
        """The folder of a command that is run."""
        return self.path / "output"

    @property
    def values(self) -> Path:
        """The values of a command, for those that read a file."""
        return self.path / "values.json"

    @property
    def numbering(self) -> Path:
        """Of histories of a command that began anew: epochs before the first row, and the rows of earlier ones."""
        return self.path / "numbering.json"

    @property
    def adopted(self) -> Path:
        """What an adopted run was read from: {from, files: {name: {bytes, time, sha256}}, …}."""
        return self.path / "adopted.json"

    @property
    def ended(self) -> Path:
        """Written when a command has ended well: its words, and notes; `runner reread` completes such a run."""
        return self.path / "ended.json"

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    @property
    def failure(self) -> Path:
        return self.path / "failure.json"

    @property
    def cancelled(self) -> Path:
        """Written when a run is cancelled before it started; removed when it is sent again."""
        return self.path / "cancelled.json"

    @property
    def reserve(self) -> Path:
        """Holds room on the disk for the last words of an attempt."""
        return self.path / "reserve.bin"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def log(self, attempt: int) -> Path:
        return self.logs / f"attempt-{attempt}.log"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def analysis(self) -> Path:
        """What the tools that open its checkpoint write."""
        return self.path / "analysis"

    @property
    def diagnosis(self) -> Path:
        return self.analysis / "diagnosis.json"

    @property
    def alpha(self) -> Path:
        return self.analysis / "alpha.csv"

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

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder below the experiment but those of runs; none may be a link."""
        return self.runs, self.submissions, self.code, self.analysis

    @property
    def code(self) -> Path:
        """Copies of the code that submissions run, by their content."""
        return self.path / "code"

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.json"

    @property
    def submission_log(self) -> Path:
        return self.path / "submissions.jsonl"

    @property
    def submit_lock(self) -> Path:
        return self.path / "submit.lock"

    @property
    def submissions(self) -> Path:
        return self.path / "submissions"

    def submission(self, number: int) -> Path:
        return self.submissions / str(number)

    def cluster_file(self, number: int) -> Path:
        """The cluster file of a submission; with a token in it, for its sender alone to read."""
        return self.submission(number) / "cluster.yaml"

    def pool_tasks(self, number: int) -> Path:
        """What the local pool has to do: {"tasks": [[run_id, …], …]}, one list an array task."""
        return self.submission(number) / "tasks.json"

    def pool_state(self, number: int) -> Path:
        return self.submission(number) / "pool.json"

    def slurm_logs(self, number: int) -> Path:
        """submitit's files of a submission: callables, batch scripts, output of the parents."""
        return self.submission(number) / "slurm"

    def array_task_logs(self, job_id: str) -> Iterator[Path]:
        """What an array task printed, `job_id` as Slurm writes it (12, 12_3)."""
        return self.submissions.glob(f"*/slurm/{job_id}_0_log.out")

    def pool_log(self, number: int) -> Path:
        return self.submission(number) / "pool.log"

    @property
    def follower(self) -> Path:
        """Which process of this machine supervises the experiment."""
        return self.path / "supervisor.json"

    def prepare_log(self, number: int) -> Path:
        """Of the job that fills the caches before the arrays of submission `number`."""
        return self.submission(number) / "prepare.log"

    @cached_property
    def runs(self) -> Path:
        return self.path / "runs"

    def run(self, run_id: str) -> RunDir:
        return RunDir(self.runs / run_id)

    @property
    def analysis(self) -> Path:
        return self.path / "analysis"

    @property
    def summary_csv(self) -> Path:
        return self.analysis / "results_summary.csv"

    @property
    def results(self) -> Path:
        """Every run with its best value, epochs and guidance weights; whole at any moment."""
        return self.analysis / "results.json"

    @property
    def best_config(self) -> Path:
        """The chosen variant of a search over loss weights, as an experiment file."""
        return self.analysis / "best_config.yaml"

    @property
    def summary_markdown(self) -> Path:
        return self.analysis / "summary.md"

    @property
    def summary_latex(self) -> Path:
        return self.analysis / "summary.tex"

    @property
    def report(self) -> Path:
        return self.analysis / "report.html"

    @property
    def figures(self) -> Path:
        return self.analysis / "figures"

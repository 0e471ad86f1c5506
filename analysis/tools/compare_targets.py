"""What the two words after `analysis compare` mean: a variant, a run, a checkpoint, or a whole experiment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from analysis.collect.predictions import Predictions, read_predictions
from analysis.commands.selection import variant_named
from analysis.rank.pairing import Side, side_of
from analysis.rank.summary import Summary, summarize
from runner.errors import CommandFailed, UserError
from runner.rundir.layout import ExperimentDir, RunDir
from runner.submit.selection import experiment_directory

CHECKPOINT = ".pt"


@dataclass(frozen=True)
class Sides:
    """Where words are looked up, and how a checkpoint is made to predict: (run, checkpoint, split) → predictions."""

    experiment: str | None
    root: Path
    split: str
    predict: Callable[[RunDir, Path, str], Predictions]

    def both(self, first: str, second: str) -> tuple[Side, Side]:
        """The two sides, under names that tell them apart."""
        one, two = self.named(first), self.named(second)
        if one.name == two.name and first != second:
            one, two = replace(one, name=first), replace(two, name=second)
        return one, two

    def named(self, word: str) -> Side:
        """A file *.pt, the directory of a run, an experiment (its choice), or a name within `experiment`."""
        path = Path(word)
        if path.suffix == CHECKPOINT:
            return self._checkpoint(path)
        if _is_run(RunDir(path)):
            return self._run(RunDir(path))
        if ExperimentDir(path).manifest.is_file() or ExperimentDir(self.root / word).manifest.is_file():
            return self._choice(summarize(experiment_directory(word, self.root).path))
        summary = summarize(experiment_directory(self.experiment, self.root).path)
        return side_of(summary.collection.directory, variant_named(summary, word), self.split)

    def _checkpoint(self, path: Path) -> Side:
        run = RunDir(path.parent)
        if not path.is_file():
            raise UserError(f"there is no checkpoint {path}")
        if not run.config.is_file():
            raise UserError(
                f"{path} lies in no run directory, so what it was trained on is unknown",
                next_command="put it beside the best.pt of its run",
            )
        return Side(f"{run.path.resolve().name}/{path.name}", {None: self.predict(run, path, self.split)})

    def _run(self, run: RunDir) -> Side:
        found = read_predictions(run.predictions, self.split)
        return Side(run.path.resolve().name, {None: found} if len(found) else {})

    def _choice(self, summary: Summary) -> Side:
        """An experiment stands for the variant that it chose."""
        manifest = summary.collection.manifest
        if summary.choice is None:
            raise CommandFailed(f"no run of {manifest.experiment} has completed, so there is no choice to compare")
        side = side_of(summary.collection.directory, summary.variant(summary.choice.variant), self.split)
        return replace(side, name=f"{manifest.experiment}: {side.name}")


def _is_run(run: RunDir) -> bool:
    return any(file.is_file() for file in (run.config, run.result, run.predictions))

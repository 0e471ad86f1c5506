"""What the two words after `analysis compare` mean: a variant, a run, a checkpoint, or a whole experiment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from analysis.collect.predictions import Predictions, read_predictions
from analysis.collect.reading import json_object
from analysis.commands.selection import CHECKPOINT, is_run, run_of, variant_named
from analysis.rank.pairing import Fusion, Side, side_of
from analysis.rank.summary import Summary, summarize
from runner.errors import CommandFailed
from runner.rundir.layout import ExperimentDir, RunDir
from runner.rundir.result import Result
from runner.submit.selection import experiment_directory


@dataclass(frozen=True)
class Sides:
    """Where words are looked up, and how a checkpoint is opened: (run, checkpoint, split) → predictions, fusion."""

    experiment: str | None
    root: Path
    split: str
    opened: Callable[[RunDir, Path, str], tuple[Predictions, Fusion]]

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
        if is_run(RunDir(path)):
            return self._run(RunDir(path))
        if ExperimentDir(path).manifest.is_file() or ExperimentDir(self.root / word).manifest.is_file():
            return self._choice(summarize(experiment_directory(word, self.root).path))
        summary = summarize(experiment_directory(self.experiment, self.root).path)
        return side_of(summary.collection.directory, variant_named(summary, word), self.split)

    def _checkpoint(self, path: Path) -> Side:
        run = run_of(path)
        predictions, fusion = self.opened(run, path, self.split)
        return Side(f"{run.path.resolve().name}/{path.name}", {None: predictions}, fusion)

    def _run(self, run: RunDir) -> Side:
        found = read_predictions(run.predictions, self.split)
        result = Result.of(json_object(run.result))
        fusion = result.fusion if result else {}
        return Side(run.path.resolve().name, {None: found} if len(found) else {}, fusion)

    def _choice(self, summary: Summary) -> Side:
        """An experiment stands for the variant that it chose."""
        manifest = summary.collection.manifest
        if summary.choice is None:
            raise CommandFailed(f"no run of {manifest.experiment} has completed, so there is no choice to compare")
        side = side_of(summary.collection.directory, summary.variant(summary.choice.variant), self.split)
        return replace(side, name=f"{manifest.experiment}: {side.name}")

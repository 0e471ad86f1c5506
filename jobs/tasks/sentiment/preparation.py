"""What can be done before the runs start: data sets read and checked, teachers trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from jobs.task import Preparation, attempted
from jobs.tasks.sentiment.dataset import read
from jobs.tasks.sentiment.samples import Samples
from jobs.tasks.sentiment.schema import FeatureFile, SentimentParams, TrainedTeachers
from jobs.tasks.sentiment.teachers import teacher_features
from runner.errors import UserError


def prepare(params: Sequence[SentimentParams], cache_root: Path, log: Callable[[str], None]) -> list[Preparation]:
    """Do what `params` need, each thing once; what cannot be had is reported, not raised."""
    preparations = []
    for data, planted in dict.fromkeys((p.data, p.planted) for p in params):
        wanted = [p for p in params if (p.data, p.planted) == (data, planted)]
        try:
            samples = read(wanted[0])
        except UserError as error:
            preparations.append(Preparation(f"data set {data.dataset}", False, error.message))
            continue
        sizes = ", ".join(f"{name} {len(split.ids):,}" for name, split in samples.splits.items())
        preparations.append(Preparation(f"data set {data.dataset}", True, "; ".join([sizes, *samples.notes])))
        for teachers in dict.fromkeys(p.teachers for p in wanted if p.loss.delta_va):
            what = f"teachers of vision and audio ({teachers.name})"
            preparations.append(attempted(what, _train, teachers, samples, cache_root, log))
    return preparations


def _train(teachers: TrainedTeachers | FeatureFile, samples: Samples, root: Path, log: Callable[[str], None]) -> str:
    teacher_features(teachers, samples, root, "cpu", log)
    return ""

"""What to do next with an experiment: the variants to promote, and the exact commands."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.choice import Choice
from analysis.collect import Collection
from analysis.rank import Variant

PROMOTED = 3
FULL_EPOCHS = 100


@dataclass(frozen=True)
class Step:
    """A command and what it is for."""

    purpose: str
    command: str


def promoted(variants: Sequence[Variant], choice: Choice, top: int = PROMOTED) -> list[str]:
    """The chosen variant, then the best-ranked others; unhealthy ones only where healthy ones do not suffice."""
    others = [variant for variant in variants if variant.rank is not None and variant.name != choice.variant]
    others.sort(key=lambda variant: bool(variant.blocking))
    return [choice.variant, *(variant.name for variant in others[: top - 1])]


def next_steps(collection: Collection, variants: Sequence[Variant], choice: Choice | None) -> list[Step]:
    """Commands for what is missing, for the next stage, and for a full training with the best."""
    manifest = collection.manifest
    name = shlex.quote(_experiment_argument(collection))
    states = {run.state for run in collection.runs}
    steps = []
    if "failed" in states:
        steps.append(Step("look at the failures", f"runner failures {name}"))
        steps.append(Step("send what failed again", f"runner resubmit {name}"))
    config = shlex.quote(manifest.config or _submitted_file(collection) or f"configs/{manifest.experiment}.yaml")
    if states & {"new", "lost"}:
        steps.append(Step("send what is missing", f"runner submit {config}"))
    if "unknown" in states:
        steps.append(Step("ask Slurm again, which did not answer", f"runner status {name}"))
    if "running" in states:
        steps.append(Step("watch what is running", f"runner status {name} --watch"))
    if choice is None:
        return steps
    if manifest.next_stage:
        steps.append(Step("write the next stage", f"runner promote {name}"))
    if manifest.task in (None, "crystal"):
        changes = {
            "experiment": f"{manifest.experiment}_full",
            "params.train.epochs": str(FULL_EPOCHS),
            "params.data.train": "null",
            "params.data.val": "null",
            "params.data.test": "null",
        }
        options = " ".join(f"--set {shlex.quote(f'{key}={value}')}" for key, value in changes.items())
        only = shlex.quote(choice.variant)
        steps.append(Step("train the best in full", f"runner submit {config} --only {only} {options}"))
    if any(run.record.loss_weights for run in collection.runs):
        steps.append(Step("look closer around the best", f"analysis refine {name}"))
        best = shlex.quote(os.path.normpath(collection.directory.best_config))
        steps.append(Step("train the best in full, tested once", f"runner submit {best}"))
    return steps


def _experiment_argument(collection: Collection) -> str:
    """The experiment as one would type it: a path as it was given."""
    return os.path.normpath(collection.directory.path)


def _submitted_file(collection: Collection) -> str | None:
    """The newest experiment file among the submissions."""
    folder = collection.directory.submissions
    found = [path for path in folder.glob("*/*.yaml") if path.parent.name.isdigit()]
    newest: Path | None = max(found, key=lambda path: int(path.parent.name), default=None)
    return str(newest) if newest else None

"""What to do next with an experiment: the variants to promote, and the exact commands."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from analysis.collect.collection import Collection
from analysis.rank.choice import Choice
from analysis.rank.statistics import CLAIM_SEEDS
from analysis.task_definitions import FULL_TRAINING
from runner.rundir import manifest as submitted
from runner.rundir.failures import is_retried, kind_of
from runner.rundir.layout import ExperimentDir
from runner.submit.selection import root_directory

PROMOTED = 3  # the first of the ranking; what is unhealthy among them keeps its place and its finding


@dataclass(frozen=True)
class Step:
    """A command and what it is for."""

    purpose: str
    command: str


def next_steps(collection: Collection, choice: Choice | None, *, provisional: bool, few_seeds: bool) -> list[Step]:
    """Commands for what is missing, for more seeds, for the next stage, and for a full training with the best.

    While the choice is provisional, or there is none, nothing is proposed that builds on it.
    """
    manifest = collection.manifest
    name = shlex.quote(os.path.normpath(collection.directory.path))
    states = {run.state for run in collection.runs}
    if manifest.adopted:
        adopt = f"runner adopt {shlex.quote(str(manifest.config))}"
        by_state = [({"incomplete", "failed"}, Step("read what has changed since", adopt))]
    else:
        failures = [run.record.failure or {} for run in collection.runs if run.state == "failed"]
        retried = any(is_retried(kind_of(failure.get("kind")), manifest.task) for failure in failures)
        by_state = [
            ({"failed"}, Step("look at the failures", f"runner failures {name}")),
            ({"failed"} if retried else set(), Step("send what failed again", f"runner resubmit {name}")),
            ({"new", "lost"}, Step("send what is missing", _submit(collection))),
            ({"unknown"}, Step("ask Slurm again, which did not answer", f"runner status {name}")),
            ({"running"}, Step("watch what is running", f"runner status {name} --watch")),
        ]
    steps = [step for wanted, step in by_state if wanted & states]
    if choice is None or provisional:
        return steps
    if few_seeds and manifest.search is None and not manifest.adopted and (seeds := _more_seeds(collection)):
        command = _submit(collection, changes={"matrix.seeds": str(seeds)})  # those of a search are fixed
        steps.append(Step("train more seeds, before a difference is claimed", command))
    if manifest.next:
        steps.append(Step("write the next stage", f"runner promote {name}"))
    if manifest.adopted:
        return steps
    if manifest.task in FULL_TRAINING:
        changes = {"experiment": f"{manifest.experiment}_full", **FULL_TRAINING[manifest.task]}
        changes |= {"search": "null"} if manifest.search else {}
        steps.append(Step("train the best in full", _submit(collection, only=choice.variant, changes=changes)))
    if any(run.record.loss_weights for run in collection.runs):
        best = shlex.quote(os.path.normpath(collection.directory.best_config))
        steps.append(Step("look closer around the best", f"analysis refine {name}"))
        steps.append(Step("train the best in full, tested once", f"runner submit {best}"))
    return steps


def _more_seeds(collection: Collection) -> list[int]:
    """The seeds of the experiment, and as many more as a claim needs; none where it has enough."""
    seeds = sorted({run.seed for run in collection.manifest.runs if run.seed is not None})
    if len(seeds) >= CLAIM_SEEDS:
        return []
    unused = [seed for seed in range(2 * CLAIM_SEEDS) if seed not in seeds]
    return seeds + unused[: CLAIM_SEEDS - len(seeds)]


def _submit(collection: Collection, only: str | None = None, changes: Mapping[str, str] | None = None) -> str:
    """`runner submit` of the same file with the options that it was submitted with, and with `changes` after them."""
    sent = submitted.submissions(collection.directory)
    origin = sent[-1].origin if sent else None
    options = [("--set", text) for text in (origin.overrides if origin else [])]
    options += [("--set", f"{key}={value}") for key, value in (changes or {}).items()]
    if origin and origin.cluster_option:
        options.append(("--cluster", origin.cluster_option))
    root = collection.directory.path.parent
    if root.resolve() != root_directory(None).resolve():
        options.append(("--root", os.path.normpath(root)))
    words = [_config(collection), *(("--only", only) if only else ()), *(word for option in options for word in option)]
    return f"runner submit {shlex.join(words)}"


def _config(collection: Collection) -> str:
    """The experiment file as it was named; where it is not here, the newest copy among the submissions."""
    named = collection.manifest.config
    if named and Path(named).is_file():
        return named
    folder = collection.directory.submissions
    copies = [path for path in folder.glob(f"*/{ExperimentDir.experiment_file.name}") if path.parent.name.isdigit()]
    newest = max(copies, key=lambda path: int(path.parent.name), default=None)
    return str(newest or named or f"configs/{collection.manifest.experiment}.yaml")

"""What a training starts from: the weights of another run, or a finished run that had fewer epochs."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from jobs.context import RunContext
from jobs.failure import Kind, RunFailure
from jobs.training import checkpoint
from runner.errors import UserError
from runner.files import content, open_file, replacing, write_text
from runner.rundir.layout import RunDir
from runner.rundir.result import Result
from runner.rundir.run_config import read_run_config

_FREE = ("epochs", "continue_finished")  # of `train`: what a longer run has different


def warm_start(model: nn.Module, path: Path, sha256: str | None, say: Callable[[str], None]) -> None:
    """Load the weights in `path`; the optimiser, the schedule and the epochs begin anew.

    sha256: digest of the file when the run was described. Raises RunFailure where the file is gone, has changed since,
    or holds another model.
    """
    try:
        with open_file(path, links=True) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RunFailure(Kind.DATA_MISSING, f"train.warm_start: {path}: {error.strerror}") from None
    if digest != sha256:
        raise RunFailure(Kind.DATA_MISSING, f"train.warm_start: {path} is not the file any more that this run names")
    try:
        checkpoint.load_weights(model, path)
    except ValueError as error:
        raise RunFailure(Kind.BAD_CONFIG, f"train.warm_start: {error}") from None
    say(f"warm start: weights of {path}")


def continue_finished(context: RunContext) -> None:
    """Take over checkpoints and logs of the longest finished run that is this one with fewer epochs.

    Nothing where this run has begun by itself. Raises RunFailure where there is no such run.
    """
    ours = context.directory
    if ours.last_checkpoint.exists() or ours.best_checkpoint.exists():
        return
    longer, wanted = _described(ours)
    runs = [RunDir(path) for path in sorted(ours.path.parent.iterdir()) if path != ours.path]
    ended = [(*_described(run), run) for run in runs if run.last_checkpoint.exists() and Result.read(run.result)]
    shorter = [(epochs, run) for epochs, rest, run in ended if rest == wanted and epochs < longer]
    if not shorter:
        what = "train.continue_finished: no finished run of this experiment differs in having fewer epochs alone"
        raise RunFailure(Kind.DATA_MISSING, f"{what} and has kept its last.pt (keep: {{checkpoints: all}})")
    epochs, run = max(shorter, key=lambda entry: entry[0])
    _copy_logs(run, ours)
    for name in ("best_checkpoint", "last_checkpoint"):  # the last counts
        source = getattr(run, name)
        if source.exists():
            with replacing(getattr(ours, name)) as beside:
                shutil.copyfile(source, beside)
    context.say(f"going on from {run.run_id}, which ended after {epochs} epochs")


def begin_from_below(context: RunContext) -> None:
    """Take over stable.pt and the logs up to it of the run with the next smaller budget of a search.

    Nothing where this run has begun by itself, or where there is no stable.pt, or a damaged one: the result is the
    same, it only takes longer.
    """
    ours, below = context.directory, context.below
    if below is None or ours.last_checkpoint.exists() or ours.best_checkpoint.exists():
        return
    for _, state in checkpoint.readable([below.stable_checkpoint], context.warn):
        best = state.pop("best", None)
        _copy_logs(below, ours)
        if best is not None:
            checkpoint.save(ours.best_checkpoint, best)
        checkpoint.save(ours.last_checkpoint, state)  # last: from here on the run has begun
        context.say(f"going on from {below.run_id}, where its learning rate began to decay")


def _copy_logs(source: RunDir, target: RunDir) -> None:
    for name in ("metrics", "fusion_weights", "diagnostics"):
        if getattr(source, name).exists():
            write_text(getattr(target, name), content(getattr(source, name)).decode("utf-8", "replace"))


def _described(run: RunDir) -> tuple[int, dict[str, Any]]:
    """The epochs of a run, and all of its other parameters."""
    try:
        params = read_run_config(run).params
    except UserError:  # damaged: like no other run
        return 0, {}
    train = params.get("train", {})
    rest = {**params, "train": {name: value for name, value in train.items() if name not in _FREE}}
    return int(train.get("epochs", 0)), rest

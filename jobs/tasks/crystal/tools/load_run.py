"""A finished run opened again: its parameters, its data, its model at the best epoch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from jobs.tasks.crystal.dataset import gather
from jobs.tasks.crystal.learner import CrystalLearner
from jobs.tasks.crystal.schema import CrystalParams
from jobs.tasks.crystal.task import build_model, choose_kernels
from jobs.training import checkpoint
from runner.errors import CommandFailed, UserError
from runner.files import read_json
from runner.rundir.layout import RunDir
from runner.rundir.run_config import read_run_config


def params_of(run: RunDir) -> CrystalParams:
    """The parameters of a run of the crystal task; UserError for another task."""
    config = read_run_config(run)
    if config.task != "crystal":
        raise UserError(f"{run.run_id} is a run of the task {config.task!r}; this reads runs of crystal")
    return CrystalParams.model_validate(config.params)


def open_run(
    run: RunDir,
    cache_root: Path,
    device: torch.device | str = "cpu",
    log: Callable[[str], None] = lambda text: None,
    weights: Path | None = None,
) -> CrystalLearner:
    """The learner of `run` with the weights of its best epoch, or of the checkpoint `weights`, in evaluation mode.

    Graphs and embeddings come from the cache below `cache_root`, or are computed. Raises UserError where the run has
    no checkpoint, or where the data set does not give the crystals any more that the run was trained with.
    """
    params = params_of(run)
    weights = weights or run.best_checkpoint
    if not weights.exists():
        raise missing(run, weights)
    device = torch.device(device)
    choose_kernels(params, device, cache_root, log)  # as the run was computed
    corpus = gather(params, cache_root, device, 1, log)
    if read_json(run.splits) != corpus.splits:
        raise UserError(f"{params.data.dataset} has changed: it gives other crystals than {run.splits} lists")
    model = build_model(params, corpus.texts.width if corpus.texts is not None else None).to(device)
    load_weights(model, weights, device)
    return CrystalLearner(model.eval(), corpus, params.train)


def missing(run: RunDir, weights: Path) -> CommandFailed:
    """Why a tool that opens checkpoints has nothing to open."""
    lost, early = "it was pruned, or left behind when the directory was copied", "it has not ended an epoch yet"
    why = lost if run.result.exists() else early
    return CommandFailed(f"{run.run_id} has no {weights.name}: {why}", next_command="runner status")


def load_weights(model: nn.Module, weights: Path, device: torch.device | str = "cpu") -> None:
    """Give `model` the weights of a checkpoint; UserError where it is truncated, foreign, or of another model."""
    try:
        checkpoint.load_weights(model, weights, device)
    except ValueError as error:
        raise UserError(str(error)) from None

"""A finished run opened again: its parameters, its data, its model at the best epoch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from jobs.crystal.corpus import gather
from jobs.crystal.learner import CrystalLearner
from jobs.crystal.schema import CrystalParams
from jobs.crystal.task import build_model
from jobs.run_config import read_run_config
from jobs.training import checkpoint
from runner.errors import UserError
from runner.files import read_json
from runner.layout import RunDir


def params_of(run: RunDir) -> CrystalParams:
    """The parameters of a run of the crystal task; UserError for another task."""
    config = read_run_config(run)
    if config.task != "crystal":
        raise UserError(f"{run.run_id} is a run of the task {config.task!r}; this reads runs of crystal")
    return CrystalParams.model_validate(config.params)


def open_run(
    run: RunDir, cache_root: Path, device: torch.device | str = "cpu", log: Callable[[str], None] = lambda text: None
) -> CrystalLearner:
    """The learner of `run` with the weights of its best epoch, in evaluation mode.

    Graphs and embeddings come from the cache below `cache_root`, or are computed. Raises UserError where the run has
    no checkpoint, or where the data set does not give the crystals any more that the run was trained with.
    """
    params = params_of(run)
    if not run.best_checkpoint.exists():
        raise UserError(f"{run.run_id} has no {run.best_checkpoint.name}: it has not ended an epoch yet")
    device = torch.device(device)
    corpus = gather(params, cache_root, device, 1, log)
    splits = {name: [corpus.ids[i] for i in places] for name, places in corpus.places.items()}
    if read_json(run.splits) != splits:
        raise UserError(f"{params.data.dataset} has changed: it gives other crystals than {run.splits} lists")
    model = build_model(params, corpus.texts.width if corpus.texts is not None else None).to(device)
    try:
        model.load_state_dict(checkpoint.load(run.best_checkpoint, device)["model"])
    except (ValueError, RuntimeError) as error:
        raise UserError(f"{run.run_id}: {str(error).splitlines()[0]}") from error
    return CrystalLearner(model.eval(), corpus, params.train)

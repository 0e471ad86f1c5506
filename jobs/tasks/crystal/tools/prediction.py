"""Predictions of a trained model for structures that no data set holds yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from jobs.tasks.crystal.data import folder, table
from jobs.tasks.crystal.data.crystals import Crystal
from jobs.tasks.crystal.data.crystals import crystal as checked_crystal
from jobs.tasks.crystal.data.records import SUFFIXES, read_structure, skipping
from jobs.tasks.crystal.dataset import Corpus, embedded
from jobs.tasks.crystal.graphs.crystal_graph import crystal_graph
from jobs.tasks.crystal.graphs.store import GraphStore
from jobs.tasks.crystal.learner import CrystalLearner
from jobs.tasks.crystal.schema import CrystalParams
from jobs.tasks.crystal.task import build_model
from jobs.tasks.crystal.text.descriptions import describe
from jobs.tasks.crystal.tools.load_run import load_weights, missing, params_of
from runner.errors import CommandFailed, UserError
from runner.rundir.layout import RunDir
from runner.rundir.result import Result

Log = Callable[[str], None]


@dataclass(frozen=True)
class Predicted:
    """What a model says of one structure."""

    material_id: str
    formula: str
    prediction: float  # in the target's unit, or the probability of the class above the threshold
    described: bool  # False: it has no text, so the model's null text stood in


@dataclass(frozen=True)
class Structures:
    """What could be read, and of the rest why not."""

    crystals: list[Crystal]
    unread: dict[str, str]  # place → reason


def read_structures(paths: Sequence[Path]) -> Structures:
    """Crystals of structure files, folders of them (with or without id_prop.csv) and tables."""
    crystals: dict[str, Crystal] = {}
    unread: dict[str, str] = {}
    for path in paths:
        with skipping(unread, str(path)):
            for crystal in _read(path, unread):
                own = crystal.material_id
                name = own if own not in crystals else f"{path.name}/{own}"
                crystals[name] = replace(crystal, material_id=name)
    return Structures(list(crystals.values()), unread)


def _read(path: Path, unread: dict[str, str]) -> list[Crystal]:
    if (path / folder.ID_PROP).is_file():
        return folder.load(path, unread)
    if path.is_dir():
        if not (files := sorted(file for file in path.iterdir() if _is_structure(file))):
            raise UserError(f"holds no structure file ({', '.join(SUFFIXES)}, POSCAR…)")
        crystals = []
        for file in files:
            with skipping(unread, str(file)):
                crystals.append(_from_file(file))
        return crystals
    if not path.exists():
        raise UserError("there is no such file or folder")
    return table.load(path, unread) if table.readable(path) else [_from_file(path)]


def _is_structure(path: Path) -> bool:
    return path.is_file() and (path.name.upper().startswith(("POSCAR", "CONTCAR")) or path.suffix.lower() in SUFFIXES)


def _from_file(path: Path) -> Crystal:
    name = path.stem if path.suffix.lower() in SUFFIXES else path.name
    lattice, fractional, symbols = read_structure(path, name)
    return checked_crystal(name, lattice, symbols, fractional, where=str(path))


def predict(run: RunDir, structures: Structures, cache_root: Path, log: Log = lambda text: None) -> list[Predicted]:
    """The run's best epoch on `structures`, described and made into graphs as its configuration says.

    A structure of which no graph can be made moves to `structures.unread`. Raises CommandFailed for a run that is not
    completed or has no checkpoint, UserError where no structure is left or the descriptions are missing.
    """
    params = params_of(run)
    result = Result.read(run.result)
    extra = result.extra if result else {}
    if "train_mean" not in extra:
        raise CommandFailed(f"{run.run_id} is not completed: only its result tells the scale of its predictions")
    if not run.best_checkpoint.exists():
        raise missing(run, run.best_checkpoint)
    crystals = [crystal for crystal in structures.crystals if _has_graph(crystal, params, structures.unread)]
    if not crystals:
        reasons = [f"\n    {place}: {why}" for place, why in structures.unread.items()]
        raise UserError("none of the structures could be read" + "".join(reasons))
    descriptions = describe(crystals, params.text.describe, cache_root, log) if params.reads_text else None
    corpus = Corpus(
        ids=[crystal.material_id for crystal in crystals],
        places={"train": range(0), "new": range(len(crystals))},
        graphs=GraphStore.open(crystals, params.graph, cache_root, log=log) if params.model.uses_graph else None,
        descriptions=descriptions,
        texts=None if descriptions is None else embedded(descriptions, params, cache_root, torch.device("cpu"), log),
        target=torch.zeros(len(crystals)),
        mean=extra["train_mean"],
        deviation=extra["train_deviation"],
        classes=params.data.classify is not None,
        notes=[],
        logarithm=params.data.scale == "log10",
    )
    model = build_model(params, corpus.texts.width if corpus.texts is not None else None)
    load_weights(model, run.best_checkpoint)
    values, _ = CrystalLearner(model.eval(), corpus, params.train).predict("new")
    texts: Sequence[str | None] = descriptions or [None] * len(crystals)
    return [
        Predicted(crystal.material_id, crystal.formula, float(value), text is not None or not params.reads_text)
        for crystal, value, text in zip(crystals, values, texts, strict=True)
    ]


def _has_graph(crystal: Crystal, params: CrystalParams, unread: dict[str, str]) -> bool:
    with skipping(unread, crystal.material_id):
        crystal_graph(crystal, params.graph)
        return True
    return False

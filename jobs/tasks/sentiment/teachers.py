"""The frozen teachers of vision and audio: their features of the train split, trained once, or from a file.

A teacher sees one modality alone. It is trained for all runs that share data and teacher options, by `runner prepare`
or by the first run that needs it, and what is kept of it in the cache is its features: no run trains or runs it again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from jobs.content_cache import content_key, load_array, publish, save_arrays, unwritable
from jobs.tasks.sentiment import archive
from jobs.tasks.sentiment.dataset import ResidentSequences
from jobs.tasks.sentiment.samples import Samples
from jobs.tasks.sentiment.schema import FeatureFile, TrainedTeachers
from jobs.training.device import one_thread
from jobs.training.trainer import cut
from models.sentiment.options import SentimentModelOptions
from models.sentiment.teacher import Teacher
from runner.errors import UserError
from runner.rundir.lock import Locked, locked

TAUGHT = ("vision", "audio")
VERSION = 1  # of the training below; raised when it changes, so that old features are not read
Features = NDArray[np.float32]  # (n_train, d)
Log = Callable[[str], None]


def teacher_features(
    options: TrainedTeachers | FeatureFile,
    samples: Samples,
    root: Path,
    device: torch.device | str,
    log: Log,
    waiting: Callable[[], None] = lambda: None,
) -> dict[str, Features]:
    """Modality → features of the train split, in its order.

    root: the cache. waiting: called while another process trains them; may raise to give up. Raises UserError for a
    feature file that does not fit, CommandFailed where the cache cannot be written.
    """
    if isinstance(options, FeatureFile):
        return from_file(Path(options.path).expanduser(), samples.splits["train"].ids)
    return {name: _trained(name, options, samples, root, device, log, waiting) for name in TAUGHT}


def from_file(path: Path, ids: list[str]) -> dict[str, Features]:
    """The features of `ids` from an .npz of ids (n,), vision (n, d), audio (n, d); UserError where some are missing."""

    def wrong(what: str) -> UserError:
        return UserError(f"teachers.path: {path} {what}")

    arrays = archive.read(path, "teachers.path", ("ids", *TAUGHT))
    if missing := [name for name in ("ids", *TAUGHT) if name not in arrays]:
        raise wrong(f"has no {', '.join(missing)}; allowed: ids (n,), vision (n, d), audio (n, d)")
    places = {str(name): row for row, name in enumerate(arrays["ids"].ravel())}
    for name in TAUGHT:
        shape = arrays[name].shape
        if len(shape) != 2 or shape[0] != arrays["ids"].size or arrays[name].dtype.kind not in "fiu":
            raise wrong(f"holds {name} of shape {shape}; allowed: ({arrays['ids'].size}, d) numbers, one row per id")
        if not np.isfinite(arrays[name]).all():
            raise wrong(f"holds {name} with values that are not finite")
    if absent := [name for name in ids if name not in places]:
        raise wrong(f"lacks {len(absent)} utterances of the train split, such as {absent[0]!r}")
    return {name: arrays[name][[places[item] for item in ids]].astype(np.float32) for name in TAUGHT}


def _trained(
    name: str,
    options: TrainedTeachers,
    samples: Samples,
    root: Path,
    device: torch.device | str,
    log: Log,
    waiting: Callable[[], None],
) -> Features:
    splits = (samples.splits["train"], samples.splits["val"])
    parts = [(split.modalities[name].values, split.modalities[name].mask, split.labels) for split in splits]
    key = content_key(VERSION, options.model_dump(), name, *chain.from_iterable(parts))
    directory = root / "teachers" / f"{name}-{key}"
    if not directory.exists():
        with _alone(directory, root, log, waiting):

            def fill(beside: Path) -> None:
                log(f"training the {name} teacher: {options.epochs} epochs")
                features, error, plain = train_teacher(name, options, samples, device)
                log(f"{name} teacher: val MSE {error:.4f} (predicting the mean: {plain:.4f})")
                save_arrays(beside, {"features": features, "val_mse": np.array([error, plain])})

            publish(directory, root, f"{name} teacher", 1, fill)
    return np.array(load_array(directory, "features"))


@contextmanager
def _alone(directory: Path, root: Path, log: Log, waiting: Callable[[], None]) -> Iterator[None]:
    """Wait until `directory` is there or no other process makes it, then hold its lock."""
    lock = directory.with_name(f"{directory.name}.lock")
    announced = False
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            with locked(lock):
                yield
                return
        except Locked as error:
            if not announced:
                log(f"waiting for {error}, which trains this teacher")
            announced = True
            waiting()
            time.sleep(0.2)
        except OSError as error:
            raise unwritable(root, "a teacher", error) from error


def train_teacher(
    name: str, options: TrainedTeachers, samples: Samples, device: torch.device | str
) -> tuple[Features, float, float]:
    """Train on one modality of the train split.

    Returns the train split's features at the epoch of the best validation MSE, that MSE, and the MSE of predicting the
    train split's mean. In one thread on a CPU, so that the features do not depend on who trains them.
    """
    splits = {split: samples.splits[split] for split in ("train", "val")}
    inputs = {split: ResidentSequences(data.modalities[name], device) for split, data in splits.items()}
    labels = {split: torch.from_numpy(data.labels).to(device) for split, data in splits.items()}
    with one_thread(), torch.random.fork_rng():
        torch.manual_seed(options.seed)
        model_options = SentimentModelOptions(width=options.width, encoder_layers=options.encoder_layers)
        teacher = Teacher(model_options, inputs["train"].values.shape[2]).to(device)
        features, error = _fit(teacher, options, inputs, labels)
    return features, error, float(F.mse_loss(labels["train"].mean().expand_as(labels["val"]), labels["val"]))


def _fit(
    teacher: Teacher,
    options: TrainedTeachers,
    inputs: dict[str, ResidentSequences],
    labels: dict[str, torch.Tensor],
) -> tuple[Features, float]:
    optimiser = torch.optim.AdamW(teacher.parameters(), lr=options.learning_rate, weight_decay=1e-2)
    count, size = len(labels["train"]), options.batch_size
    best, features = float("inf"), np.zeros((count, options.width), np.float32)
    for _ in range(options.epochs):
        teacher.train()
        for rows in cut(torch.randperm(count).numpy(), size):
            optimiser.zero_grad(set_to_none=True)
            loss = F.mse_loss(teacher(inputs["train"].take(rows)), labels["train"][torch.from_numpy(rows)])
            torch.autograd.backward(loss)
            optimiser.step()
        error = float(F.mse_loss(_in_parts(teacher, inputs["val"], size, teacher.forward), labels["val"]))
        if error < best:
            best = error
            features = _in_parts(teacher, inputs["train"], size, teacher.features).cpu().numpy()
    if not np.isfinite(best):
        raise UserError("the training of a teacher diverged; set a smaller teachers.learning_rate")
    return features, best


@torch.no_grad()
def _in_parts(
    teacher: Teacher, sequences: ResidentSequences, size: int, ask: Callable[..., torch.Tensor]
) -> torch.Tensor:
    """What `ask` says of all sequences, computed in evaluation mode, `size` at a time."""
    teacher.eval()
    return torch.cat([ask(sequences.take(rows)) for rows in cut(np.arange(len(sequences.mask)), size)])

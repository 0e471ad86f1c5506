"""The training loop: batches, validation, logs, checkpoints; it can stop at any batch and go on from there."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from jobs.context import RunContext, not_finite
from jobs.failure import Kind, RunFailure, Stopped
from jobs.task import Outcome
from jobs.training import checkpoint
from jobs.training.health_monitor import HealthMonitor
from jobs.training.optimisation import Plateau, decay_steps, optimiser_for, schedule_for
from jobs.training.options import TrainingParams
from jobs.training.tensorboard_log import TensorBoardLog
from jobs.training.warm_start import begin_from_below
from runner.health.findings import sentence


@dataclass(frozen=True)
class Validation:
    """What one validation pass found."""

    metrics: dict[str, float]  # val_*
    fusion: dict[str, dict[str, float]] = field(default_factory=dict)  # layer → quantities
    histograms: dict[str, list[float]] = field(default_factory=dict)  # layer → its gates in equal bins of 0 to 1


class Learner(Protocol):
    """What is trained. Losses are means over the items of a batch."""

    metric: str  # of `validate`: says which epoch is the best
    mode: str  # whether the best metric is the `min` or the `max`

    @property
    def model(self) -> nn.Module: ...

    def batches(self, epoch: int) -> Sequence[Any]:
        """The batches of an epoch (counted from 1), each a sequence of items; the same at every call."""

    def backward(self, batch: Any) -> dict[str, Tensor]:
        """Add the gradient of the batch's loss; the sums over its items of `loss` and of further train metrics."""

    def validate(self) -> Validation:
        """Metrics and fusion quantities on the validation split."""


class Evaluated(Learner, Protocol):
    """A learner whose best epoch can be evaluated."""

    def ids(self, split: str) -> Sequence[str]:
        """The items of a split, in the order of `predict`."""

    def predict(self, split: str) -> Sequence[Any]:
        """(n,) predictions and (n,) targets of a split in the target's unit; what follows them is not read here."""

    def metrics(self, split: str, predictions: Any, targets: Any) -> dict[str, float]:
        """How good predictions are, by names that begin with the split."""

    def baselines(self, split: str, targets: Any) -> dict[str, float]:
        """How good it would be to predict the same of every item."""


@dataclass
class Progress:
    """Where a run stands; part of its checkpoint."""

    epoch: int = 1  # the one that is being trained, counted from 1
    batch: int = 0  # its next batch
    step: int = 0  # optimiser steps taken
    best_value: float | None = None
    best_epoch: int = 0
    best_fusion: dict[str, dict[str, float]] = field(default_factory=dict)
    best_metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0  # spent in the epoch so far


@dataclass(frozen=True)
class TrainResult:
    """The end of a training."""

    best_epoch: int
    best_metrics: dict[str, float]
    best_fusion: dict[str, dict[str, float]]
    epochs: int
    stopped_early: bool


def cut(order: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """`order` in batches of `size`; the last may be smaller."""
    return [order[start : start + size] for start in range(0, len(order), size)]


def train(learner: Evaluated, options: TrainingParams, context: RunContext, extra: dict[str, Any]) -> Outcome:
    """Train, keep the best epoch, evaluate it and write predictions.csv: the only use of the test split.

    extra: of the outcome, with `notes` to be warned of.
    """
    for note in extra["notes"]:
        context.warn(note)
    context.plan(options.epochs, learner.metric)
    result = Trainer(learner, options, context).run()
    device = next(learner.model.parameters()).device
    learner.model.load_state_dict(checkpoint.load(context.directory.best_checkpoint, device)["model"])
    rows: list[tuple[str, str, float, float]] = []
    metrics = dict(result.best_metrics)
    for split in ("val", "test"):
        predictions, targets, *_ = learner.predict(split)
        items = zip(learner.ids(split), targets, predictions, strict=True)
        rows += [(item, split, float(target), float(prediction)) for item, target, prediction in items]
        metrics |= learner.metrics("test", predictions, targets) if split == "test" else {}
        metrics |= learner.baselines(split, targets)
    context.write_predictions(rows)
    return Outcome(
        metrics=metrics,
        best_epoch=result.best_epoch,
        epochs=result.epochs,
        stopped_early=result.stopped_early,
        parameters=sum(p.numel() for p in learner.model.parameters() if p.requires_grad),
        fusion=result.best_fusion,
        extra={"device": str(device), **extra},
    )


class Trainer:
    """One training of a learner. The state is in `progress`, the optimiser, the schedule and the sums of the epoch."""

    def __init__(self, learner: Learner, options: TrainingParams, context: RunContext) -> None:
        self.learner, self.options, self.context = learner, options, context
        self.optimiser = optimiser_for(learner.model, options.learning_rate, options.weight_decay)
        self.total_steps = options.epochs * len(learner.batches(1))
        self.schedule = schedule_for(
            self.optimiser, options.schedule, self.total_steps, pct_start=options.pct_start,
            warmup=options.warmup_steps, mode=learner.mode, decay=options.decay,
        )  # fmt: skip
        self.stable_step = self.total_steps - decay_steps(self.total_steps, options.decay)
        self.progress = Progress()
        self.monitor = HealthMonitor(context.thresholds, context.params)
        self.tensorboard = TensorBoardLog(context.directory.tensorboard, context.warn)
        self.sums: dict[str, Tensor] = {}  # of the epoch so far, on the device: reading them would make it wait
        self.items = 0
        self.saved = -1  # step of the last checkpoint

    def run(self) -> TrainResult:
        """Train to the last epoch, or until `patience` epochs brought nothing better."""
        self._resume()
        with closing(self.tensorboard):
            while not (stopped_early := self._out_of_patience()) and self.progress.epoch <= self.options.epochs:
                self._train_epoch()
                self._end_epoch()
        p = self.progress
        return TrainResult(p.best_epoch, p.best_metrics, p.best_fusion, p.epoch - 1, stopped_early)

    def _train_epoch(self) -> None:
        p, learner = self.progress, self.learner
        learner.model.train()
        batches = learner.batches(p.epoch)
        began = time.perf_counter()
        for batch in batches[p.batch :]:
            if self.context.stop_reason is not None:
                p.seconds += time.perf_counter() - began
                self._stop()
            if p.step == self.stable_step and self.context.keep_stable:
                checkpoint.save_stable(self.context.directory, self._state())
            self.optimiser.zero_grad(set_to_none=True)
            for name, value in learner.backward(batch).items():
                self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.items += len(batch)
            if self.options.gradient_clip is not None:
                nn.utils.clip_grad_norm_(learner.model.parameters(), self.options.gradient_clip)
            self.optimiser.step()
            self.schedule.step()
            p.step += 1
            p.batch += 1
        p.seconds += time.perf_counter() - began

    def _end_epoch(self) -> None:
        """Validate, log, remember the best, write the checkpoint; in this order a crash repeats the whole epoch."""
        p = self.progress
        train = {f"train_{name}": float(total) / self.items for name, total in self.sums.items()}
        began = time.perf_counter()
        self.learner.model.eval()
        with torch.no_grad():
            validation = self.learner.validate()
        p.seconds += time.perf_counter() - began
        metrics = {**train, **validation.metrics}
        if wrong := not_finite(metrics):
            place = f"epoch {p.epoch}, step {p.step}"
            raise RunFailure(Kind.DIVERGED, f"{place}: {wrong}; try a smaller learning rate or gradient_clip")
        value = metrics[self.learner.metric]
        better = p.best_value is None or (value < p.best_value if self.learner.mode == "min" else value > p.best_value)
        if better:
            p.best_value, p.best_epoch = value, p.epoch
            p.best_metrics, p.best_fusion = metrics, validation.fusion
        self._log(metrics, validation, better)
        if isinstance(self.schedule, Plateau):
            self.schedule.end_epoch(value)
        p.epoch, p.batch, p.seconds = p.epoch + 1, 0, 0.0
        self.sums, self.items = {}, 0
        if better:
            self._save(self.context.directory.best_checkpoint)
        self._save(self.context.directory.last_checkpoint)

    def _log(self, metrics: dict[str, float], validation: Validation, better: bool) -> None:
        p = self.progress
        rate = self.optimiser.param_groups[0]["lr"]
        record = {"epoch": p.epoch, "step": p.step, "seconds": p.seconds, "learning_rate": rate, **metrics}
        name = self.learner.metric
        mark = "  best" if better else f"  (best {p.best_value:.4f} in epoch {p.best_epoch})"
        self.context.say(
            f"epoch {p.epoch}/{self.options.epochs}  train_loss {metrics['train_loss']:.4f}  "
            f"{name} {metrics[name]:.4f}{mark}  {p.seconds:.1f} s"
        )
        reported = {layer: values for layer, values in validation.fusion.items() if values}
        gates = {layer: {"gate_histogram": counts} for layer, counts in validation.histograms.items()}
        layers = {layer: {**reported.get(layer, {}), **gates.get(layer, {})} for layer in {**reported, **gates}}
        findings = self.monitor.log(self.context, record, layers)
        self.tensorboard.epoch(
            p.epoch, {**metrics, "learning_rate": rate}, reported, [sentence(each) for each in findings]
        )

    def _out_of_patience(self) -> bool:
        p, patience = self.progress, self.options.patience
        return patience is not None and p.best_epoch > 0 and p.epoch - 1 - p.best_epoch >= patience

    def _stop(self) -> None:
        reason = self.context.stop_reason
        assert reason is not None
        if self.progress.step > self.saved:  # a checkpoint that says nothing new would look like progress
            self._save(self.context.directory.last_checkpoint)
        self.context.say(
            f"stopped ({reason}) in epoch {self.progress.epoch}, batch {self.progress.batch}; checkpoint written"
        )
        raise Stopped(reason)

    def _save(self, path: Path) -> None:
        self.saved = self.progress.step
        checkpoint.save(path, self._state())

    def _state(self) -> dict[str, Any]:
        """All that the training needs to go on from here."""
        return {
            "model": self.learner.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "random": checkpoint.random_state(),
            "progress": asdict(self.progress),
            "sums": self.sums,
            "items": self.items,
        }

    def _take_over(self, state: dict[str, Any]) -> None:
        self.learner.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.progress = Progress(**state["progress"])
        device = next(self.learner.model.parameters()).device
        self.sums = {name: value.to(device) for name, value in state["sums"].items()}
        self.items = state["items"]
        checkpoint.set_random_state(state["random"])

    def _resume(self) -> None:
        """Go on from the newest checkpoint that is whole and of this model; from the start where there is none."""
        run = self.context.directory
        begin_from_below(self.context)
        start = copy.deepcopy(self._state())  # a checkpoint that does not fit is noticed when part of it is taken over
        for path, state in checkpoint.readable([run.last_checkpoint, run.best_checkpoint], self.context.warn):
            try:
                self._take_over(state)
            except torch.OutOfMemoryError:
                raise
            except checkpoint.REFUSED as error:
                self._take_over(start)
                self.context.warn(
                    f"{path} is of another model ({' '.join(str(error).split())[:200]}); trying an older one"
                )
                continue
            p = self.progress
            self.saved = p.step
            self.context.rewind(p.epoch - 1)
            self.monitor.go_on(run)
            self.context.say(f"resuming in epoch {p.epoch}, batch {p.batch}")
            return
        self.context.rewind(0)

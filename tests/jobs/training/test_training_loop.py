"""The training loop on a small linear problem: order of epochs, stopping, resuming bit for bit."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from jobs.context import RunContext
from jobs.failure import RunFailure, Stopped
from jobs.heartbeat import HeartbeatThread
from jobs.training import checkpoint
from jobs.training.trainer import Trainer, TrainResult, Validation
from runner.files import read_json, read_json_lines
from runner.health.thresholds import overridden
from runner.rundir.layout import RunDir

OPTIONS: dict[str, Any] = {
    "epochs": 6,
    "learning_rate": 0.05,
    "weight_decay": 0.01,
    "schedule": "onecycle",
    "pct_start": 0.3,
    "warmup_steps": None,
    "decay": 0.2,
    "gradient_clip": 1.0,
    "patience": None,
}


class LineLearner:
    """Learns y = 2x with dropout, so that the random state matters."""

    metric, mode = "val_mae", "min"

    def __init__(self, stop_at: tuple[RunContext, int] | None = None, poison_epoch: int | None = None) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.3), nn.Linear(8, 1))
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(20, 3, generator=generator)
        self.y = 2 * self.x.sum(1)
        self.fusion = {"1": {"w_graph": 0.5}}
        self.stop_at, self.poison_epoch, self.steps, self.epoch = stop_at, poison_epoch, 0, 0

    def batches(self, epoch: int) -> list[Tensor]:
        self.epoch = epoch
        order = torch.randperm(20, generator=torch.Generator().manual_seed(epoch))
        return list(order.split(6))

    def size(self, batch: Tensor) -> int:
        return len(batch)

    def backward(self, batch: Tensor) -> dict[str, Tensor]:
        loss = (self.model(self.x[batch]).squeeze(1) - self.y[batch]).abs().mean()
        if self.poison_epoch == self.epoch:
            loss = loss * torch.nan
        torch.autograd.backward(loss)
        self.steps += 1
        if self.stop_at and self.steps == self.stop_at[1]:
            self.stop_at[0].ask_to_stop("preempted")
        return {"loss": loss.detach() * len(batch)}

    def validate(self) -> Validation:
        error = (self.model(self.x).squeeze(1) - self.y).abs().mean()
        return Validation({"val_mae": float(error)}, self.fusion)


def context_at(path: Path) -> RunContext:
    path.mkdir(exist_ok=True)
    return RunContext(RunDir(path))


def fit(path: Path, **changes: Any) -> TrainResult:
    return Trainer(LineLearner(), SimpleNamespace(**{**OPTIONS, **changes}), context_at(path)).run()


def comparable(path: Path) -> list[dict[str, Any]]:
    changing = ("time", "seconds", "attempt")
    return [{k: v for k, v in line.items() if k not in changing} for line in read_json_lines(RunDir(path).metrics)]


@pytest.mark.parametrize("step", [1, 4, 5, 11])
def test_stopped_and_resumed_training_equals_an_undisturbed_one(tmp_path: Path, step: int) -> None:
    whole = fit(tmp_path / "whole")
    context = context_at(tmp_path / "stopped")
    with pytest.raises(Stopped, match="preempted"):
        Trainer(LineLearner((context, step)), SimpleNamespace(**OPTIONS), context).run()
    resumed = fit(tmp_path / "stopped")
    assert resumed == whole
    assert comparable(tmp_path / "stopped") == comparable(tmp_path / "whole")
    first, second = (torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("whole", "stopped"))
    for name, value in first["model"].items():
        assert torch.equal(value, second["model"][name]), name


def test_plateau_halves_the_rate_and_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    options = {"epochs": 25, "schedule": "plateau", "learning_rate": 0.5}
    whole = fit(tmp_path / "whole", **options)
    rates = [line["learning_rate"] for line in comparable(tmp_path / "whole")]
    assert {new / old for old, new in itertools.pairwise(rates)} == {1.0, 0.5}
    context = context_at(tmp_path / "stopped")
    with pytest.raises(Stopped):
        Trainer(LineLearner((context, 70)), SimpleNamespace(**{**OPTIONS, **options}), context).run()
    assert fit(tmp_path / "stopped", **options) == whole
    assert comparable(tmp_path / "stopped") == comparable(tmp_path / "whole")


@pytest.mark.parametrize(("short", "decay"), [(3, 1 / 3), (3, 0.25), (2, 0.2)])
def test_training_by_rungs_equals_the_long_one_alone(tmp_path: Path, short: int, decay: float) -> None:
    by_rungs = {"schedule": "warmup_stable_decay", "warmup_steps": 3, "decay": decay}
    whole = fit(tmp_path / "whole", **by_rungs)
    lower = RunContext(RunDir(tmp_path / "lower"), keep_stable=True)
    lower.directory.path.mkdir()
    Trainer(LineLearner(), SimpleNamespace(**{**OPTIONS, **by_rungs, "epochs": short}), lower).run()
    above = RunContext(RunDir(tmp_path / "above"), below=lower.directory)
    above.directory.path.mkdir()
    learner = LineLearner()
    assert Trainer(learner, SimpleNamespace(**{**OPTIONS, **by_rungs}), above).run() == whole
    assert learner.steps == 4 * 6 - (4 * short - round(4 * short * decay))
    assert comparable(tmp_path / "above") == comparable(tmp_path / "whole")
    for name in ("last.pt", "best.pt"):
        first, second = (torch.load(tmp_path / one / name, weights_only=True) for one in ("whole", "above"))
        assert all(torch.equal(value, second["model"][key]) for key, value in first["model"].items())


def test_damaged_stable_checkpoint_costs_time_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"schedule": "warmup_stable_decay", "warmup_steps": 3}
    whole = fit(tmp_path / "whole", **options)
    lower = RunDir(tmp_path / "lower")
    lower.path.mkdir()
    lower.stable_checkpoint.write_bytes(b"nothing of the kind")
    (tmp_path / "above").mkdir()
    above = RunContext(RunDir(tmp_path / "above"), below=lower)
    assert Trainer(LineLearner(), SimpleNamespace(**{**OPTIONS, **options}), above).run() == whole
    assert "stable.pt is not a whole checkpoint" in capsys.readouterr().out


def test_truncated_last_checkpoint_falls_back_to_the_best(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = fit(tmp_path / "whole")
    context = context_at(tmp_path / "damaged")
    with pytest.raises(Stopped):
        Trainer(LineLearner((context, 18)), SimpleNamespace(**OPTIONS), context).run()
    last = tmp_path / "damaged" / "last.pt"
    last.write_bytes(last.read_bytes()[:1000])
    assert fit(tmp_path / "damaged") == whole
    assert "last.pt is not a whole checkpoint" in capsys.readouterr().out


@pytest.mark.parametrize("part", ["model", "optimiser", "progress", "random"])
def test_last_checkpoint_of_another_model_falls_back_to_the_best(
    tmp_path: Path, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = fit(tmp_path / "whole")
    context = context_at(tmp_path / "other")
    with pytest.raises(Stopped):
        Trainer(LineLearner((context, 18)), SimpleNamespace(**OPTIONS), context).run()
    last = tmp_path / "other" / "last.pt"
    foreign = nn.Linear(3, 9)
    state = torch.load(last, weights_only=True)
    checkpoint.save(last, {
        **{name: value for name, value in state.items() if name != "format"},
        part: {
            "model": {**state["model"], "0.weight": torch.zeros(9, 3)}, "progress": {"epochs": 3},
            "optimiser": torch.optim.SGD(foreign.parameters()).state_dict(), "random": {"cpu": torch.zeros(3)},
        }[part],
    })  # fmt: skip
    assert fit(tmp_path / "other") == whole
    assert "last.pt is of another model" in capsys.readouterr().out
    assert comparable(tmp_path / "other") == comparable(tmp_path / "whole")


def test_without_a_checkpoint_of_this_model_a_training_starts_anew(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole")
    (tmp_path / "other").mkdir()
    for name in ("last.pt", "best.pt"):
        state = torch.load(tmp_path / "whole" / name, weights_only=True)
        del state["format"]
        state["model"]["2.bias"] = torch.zeros(5)  # the layers before it fit, and are taken over
        checkpoint.save(tmp_path / "other" / name, state)
    assert fit(tmp_path / "other") == whole


@pytest.mark.parametrize("model", [None, [1, 2], {"weight": "text"}, {}, torch.zeros(2)], ids=str)
def test_a_checkpoint_without_a_model_is_refused_in_one_line(tmp_path: Path, model: Any) -> None:
    checkpoint.save(tmp_path / "best.pt", {"model": model})
    with pytest.raises(ValueError, match=r"best\.pt holds the weights of another model: .+") as refused:
        checkpoint.load_weights(nn.Linear(2, 2), tmp_path / "best.pt")
    assert "\n" not in str(refused.value)


def test_advice_to_open_a_checkpoint_unsafely_is_not_repeated(tmp_path: Path) -> None:
    torch.save({"format": 1, "model": Path("x")}, tmp_path / "best.pt")
    with pytest.raises(ValueError, match="holds more than tensors and plain values, and was not opened") as refused:
        checkpoint.load(tmp_path / "best.pt")
    assert not {"weights_only", "trust", "can still be loaded"} & set(str(refused.value).split())


def test_a_sparse_checkpoint_of_twenty_gigabytes_is_refused_at_once(tmp_path: Path) -> None:
    with (tmp_path / "last.pt").open("wb") as file:
        file.truncate(20 << 30)
    with pytest.raises(ValueError, match=r"last\.pt is not a whole checkpoint"):
        checkpoint.load(tmp_path / "last.pt")


def test_resuming_a_finished_training_trains_nothing_more(tmp_path: Path) -> None:
    first = fit(tmp_path / "run")
    before = (tmp_path / "run" / "last.pt").read_bytes()
    assert fit(tmp_path / "run") == first
    assert (tmp_path / "run" / "last.pt").read_bytes() == before


def test_non_finite_loss_ends_as_diverged_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    learner = LineLearner(poison_epoch=3)
    with pytest.raises(RunFailure, match="epoch 3, step 12: train_loss = nan"):
        Trainer(learner, SimpleNamespace(**OPTIONS), context_at(tmp_path / "run")).run()
    kept = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    assert kept["progress"]["epoch"] == 3
    assert all(torch.isfinite(value).all() for value in kept["model"].values())


def test_early_stopping_counts_epochs_without_gain(tmp_path: Path) -> None:
    fitted = fit(tmp_path / "run", epochs=200, patience=2, learning_rate=0.5, schedule="constant")
    assert fitted.stopped_early
    assert fitted.epochs == fitted.best_epoch + 2


def test_health_is_said_once_and_written_with_the_experiments_own_thresholds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    beat = HeartbeatThread(RunDir(tmp_path / "run"), {}, 30.0)
    context = RunContext(RunDir(tmp_path / "run"), heartbeat=beat, thresholds=overridden({"ratio_low": 6}))
    learner = LineLearner()
    learner.fusion = {"1": {"ratio": 5.0, "contribution_ratio": 5.0}, "late": {"gate_mean": 0.95}}
    Trainer(learner, SimpleNamespace(**OPTIONS), context).run()
    told = [line["findings"] for line in read_json_lines(context.directory.diagnostics) if "findings" in line]
    assert [[(its["rule"], its["layer"]) for its in findings] for findings in told] == [
        [("ratio_low", "1"), ("gate_saturated", "late")]
    ]
    out = capsys.readouterr().out
    assert out.count("warning: layer 1: the text weighs too much: ratio 5 is below 6") == 1
    assert out.count("warning: late fusion: the gate is saturated") == 1
    assert read_json(context.directory.heartbeat)["health"] == "blocking"


def test_a_text_scale_that_leaves_its_start_is_said_while_it_trains(tmp_path: Path) -> None:
    """The rule holds for a start of 12, which the run's parameters say."""
    told = {}
    for start in (12.0, 5.0):
        directory = RunDir(tmp_path / f"run{start:g}")
        learner = LineLearner()
        directory.path.mkdir()
        learner.fusion = {"2": {"text_scale": 31.0}, "3": {"text_scale": 6.0}}
        context = RunContext(directory, params={"model": {"middle_fusion": {
            "learnable_scale": True, "initial_scale": start}}})  # fmt: skip
        Trainer(learner, SimpleNamespace(**OPTIONS), context).run()
        found = [its for line in read_json_lines(directory.diagnostics) for its in line.get("findings", [])]
        told[start] = [(its["rule"], its["layer"]) for its in found]
    assert told == {12.0: [("text_scale_rising", "2"), ("text_scale_falling", "3")], 5.0: []}


def test_a_resumed_run_says_no_finding_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    context = context_at(tmp_path / "run")
    learner = LineLearner((context, 9))
    learner.fusion = {"late": {"gate_mean": 0.95}}
    with pytest.raises(Stopped):
        Trainer(learner, SimpleNamespace(**OPTIONS), context).run()
    again = LineLearner()
    again.fusion = learner.fusion
    Trainer(again, SimpleNamespace(**OPTIONS), context_at(tmp_path / "run")).run()
    assert capsys.readouterr().out.count("the gate is saturated") == 1


def scalars(path: Path, name: str) -> dict[int, float]:
    board = EventAccumulator(str(RunDir(path).tensorboard)).Reload()
    events = board.Scalars(name)
    assert len({event.step for event in events}) == len(events)
    return {event.step: event.value for event in events}


@pytest.mark.parametrize("lost", [[], ["last.pt", "best.pt"]])  # with no checkpoint the epochs are trained again
def test_tensorboard_shows_every_epoch_once_also_after_a_restart(tmp_path: Path, lost: list[str]) -> None:
    context = context_at(tmp_path / "run")
    with pytest.raises(Stopped):
        Trainer(LineLearner((context, 14)), SimpleNamespace(**OPTIONS), context).run()
    for name in lost:
        (tmp_path / "run" / name).unlink()
    time.sleep(1.01)  # event files are read in the order of their names, which begin with the second
    fit(tmp_path / "run")
    lines = read_json_lines(RunDir(tmp_path / "run").metrics)
    assert scalars(tmp_path / "run", "val/val_mae") == pytest.approx({line["epoch"]: line["val_mae"] for line in lines})
    assert scalars(tmp_path / "run", "fusion 1/w_graph") == dict.fromkeys(range(1, 7), 0.5)


def test_a_run_goes_on_where_tensorboard_cannot_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "tensorboard").write_text("a file where its directory should be")
    assert fit(tmp_path / "run").epochs == 6
    assert capsys.readouterr().out.count("warning: TensorBoard's file was not written") == 1


def test_epoch_lines_hold_what_others_rely_on(tmp_path: Path) -> None:
    fit(tmp_path / "run")
    lines = read_json_lines(RunDir(tmp_path / "run").metrics)
    wanted = {"epoch", "step", "attempt", "time", "seconds", "learning_rate", "train_loss", "val_mae"}
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert all(wanted <= set(line) for line in lines)
    assert [line["step"] for line in lines] == [4, 8, 12, 16, 20, 24]

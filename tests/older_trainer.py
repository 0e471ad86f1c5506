"""A program in the style of older training scripts: it knows nothing of us, and writes files as they do.

Below <output_dir>/<property>: histories without epochs that begin anew after a resume, weights of the fused layers
(from 0, every fifth epoch, running means that begin at 0), a checkpoint an epoch, predictions of the best one. It
prints lines between progress bars. Its errors follow from layers, seed and epoch, so a test knows them.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import signal
import sys
from pathlib import Path

UPDATES, MOMENTUM = 20, 0.99  # per epoch; of the running means
TEXT_WEIGHT = {0: 0.7, 1: 0.5, 2: 0.3}  # by layer, from 0


def error_of(layers: list[int], seed: int, epoch: int) -> float:
    """Validation MAE after `epoch` epochs; the last ones are worse than the tenth."""
    return round(0.2 + 0.05 * min(layers) + 0.001 * seed + 0.3 / epoch + 0.01 * max(0, epoch - 10), 6)


def ratio_of(layer: int) -> float:
    """(1 + w_graph) / w_text of the weights themselves."""
    return (2 - TEXT_WEIGHT[layer]) / TEXT_WEIGHT[layer]


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--output_dir", "--property", "--middle_fusion_layers", "--resume"):
        parser.add_argument(name, default="")
    for name in ("--random_seed", "--epochs", "--die_after"):
        parser.add_argument(name, type=int, default=0)
    options = parser.parse_args()
    layers = [int(layer) for layer in options.middle_fusion_layers.split(",")]
    folder = Path(options.output_dir) / options.property
    folder.mkdir(parents=True, exist_ok=True)
    done = json.loads(Path(options.resume).read_text())["epoch"] if options.resume else 0
    train: dict[str, list[float]] = {"loss": [], "mae": []}
    val: dict[str, list[float]] = {"loss": [], "mae": []}
    whole: dict[str, list[float]] = {"train_loss": [], "val_mae": [], "test_mae": []}
    for epoch in range(done + 1, options.epochs + 1):
        for step in range(50):
            sys.stderr.write(f"\rtraining {step * 2}%|####| loss={1 / (step + 1):.3f}")
        error = error_of(layers, options.random_seed, epoch)
        for history, scale in ((train, 0.8), (val, 1.0)):
            history["loss"].append(error * error * scale)
            history["mae"].append(error * scale)
        for name, value in (("train_loss", error * error * 0.8), ("val_mae", error), ("test_mae", error + 0.02)):
            whole[name].append(value)
        (folder / "history_train.json").write_text(json.dumps(train))
        (folder / "history_val.json").write_text(json.dumps(val))
        (folder / "training_history.json").write_text(json.dumps(whole))
        sys.stderr.write("\n")
        print(
            f"Epoch: {float(epoch)}\nTrain_MAE: {error * 0.8:.6f}\nVal_MAE: {error:.6f}\nTest_MAE: {error + 0.02:.6f}"
        )
        sys.stdout.flush()
        if epoch % 5 == 0:
            _weights(folder / "fusion_weights.csv", layers, epoch)
        if epoch == options.die_after and not options.resume:
            os.kill(os.getpid(), signal.SIGKILL)
        (folder / f"checkpoint_{epoch}.pt").write_text(json.dumps({"epoch": epoch}))
        if error <= min(error_of(layers, options.random_seed, other) for other in range(1, epoch + 1)):
            (folder / "best_val_model.pt").write_text("weights")
            for split, more in (("val", 0.0), ("test", 0.02)):
                _predictions(folder / f"predictions_best_val_model_{split}.csv", split, error + more)


def _weights(path: Path, layers: list[int], epoch: int) -> None:
    seen = 1 - MOMENTUM ** (UPDATES * epoch)  # of a running mean that began at 0
    names = ["epoch", *(f"layer_{layer}_{name}" for layer in layers for name in ("w_graph", "w_text", "eff_ratio"))]
    cells: list[float] = [epoch]
    for layer in layers:
        graph, text = seen * (1 - TEXT_WEIGHT[layer]), seen * TEXT_WEIGHT[layer]
        cells += [graph, text, (1 + graph) / text]
    new = not path.exists()
    with open(path, "a", newline="") as file:
        csv.writer(file).writerows([names, cells] if new else [cells])


def _predictions(path: Path, split: str, error: float) -> None:
    signs = random.Random(split)
    with open(path, "w") as file:
        file.write("id, target, prediction\n")
        for item in range(40):
            target = signs.uniform(-3, 3)
            file.write(f"{split}-{item}, {target:.6f}, {target + error * signs.choice((-1, 1)):.6f}\n")


if __name__ == "__main__":
    main()

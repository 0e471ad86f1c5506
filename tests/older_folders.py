"""Folders as older training scripts leave them: histories without epochs, weights as running means, tables, a log."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

PROPERTY = "mbj_bandgap"
ITEMS = 40
END = "Training completed"


def write_run(folder: Path, layers: int, seed: int, epochs: int = 10, *, ended: bool = True) -> None:
    """One training: `folder`/mbj_bandgap/…, and train.log. The more layers up to 2, the better."""
    own = folder / PROPERTY
    own.mkdir(parents=True)
    noise = random.Random(f"{layers} {seed}")
    errors = [0.2 + 0.05 * abs(layers - 2) + 1 / (epoch + 2) + noise.uniform(0, 0.004) for epoch in range(epochs)]
    _json(own / "history_train.json", {"loss": [error**2 for error in errors], "mae": [0.9 * e for e in errors]})
    _json(own / "history_val.json", {"loss": [error**2 for error in errors], "mae": errors})
    _json(folder / "config.json", {"learning_rate": 0.001, "optimizer": {"name": "adamw"}, "random_seed": seed})
    (own / f"checkpoint_{epochs}.pt").write_bytes(b"\x80weights")
    _weights(own / "fusion_weights.csv", layers, epochs)
    for split in ("val", "test"):
        _predictions(own / f"predictions_best_val_model_{split}.csv", min(errors), noise)
    lines = [f"{epoch}/9 [==>]\rEpoch: {epoch}.0\nVal_MAE: {error:.4f}" for epoch, error in enumerate(errors, 1)]
    (folder / "train.log").write_text("\n".join(lines + ([END] if ended else [])) + "\n")


def _json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content))


def _weights(path: Path, layers: int, epochs: int) -> None:
    """Means that began at 0 and gain a tenth each epoch: 0.75 and 0.25 are not reached."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["epoch", f"layer_{layers - 1}_w_graph", f"layer_{layers - 1}_w_text"])
        for epoch in range(1, epochs + 1):
            share = 1 - 0.9**epoch
            rows.writerow([epoch, f"{0.75 * share:.6f}", f"{0.25 * share:.6f}"])


def _predictions(path: Path, error: float, noise: random.Random) -> None:
    lines = ["id,target,prediction"]
    for item in range(ITEMS):
        target = noise.uniform(0, 3)
        lines.append(f"JVASP-{item}, {target:.6f}, {target + (error if item % 2 else -error):.6f}")
    path.write_text("\n".join(lines) + "\n")

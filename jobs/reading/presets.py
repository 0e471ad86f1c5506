"""Metrics sections of programs that many people use, by name."""

from __future__ import annotations

from typing import Any

_LAYER = r"layer_(?P<layer>\d+)_(?P<quantity>w_graph|w_text)"

PRESETS: dict[str, dict[str, Any]] = {
    "crysmmnet": {  # <output_dir>/<property>/history_val.json and others; fused layers count from 0
        "sources": [
            {"file": "**/history_train.json", "names": {"train_loss": "loss", "train_mae": "mae"}},
            {"file": "**/history_val.json", "names": {"val_loss": "loss", "val_mae": "mae"}},
            {"file": "**/training_history.json"},
        ],
        "fusion": {"file": "**/fusion_weights.csv", "columns": _LAYER, "first_layer": 0},
    },
    "alignn": {  # of the package `alignn`: rows of numbers without names, the total loss first
        "sources": [
            {"file": "**/history_train.json", "names": {"train_loss": 0}},
            {"file": "**/history_val.json", "names": {"val_loss": 0}},
        ],
        "follow": "val_loss",
    },
    "lightning": {  # of its CSVLogger; a resumed training writes into a version of its own
        "sources": [{"file": "**/metrics.csv", "first_epoch": 0}],
        "follow": "val_loss",
    },
    "huggingface": {  # of its Trainer, beside each checkpoint
        "sources": [
            {
                "file": "**/trainer_state.json", "rows": "log_history",
                "names": {"train_loss": "loss", "learning_rate": "learning_rate", "val_*": "eval_*"},
            }
        ],
        "follow": "val_loss",
    },
}  # fmt: skip

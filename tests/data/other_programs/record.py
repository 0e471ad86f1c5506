"""Writes the files beside this script: what the libraries themselves leave of three epochs of a tiny regression.

pip install lightning "transformers[torch]" keras tensorboard
KERAS_BACKEND=torch python tests/data/other_programs/record.py
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")
HERE = Path(__file__).parent
EPOCHS = 3
LIBRARIES = ("torch", "lightning", "transformers", "accelerate", "keras", "tensorboard")


def data():
    import torch

    torch.manual_seed(0)
    x = torch.rand(40, 1)
    return x, 3 * x + 0.1 * torch.randn(40, 1)


def lightning(folder: Path) -> None:
    import torch
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.loggers import CSVLogger
    from torch.utils.data import DataLoader, TensorDataset

    class Line(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def training_step(self, batch, _):
            loss = (self.layer(batch[0]) - batch[1]).square().mean()
            self.log("train_loss", loss, on_step=True, on_epoch=True)
            return loss

        def validation_step(self, batch, _):
            error = self.layer(batch[0]) - batch[1]
            self.log_dict({"val_loss": error.square().mean(), "val_mae": error.abs().mean()})

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    x, y = data()
    loaders = [DataLoader(TensorDataset(x[part], y[part]), batch_size=8) for part in (slice(24), slice(24, 40))]
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = Trainer(max_epochs=EPOCHS, logger=CSVLogger(folder), log_every_n_steps=2, accelerator="cpu", **quiet)
    trainer.fit(Line(), *loaders)


def huggingface(folder: Path) -> None:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, Trainer, TrainingArguments

    class Line(PreTrainedModel):
        config_class = PreTrainedConfig

        def __init__(self, config) -> None:
            super().__init__(config)
            self.layer = torch.nn.Linear(1, 1)
            self.post_init()

        def forward(self, x, labels):
            out = self.layer(x)
            return {"loss": (out - labels).square().mean(), "logits": out}

    x, y = data()
    items = [{"x": a, "labels": b} for a, b in zip(x, y, strict=True)]
    arguments = TrainingArguments(
        output_dir=str(folder), num_train_epochs=EPOCHS, per_device_train_batch_size=8, logging_steps=2,
        eval_strategy="epoch", save_strategy="epoch", learning_rate=0.05, report_to=[], use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    error = lambda result: {"mae": float(abs(result.predictions - result.label_ids).mean())}  # noqa: E731
    Trainer(Line(PreTrainedConfig()), arguments, train_dataset=items[:24], eval_dataset=items[24:],
            compute_metrics=error).train()  # fmt: skip
    for path in [path for path in folder.rglob("*") if path.is_file() and path.name != "trainer_state.json"]:
        path.unlink()


def keras(folder: Path) -> None:
    import keras as library

    x, y = (part.numpy() for part in data())
    model = library.Sequential([library.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    log = library.callbacks.CSVLogger(str(folder / "log.csv"))
    history = model.fit(x[:24], y[:24], validation_data=(x[24:], y[24:]), epochs=EPOCHS, verbose=0, callbacks=[log])
    (folder / "history.json").write_text(json.dumps(history.history))


def tensorboard(folder: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))
    for epoch in range(1, EPOCHS + 1):
        writer.add_scalars("loss", {"train": 1 / epoch}, epoch)  # a folder of its own, as add_scalars makes one
        writer.add_scalar("val/mae", 2 / epoch, epoch)
        for layer in (0, 2):
            writer.add_scalar(f"gates/layer_{layer}/w_graph", 0.6, epoch)
            writer.add_scalar(f"gates/layer_{layer}/w_text", 0.4, epoch)
        writer.add_text("note", "no number", epoch)
    writer.close()
    for path in sorted(folder.rglob("*tfevents*")):  # without the machine's name
        path.rename(path.with_name("events.out.tfevents.1"))


if __name__ == "__main__":
    for record in (lightning, huggingface, keras, tensorboard):
        target = HERE / record.__name__
        shutil.rmtree(target, ignore_errors=True)
        with tempfile.TemporaryDirectory() as work:
            record(Path(work))
            shutil.copytree(work, target, ignore=shutil.ignore_patterns("*.yaml"))
    versions = {name: version(name) for name in LIBRARIES}
    (HERE / "versions.json").write_text(json.dumps(versions, indent=1) + "\n")

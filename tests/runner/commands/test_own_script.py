"""`runner init --script`: the experiment file for a script of one's own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from runner.config import yaml_source
from runner_main import Said, run
from tiny_experiment import environment

TRAIN = """
import argparse, json, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("data", nargs="?")
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--size", type=int, default=8)
parser.add_argument("--lr", type=float, default=1e-05)
parser.add_argument("--seed", type=int)
parser.add_argument("--save-dir", default="saved")
args = parser.parse_args()
for epoch in range(args.epochs):
    print(json.dumps({"epoch": epoch, "val_acc": 1 - 1 / (args.size + args.seed + 1e5 * args.lr + epoch)}))
pathlib.Path(args.save_dir, "model.txt").write_text("trained")
"""


def init(folder: Path, text: str, *words: str) -> Said:
    (folder / "train.py").write_text(text)
    return run("init", folder, "--script", folder / "train.py", *(words or ("--metric", "val_acc")))


def written(folder: Path) -> dict[str, object]:
    content = yaml_source.read(folder / "train.yaml").value
    return {"run": content["params"]["command"]["run"][2:], **content["matrix"], "baseline": content["baseline"]}


def add(*arguments: str) -> str:
    return "import argparse\nparser = argparse.ArgumentParser()\n" + "".join(
        f"parser.add_argument({argument})\n" for argument in arguments
    )


def test_what_is_written_runs_as_it_is_and_is_ranked(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    for module, *words in (
        ("runner.cli", "init", "--script", "train.py", "--metric", "val_acc"),
        ("runner.cli", "submit", "configs/train.yaml", "--wait"),
        ("analysis.cli", "summarize", "train", "--format", "json"),
    ):
        command = [sys.executable, "-P", "-m", module, *words]
        done = subprocess.run(command, env=environment(), cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    variants = json.loads(done.stdout)["variants"]
    assert (variants[0]["variant"], variants[0]["val"]["n"]) == ("lr=1e-05 size=16", 3)
    assert len(variants) == 4
    assert len(list(tmp_path.glob("runs/train/runs/*/**/model.txt"))) == 12, "each in a folder of its own"


def test_script_is_read_and_not_executed(tmp_path: Path) -> None:
    assert init(tmp_path, f"open({str(tmp_path / 'made')!r}, 'w')\n" + add("'--lr', default=0.1")).status == 0
    assert not (tmp_path / "made").exists()


def test_axes_are_two_options_that_people_vary_with_the_default_first(tmp_path: Path) -> None:
    said = init(tmp_path, add(
        "'--epochs', type=int, default=9", "'--num-workers', type=int, default=4",
        "'--device', choices=['cpu', 'cuda']",
        "'--opt', choices=['no', 'adam', 'sgd'], default='adam'", "'--dropout', type=float, default=0.6",
        "'-w', '--width', type=int, default=32", "'--decay', default=0.0", "'--amp', default=False", "'--k', default=K",
    ))  # fmt: skip
    assert said.status == 0
    assert written(tmp_path) == {
        "run": ["--dropout", "{dropout}", "--width", "{width}"],
        "axes": {"values.dropout": [0.6, 0.3], "values.width": [32, 64]},
        "baseline": {"values.dropout": 0.6, "values.width": 32},
    }
    text = (tmp_path / "train.yaml").read_text()
    assert (
        "at the script's defaults: --epochs 9, --num-workers 4, --device, --opt 'adam', --decay 0.0, --amp False"
        in text
    )
    assert "each variant is trained once" in text


def test_choices_are_an_axis_and_text_that_yaml_would_read_otherwise_stays_text(tmp_path: Path) -> None:
    init(tmp_path, add("'--norm', choices=['no', 'yes'], default='yes'", "'--random-state', type=int"))
    assert written(tmp_path)["axes"] == {"values.norm": ["yes", "no"]}
    assert written(tmp_path)["run"] == ["--norm", "{norm}", "--random-state", "{seed}"]
    assert "4 runs" not in run("expand", tmp_path / "train.yaml", "--root", tmp_path).out


def test_options_that_say_where_to_write_get_the_folder_of_the_run(tmp_path: Path) -> None:
    init(
        tmp_path,
        add("'--lr', default=0.1", "'--output', default='m.pt'", "'--log_dir', required=True", "'--out', default=8"),
    )
    assert written(tmp_path)["run"] == [
        "--lr", "{lr}", "--output", "{out}/m.pt", "--log_dir", "{out}", "--out", "{option_out}"
    ]  # fmt: skip


def test_what_the_script_requires_is_named_and_asked_for_before_anything_is_sent(tmp_path: Path) -> None:
    said = init(tmp_path, add("'data'", "'--checkpoint', required=True", "'--lr', default=0.1"))
    assert "requires data: write data and its value into `values`" in said.err
    assert "requires --checkpoint: write option_checkpoint and its value" in said.err
    refused = run("expand", tmp_path / "train.yaml", "--root", tmp_path)
    assert "names {data}, which is no value" in refused.err
    path = tmp_path / "train.yaml"
    path.write_text(path.read_text().replace("values: {} ", "values: {data: d, option_checkpoint: c} "))
    assert run("expand", path, "--root", tmp_path).status == 0


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("val_acc=0.91", "0.91"), ('{"loss": 1.0, "val_acc": 1e-05}', "1e-05"),
        ("3 | val_acc: -.5 | val_f1 0.1", "-.5"),
        ("val_acc nan", "nan"), ("best_val_acc=0.9", None), ("val_acc improved from 0.5", None),
        ("epoch val_acc\n1 0.9", None), ("'val_acc': 93%", "93"),
    ],
)  # fmt: skip
def test_metric_is_read_from_what_scripts_print(tmp_path: Path, line: str, value: str | None) -> None:
    init(tmp_path, add("'--lr', default=0.1"))
    metrics = yaml_source.read(tmp_path / "train.yaml").value["params"]["command"]["metrics"]
    found = re.search(metrics["pattern"], line, re.MULTILINE)
    assert (found and found["val_acc"]) == value


def test_names_and_good_ends_of_metrics(tmp_path: Path) -> None:
    for metric, words, follow, mode in (
        ("accuracy", (), "val_accuracy", "max"), ("valid/mae", (), "val_mae", "min"),
        ("Dev Score", ("--mode", "max"), "val_Dev_Score", "max"),
    ):  # fmt: skip
        said = init(tmp_path, add("'--lr', default=0.1"), "--force", "--metric", metric, *words)
        metrics = yaml_source.read(tmp_path / "train.yaml").value["params"]["command"]["metrics"]
        assert (metrics["follow"], metrics["mode"]) == (follow, mode)
        assert f"{metric!r} stands nowhere in {tmp_path}/train.py" in said.err
        assert run("expand", tmp_path / "train.yaml", "--root", tmp_path).status == 0
    assert "the name val_x does not tell" in init(tmp_path, "", "--metric", "val_x").err
    assert "min or max" in init(tmp_path, "", "--metric", "val_x", "--mode", "larger").err
    assert "none of the validation split" in init(tmp_path, "", "--metric", "test_acc").err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"lr = 0.1\n", "nothing to vary: .*argparse has no option there"),
        (add("'--epochs', default=3", "*words", "").encode(), "nothing to vary: .*argparse has --epochs"),
        (b"#!/bin/sh\nif true; then\n", r"train.py: not Python: invalid syntax \(train.py, line 2\)"),
        (b"\xff\xfe", "train.py: not Python: 'utf-8' codec"),
        (b"x = '\0'\n", "train.py: not Python: "),
        (None, "train.py: No such file or directory"),
    ],
)
def test_scripts_that_cannot_be_searched_over_are_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "train.py").write_bytes(content)
    said = run("init", tmp_path, "--script", tmp_path / "train.py", "--metric", "val_acc")
    assert said.status == 2
    assert re.search(message, said.err)
    assert said.err.splitlines()[-1] == "  next: runner init --script train.py --metric val_acc"
    assert os.listdir(tmp_path) == ([] if content is None else ["train.py"])


def test_script_and_metric_go_together_and_nothing_is_overwritten(tmp_path: Path) -> None:
    for words in (["--script", "train.py"], ["--metric", "val_acc"]):
        assert "--script and --metric go together" in run("init", tmp_path, *words).err
    assert init(tmp_path, TRAIN).status == 0
    assert "train.yaml exists\n  next: the same command with --force" in init(tmp_path, TRAIN).err
    assert init(tmp_path, TRAIN, "--metric", "val_acc", "--force").out == f"{tmp_path}/train.yaml\n"

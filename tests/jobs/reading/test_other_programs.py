"""Files that the libraries themselves wrote (tests/data/other_programs/record.py), and files of a known shape."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobs.reading.history import History, read_history
from jobs.reading.schema import MetricsParams

RECORDED = Path(__file__).parents[2] / "data" / "other_programs"
BOARD = {"file": "tensorboard", "format": "tensorboard"}
L = r"l(?P<layer>\d+)_(?P<quantity>w)"
TAGS = r"gates/layer_(?P<layer>\d+)/(?P<quantity>w_graph|w_text)"


def read(folder: Path, values: dict[str, Any] | None = None, output: list[Path] = [], **metrics: Any) -> History:  # noqa: B006
    return read_history(folder, MetricsParams.model_validate(metrics), values or {}, output)


def column(history: History, name: str) -> list[tuple[int, float | None]]:
    return [(epoch.number, epoch.metrics.get(name)) for epoch in history.epochs]


@pytest.mark.parametrize(
    ("folder", "mapping", "name", "values"),
    [
        ("lightning", {"preset": "lightning"}, "val_mae", [0.6010, 0.5452, 0.5403]),
        ("lightning", {"preset": "lightning"}, "train_loss_epoch", [1.0309, 0.4283, 0.3100]),
        ("huggingface", {"preset": "huggingface"}, "val_mae", [1.1212, 1.0234, 0.9875]),
        ("huggingface", {"preset": "huggingface"}, "train_loss", [1.7417, 1.8150, 1.9568]),
        ("keras", {"file": "history.json"}, "val_mae", [0.6945, 0.6751, 0.6562]),
        ("keras", {"file": "log.csv", "first_epoch": 0}, "val_mae", [0.6945, 0.6751, 0.6562]),
        pytest.param(".", {**BOARD, "names": {"val_mae": "val/mae"}}, "val_mae", [2, 1, 0.6667],
                     marks=pytest.mark.torch),
    ],
)  # fmt: skip
def test_files_of_libraries_are_read_with_three_lines_at_most(
    folder: str, mapping: dict[str, Any], name: str, values: list[float]
) -> None:
    history = read(RECORDED / folder, **mapping)
    assert column(history, name) == [(at, pytest.approx(value, abs=1e-4)) for at, value in enumerate(values, 1)]
    assert history.warnings == []
    assert history.files


@pytest.mark.torch
def test_tensorboard_tags_are_fusion_weights_and_layers_count_from_one() -> None:
    fusion = {**BOARD, "columns": TAGS, "first_layer": 0}
    epoch = read(RECORDED, **BOARD, names={"val_mae": "val/mae"}, fusion=fusion).epochs[-1]
    weights = {"w_graph": pytest.approx(0.6), "w_text": pytest.approx(0.4), "ratio": pytest.approx(4)}
    assert epoch.layers == {"1": weights, "3": weights}


@pytest.mark.torch
def test_tensorboard_is_read_without_torch() -> None:
    code = (
        "import sys; from pathlib import Path; from jobs.reading.files import rows_of_events as rows\n"
        f"assert rows(Path({str(RECORDED)!r}) / 'tensorboard/events.out.tfevents.1')[0]['val/mae'] == 2\n"
        "assert not {'torch', 'tensorflow'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "text", "mapping"),
    [
        ("h.json", '[{"epoch": 1, "val": {"e": 3}}, {"epoch": 2, "val": {"e": 2}}]', {"names": {"val_mae": "val.e"}}),
        ("h.json", '{"train": {"loss": [9, 8]}, "val": {"mae": [3, 2]}}', {"names": {"val_*": "val.*"}}),
        ("h.json", '{"a": {"b": [{"val_mae": 3}, {"val_mae": 2}]}}', {"rows": "a.b"}),
        ("h.json", '{"val_mae": [3, 2], "seconds": [1]}', {}),
        ("h.csv", "epoch, val_mae\n1, 3\n2, 2\n", {}),
        ("h.log", "Epoch: 1.0\rval 9%\rVal_MAE: 3\nEpoch: 2.0\n\x1b[1mVal_MAE: 2\x1b[0m",
         {"pattern": r"Epoch: (?P<epoch>[\d.]+)|^Val_MAE: (?P<val_mae>\S+)"}),
        ("a/h-{x}.jsonl", '{"val_mae": 3}\n{"val_mae": 2}\n', {"file": "*/h-{x}.jsonl"}),
    ],
)  # fmt: skip
def test_shapes_of_files(tmp_path: Path, name: str, text: str, mapping: dict[str, Any]) -> None:
    path = tmp_path / name.format(x="[1*]")  # a value is no pattern
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    history = read(tmp_path, {"x": "[1*]"}, **{"file": name, **mapping})
    assert column(history, "val_mae") == [(1, 3), (2, 2)]


def test_sources_are_merged_by_epoch_and_printed_lines_are_one_of_them(tmp_path: Path) -> None:
    (tmp_path / "h.json").write_text('{"mae": [5, 4]}')
    log = tmp_path / "log"
    log.write_text('step\r{"epoch": 1, "val_mae": 3}\nmae of test: 8\n{"epoch": 2, "val_mae": 2}\n[1, 2]\n')
    last = {"pattern": r"mae of test: (?P<test_mae>\S+)"}
    sources = [{"from": "stdout"}, last, {"file": "h.json", "names": {"train_mae": "mae"}}]
    first, second = read(tmp_path, output=[log], sources=sources).epochs
    assert first.metrics == {"val_mae": 3, "train_mae": 5}
    assert second.metrics == {"val_mae": 2, "train_mae": 4, "test_mae": 8}


def test_versions_of_a_resumed_training_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for version, rows in ((9, "0,5\n1,4\n2,9\n"), (10, "1,3\n2,2\n")):
        (tmp_path / f"version_{version}").mkdir()
        (tmp_path / f"version_{version}" / "metrics.csv").write_text("epoch,val_loss\n" + rows)
    assert column(read(tmp_path, preset="lightning"), "val_loss") == [(1, 5), (2, 3), (3, 2)]


def test_history_without_epochs_that_is_shorter_than_the_log_ends_with_it(tmp_path: Path) -> None:
    (tmp_path / "h.json").write_text('{"train_mae": [5, 4]}')
    (tmp_path / "log.csv").write_text("epoch,val_mae\n" + "".join(f"{at},{9 - at}\n" for at in range(1, 6)))
    history = read(tmp_path, sources=[{"file": "h.json"}, {"file": "log.csv"}])
    assert column(history, "train_mae") == [(1, None), (2, None), (3, None), (4, 5), (5, 4)]
    assert "began anew, so its first row is taken for epoch 4" in history.warnings[0]


@pytest.mark.parametrize(
    ("mapping", "warning"),
    [
        ({"file": "x.csv"}, r"{out}/x.csv: no such file"),
        ({"file": "h.csv", "names": {"val_mae": "val_mea"}}, "no number that the mapping names; found epoch, val_mae"),
        ({"file": "h.csv", "names": {"val_mae": "val_mae", "test_mae": "tset"}}, "no tset for test_mae; found epoch"),
        ({"file": "h.csv", "first_epoch": 1}, "its first epoch is 0; set first_epoch: 0"),
        ({"file": "h.csv", "pattern": "mae=(?P<val_mae>.)"}, "nothing was read; check the pattern"),
        ({"file": "l.json"}, "found lists of 2 values; name a place, counted from 0"),
        ({"file": "h.csv", "fusion": {"file": "f.csv", "columns": L}}, "its first layer is 0; set metrics.fusion"),
        ({"file": "h.csv", "fusion": {"file": "f.csv"}}, "f.csv: no number that the mapping names; found epoch, l0_w"),
    ],
)  # fmt: skip
def test_wrong_mapping_is_named_with_what_was_found_instead(
    tmp_path: Path, mapping: dict[str, Any], warning: str
) -> None:
    (tmp_path / "h.csv").write_text("epoch,val_mae,test\n0,3,1\n1,2,1\n")
    (tmp_path / "f.csv").write_text("epoch,l0_w\n0,3\n")
    (tmp_path / "l.json").write_text("[[1, 2]]")
    assert any(warning in line for line in read(tmp_path, **mapping).warnings)


@pytest.mark.torch
def test_files_of_a_stranger_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "secret.csv").write_text("val_mae\n1\n")
    (tmp_path / "out" / "link.csv").symlink_to(tmp_path / "secret.csv")
    (tmp_path / "out" / "folder").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "out" / "pipe.csv")
    (tmp_path / "out" / "deep.json").write_text("[" * 100_000)
    (tmp_path / "out" / "wide.csv").write_text('val_mae\n"' + "x" * 200_000 + '"\n')
    (tmp_path / "out" / "events.tfevents.1").write_bytes(b"\xff" * 1000)
    with open(tmp_path / "out" / "huge.csv", "wb") as file:
        file.truncate(1 << 40)
    names = (
        "link.csv",
        "folder/secret.csv",
        "*/secret.csv",
        "**/secret.csv",
        "pipe.csv",
        "deep.json",
        "wide.csv",
        "huge.csv",
    )
    for name in names:
        history = read(tmp_path / "out", file=name)
        assert (history.epochs, len(history.warnings) > 0) == ([], True)
    assert read(tmp_path / "out", file="*tfevents*", format="tensorboard").epochs == []


def test_damaged_values_are_not_reported(tmp_path: Path) -> None:
    rows = [{"epoch": "1e400", "val_mae": 1}, {"epoch": -1, "val_mae": 1}, {"epoch": 1, "val_mae": [2]}, 7, None, []]
    (tmp_path / "h.json").write_text(json.dumps(rows))
    assert column(read(tmp_path, file="h.json"), "val_mae") == [(1, 2)]

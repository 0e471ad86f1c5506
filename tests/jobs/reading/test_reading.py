"""How metrics of other programs are read."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from jobs.reading.points import Point, merged, points
from jobs.reading.schema import MetricsParams

NAMED = MetricsParams(file="h.json")


def read(rows: list[Any], params: MetricsParams = NAMED, offset: int = 0) -> list[dict[str, Any]]:
    records = merged(points(rows, params, params.first_epoch_of(params), offset))
    return [{"epoch": epoch, **record} for epoch, record in records.items()]


def test_train_and_validation_rows_of_one_epoch_are_merged() -> None:
    text = "epoch,step,train_loss,val_mae\n0,9,0.5,\n0,9,,0.4\n1,19,0.3,\n1,19,,0.2\n"
    rows = list(csv.DictReader(io.StringIO(text)))
    params = MetricsParams(file="metrics.csv", first_epoch=0, names={"train_loss": "train_loss", "val_mae": "val_mae"})
    assert read(rows, params) == [
        {"epoch": 1, "train_loss": 0.5, "val_mae": 0.4}, {"epoch": 2, "train_loss": 0.3, "val_mae": 0.2}
    ]  # fmt: skip


@pytest.mark.parametrize("nothing", [None, "", "n/a", True, []])
def test_empty_and_null_are_not_reported(nothing: Any) -> None:
    assert read([{"epoch": 1, "val_mae": nothing, "train_loss": 1}]) == [{"epoch": 1, "train_loss": 1}]


def test_nan_and_numbers_beyond_the_floats_are_reported() -> None:
    first, second = read([{"val_mae": "nan"}, {"val_mae": 10**400}])
    assert (str(first["val_mae"]), second["val_mae"]) == ("nan", float("inf"))
    assert read([{"val_mae": "nan"}])[0] == first


def test_going_back_replaces_what_came_after_and_a_late_metric_does_not() -> None:
    reported = [Point(1, "val_mae", 3), Point(2, "val_mae", 2), Point(3, "val_mae", 1)]
    assert list(merged([*reported, Point(2, "test_mae", 5)])) == [1, 2, 3]
    assert merged([*reported, Point(2, "val_mae", 5)]) == {1: {"val_mae": 3}, 2: {"val_mae": 5}}


def test_a_row_without_an_epoch_belongs_to_the_one_before_it() -> None:
    rows = [{"val_mae": 9}, {"epoch": "2.0"}, {"val_mae": 1}, {"epoch": 2.4}, {"val_mae": 2}]
    assert read(rows) == [{"epoch": 2, "val_mae": 1}, {"epoch": 3, "val_mae": 2}]


def test_rows_without_epochs_are_counted_from_the_offset() -> None:
    assert [line["epoch"] for line in read([{"val_mae": 1}, {"val_mae": 2}], offset=5)] == [6, 7]
    assert [line["epoch"] for line in read([{"epoch": 1, "val_mae": 1}], offset=5)] == [1]

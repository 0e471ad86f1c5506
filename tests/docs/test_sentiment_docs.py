"""The page about the sentiment task says what the code does, and its measured tables are those of the measurement."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.page import filled
from benchmarks.sentiment import PAGE, measured, tables
from jobs.tasks.sentiment.mmsa import IN_FILE
from jobs.tasks.sentiment.schema import SentimentParams
from jobs.tasks.sentiment.task import LOSS_WEIGHTS

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "sentiment.md").read_text(encoding="utf-8")


def test_measured_tables_are_those_of_the_measurement() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page, tables(measured())) == page, "run: python -m benchmarks.sentiment"


def test_files_that_the_page_names_exist() -> None:
    for name in re.findall(r"configs/[\w.]+", DOCS):
        assert (ROOT / name).exists(), name


def test_keys_and_splits_that_the_page_names_exist() -> None:
    for split in IN_FILE.values():
        assert f"`{split}`" in DOCS
    for section, model in SentimentParams.model_fields.items():
        for key in re.findall(rf"`{section}\.(\w+)`", DOCS):
            assert key in model.annotation.model_fields, key  # type: ignore[union-attr]
    assert set(LOSS_WEIGHTS) == {"loss.delta_va", "loss.delta_nce"}

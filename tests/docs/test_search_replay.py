"""Searches replayed on recorded tables."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import search_proposals
from benchmarks.page import filled
from benchmarks.search_replay import HEADER, Table, read, replay, report, synthetic
from docs.generate import search as generated
from jobs.launch import python_path
from runner.config.search import Search
from tiny_search import runner, stage

ROOT = Path(__file__).parents[2]


def search(table: Table) -> Search:
    return Search.model_validate({"rungs": {"key": "k", "values": table.budgets, "keep": "1/4"}, "seeds": "racing"})


def test_search_without_noise_ends_with_the_best_for_less_than_a_third() -> None:
    table = synthetic()
    table.values[:] = table.values.mean((1, 2), keepdims=True)
    best, share = replay(table, search(table), range(8), 0.8, 0.05)
    assert best == int(np.argmin(table.truth))
    assert share < 1 / 3


def test_planted_variant_is_searched_better_than_by_each_simpler_way() -> None:
    lines = report(synthetic(), "p0", "1/4", 100, 0.8, 0.05)
    shares = {line.split(":")[0]: int(line.split("good in ")[1].split("%")[0]) for line in lines[:3]}
    assert shares["search"] >= 90
    assert shares["search"] > max(shares["one seed of everything"], shares["random search at equal cost"])
    assert lines[3] == "p0 without a search: not within 5 % of the best, cost 0%"


def test_page_of_searches_shows_the_replay_and_the_last_results() -> None:
    page = generated.PAGE.read_text(encoding="utf-8")
    assert filled(page, generated.tables()) == page, "make docs writes it anew"
    assert "missed" not in generated.tables()["seconds"]


@pytest.mark.slow
def test_hundred_proposals_from_a_thousand_results_take_less_than_a_minute() -> None:
    pytest.importorskip("optuna", reason="OPTUNA: no proposal was timed; pip install optuna")
    assert search_proposals.seconds()["processor_seconds"] < search_proposals.LIMIT


def test_table_that_lacks_a_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="1 of 4 cells are missing"):
        read("point,budget,seed,value\na,5,0,1\na,5,1,1\nb,5,0,1\n")


def test_table_is_collected_from_a_search_that_drops_nobody(tmp_path: Path) -> None:
    rungs = {"key": "train.epochs", "values": [1, 2], "keep": 0.999}
    config = stage(tmp_path, "one", matrix={"axes": {"checkpoint_kib": [0, 1]}}, search={"rungs": rungs})
    assert runner("submit", config, "--wait", root=tmp_path).returncode == 0
    command = [sys.executable, "-m", "benchmarks.search_replay", "--collect", str(tmp_path / "one")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={"PYTHONPATH": python_path({})})
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert rows[0] == list(HEADER)
    assert [row[:3] for row in rows[1:]] == [
        [f"checkpoint_kib={kib}", budget, "0"] for budget in ("1", "2") for kib in (0, 1)
    ]

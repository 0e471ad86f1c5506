"""What is drawn while somebody watches, at the sizes of real windows."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from rich.console import Console

import experiment_factory
from experiment_factory import Plan, PlannedVariant, write_experiment
from runner.commands.live import view
from runner.commands.status import take
from runner.rundir.layout import ExperimentDir

PROGRESS = "52 of 120 epochs, about 3m20s left; best val_mae so far 0.2073 (layers=1, seed 1)"
STATES = {2: {1: "running", 2: "new"}, 3: {2: "failed"}, 4: {2: "failed"}}  # variant → seed → state


def drawn(folder: Path, variants: int, width: int, height: int) -> list[str]:
    names = [f"layers={number} and a name that is longer than half of a window" for number in range(variants)]
    planned = [PlannedVariant(name, 0.2 + at / 100, states=STATES.get(at, {})) for at, name in enumerate(names)]
    status = take(ExperimentDir(write_experiment(folder, Plan(planned))))
    console = Console(width=width, height=height, record=True)
    console.print(view(status, PROGRESS, width, height))
    return console.export_text().splitlines()


@pytest.fixture(autouse=True)
def _heartbeats_are_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment_factory, "NOW", time.time())


@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 50)])
@pytest.mark.parametrize("variants", [6, 100])
def test_it_fits_the_window_and_nothing_is_wrapped(tmp_path: Path, variants: int, width: int, height: int) -> None:
    lines = drawn(tmp_path, variants, width, height)
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    assert lines[0].startswith(f"stage1: {3 * variants} runs: ")
    assert lines[1].startswith("━━━")
    assert lines[2:4] == PROGRESS.split("; ")
    assert len([line for line in lines if "●" in line]) > min(variants, height // 2)


def test_variants_that_run_come_first_with_a_mark_per_seed_and_failures_of_one_kind_together(tmp_path: Path) -> None:
    lines = drawn(tmp_path, 6, 80, 24)
    assert lines[4].split() == ["variant", "seeds", "epoch", "val_mae", "age"]
    rows = [line.split("  ") for line in lines[5:11]]
    assert [row[0].split()[0] for row in rows] == [f"layers={number}" for number in (2, 3, 4, 0, 1, 5)]
    assert [row[1] for row in rows] == ["●▶·", "●●✗", "●●✗", "●●●", "●●●", "●●●"]
    assert ":12, :15 failed: CUDA out of memory" in lines


def test_what_the_window_has_no_room_for_is_counted(tmp_path: Path) -> None:
    lines = drawn(tmp_path, 100, 80, 24)
    rows = sum(line.startswith("layers=") for line in lines)
    assert f"… and {100 - rows} more variants" in lines

"""A thousand damaged experiments through every reader: no traceback, no hang, no write outside the root."""

from __future__ import annotations

from pathlib import Path

import pytest

from damaged_runs import experiment, wrong

SEEDS = range(10_000, 11_000)


@pytest.mark.timeout(3600)
def test_a_thousand_damaged_experiments(tmp_path: Path) -> None:
    whole = experiment(tmp_path / "whole")
    found = [line for seed in SEEDS for line in wrong(whole, tmp_path / str(seed), seed)]
    assert not found, f"{len(found)} of {len(SEEDS)}:\n" + "\n\n".join(found[:10])

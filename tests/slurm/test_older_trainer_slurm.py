"""A training script of the older kind on a real Slurm: killed in each run, resumed, and read like on a laptop."""

from __future__ import annotations

from pathlib import Path

import pytest
import test_older_trainer as local

from runner.files import read_json
from tiny_experiment import wait_until
from tiny_search import site


@pytest.mark.slurm
@pytest.mark.usefixtures("slurm")
def test_older_program_is_killed_resumed_ranked_and_adopted_as_on_a_laptop(tmp_path: Path) -> None:
    needs = ("--set", "resources.time=5m", "--set", "resources.memory=500M")
    sent = local.command(tmp_path, "submit", local.experiment(tmp_path), "--cluster", site(tmp_path), *needs)
    assert sent.returncode == 0, sent.stderr

    def ended() -> bool:
        ends = [(run.result.exists(), read_json(run.failure) or {}) for run in local.runs(tmp_path)]
        return all(done or (failure and not failure["provisional"]) for done, failure in ends)

    wait_until(ended, 120, "six ends")
    if not all(run.result.exists() for run in local.runs(tmp_path)):
        again = local.command(tmp_path, "resubmit", "older", "--wait")
        assert again.returncode == 0, again.stderr
    local.test_killed_and_resumed_runs_have_every_epoch_once_with_the_right_numbers(tmp_path)
    local.test_older_program_is_ranked_with_ratio_band_and_interval(tmp_path)
    local.test_weights_and_compare_work_as_for_our_own_task(tmp_path)
    local.test_the_folders_alone_adopted_give_the_same_table(tmp_path)

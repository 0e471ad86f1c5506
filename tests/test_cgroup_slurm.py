"""A site that holds jobs to their memory by cgroups: the kernel kills in a job, and Slurm only counts it."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_runtime_slurm import failure_of

from jobs.failure import Kind
from slurm_cluster import SlurmCluster
from tiny_experiment import write_run

pytestmark = pytest.mark.slurm


def test_run_above_its_cgroup_limit_is_out_of_memory_and_its_neighbour_completes(
    cgroup_slurm: SlurmCluster, tmp_path: Path
) -> None:
    greedy = write_run(tmp_path / "exp", "greedy", mischief="hoard", allocate_mib=850)
    modest = write_run(tmp_path / "exp", "modest")
    job = cgroup_slurm.submit([[greedy, modest]], mem="400M")
    cgroup_slurm.wait_for(job, "FAILED", "OUT_OF_MEMORY", "COMPLETED")
    assert failure_of(greedy, Kind.OUT_OF_MEMORY)
    assert modest.result.exists()

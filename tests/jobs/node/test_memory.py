"""Limits and evidence of memory."""

from __future__ import annotations

import os
from pathlib import Path

from jobs.node import memory

MIB = 1 << 20


def test_slurms_limit_is_of_the_node_or_of_its_cpus(tmp_path: Path) -> None:
    assert memory.limit_bytes({"SLURM_MEM_PER_NODE": "1000"}, tmp_path) == 1000 * MIB
    assert memory.limit_bytes({"SLURM_MEM_PER_CPU": "100", "SLURM_CPUS_ON_NODE": "4"}, tmp_path) == 400 * MIB
    assert memory.limit_bytes({"SLURM_MEM_PER_NODE": "0"}, tmp_path) is None  # --mem=0: the whole node
    assert memory.limit_bytes({}, tmp_path) is None


def test_smallest_cgroup_limit_on_the_way_up_counts(tmp_path: Path) -> None:
    step = tmp_path / "job_1" / "step_0"
    step.mkdir(parents=True)
    (step / "memory.max").write_text("max\n")
    (tmp_path / "job_1" / "memory.max").write_text(f"{500 * MIB}\n")
    (step / "memory.events").write_text("low 0\nmax 12\noom 2\noom_kill 3\n")
    (ours := tmp_path / "ours").write_text("0::/job_1/step_0\n")
    assert memory.limit_bytes({"SLURM_MEM_PER_NODE": "1000"}, tmp_path, ours) == 500 * MIB
    assert memory.oom_kills(tmp_path, ours) == 3


def test_version_1_cgroups_are_read_too(tmp_path: Path) -> None:
    job = tmp_path / "memory" / "slurm" / "job_1"
    job.mkdir(parents=True)
    (job / "memory.limit_in_bytes").write_text(f"{700 * MIB}")
    (job.parent / "memory.limit_in_bytes").write_text("9223372036854771712")  # no limit
    (job / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    (ours := tmp_path / "ours").write_text("5:cpu:/\n4:memory:/slurm/job_1\n0::/\n")
    assert memory.limit_bytes({}, tmp_path, ours) == 700 * MIB
    assert memory.oom_kills(tmp_path, ours) == 1


def test_evidence_is_the_kernels_word_or_a_peak_near_the_limit() -> None:
    assert memory.evidence(10 * MIB, 0, None, 0) is None
    assert memory.evidence(500 * MIB, 0, 1000 * MIB, 0) is None
    assert "kernel" in str(memory.evidence(10 * MIB, 0, None, 1))
    assert memory.evidence(950 * MIB, 0, 1000 * MIB, 0) == "peak 950 MiB (and 0 MiB beside it) of 1000 MiB allowed"
    assert memory.evidence(500 * MIB, 450 * MIB, 1000 * MIB, 0) is not None  # two runs under one limit


def test_resident_memory_of_a_process_is_seen() -> None:
    assert memory.resident_bytes(os.getpid()) > 5 * MIB
    assert memory.resident_bytes(2**22 + 1) == 0  # no such process

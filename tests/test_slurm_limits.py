"""What the site allows a job, from recorded answers of scontrol."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.cluster import SlurmCluster
from runner.errors import CommandFailed, UserError
from runner.experiment import Resources
from runner.retry import Limits
from runner.schedulers import slurm

ANSWER = """\
PartitionName=gpu AllowGroups=ALL Default=YES MaxNodes=UNLIMITED MaxTime=1-00:00:00 State=UP MaxMemPerNode=UNLIMITED
PartitionName=short AllowGroups=ALL Default=NO MaxNodes=UNLIMITED MaxTime=00:30:00 State=UP MaxMemPerNode=64000
PartitionName=fat AllowGroups=ALL Default=NO MaxNodes=UNLIMITED MaxTime=12:00:00 State=UP MaxMemPerNode=512000
PartitionName=preempt AllowGroups=ALL Default=NO MaxNodes=UNLIMITED MaxTime=UNLIMITED State=UP MaxMemPerNode=UNLIMITED
"""


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scontrol that answers with what stands in a file."""
    (tmp_path / "answer").write_text(ANSWER)
    (tmp_path / "scontrol").write_text(f"#!/bin/sh\ncat {tmp_path}/answer\n")
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "answer"


def limits(partition: str | None, wanted: str | None = None) -> Limits:
    return slurm.limits(Resources(partition=wanted), SlurmCluster(kind="slurm", partition=partition))


@pytest.mark.usefixtures("scontrol")
@pytest.mark.parametrize(
    ("site", "asked", "expected"),
    [
        (None, None, Limits(86400, None)),  # the default partition
        ("short", None, Limits(1800, 64000)),
        ("short", "gpu", Limits(86400, None)),
        ("short,fat", None, Limits(43200, 512000)),  # the job may start in either
        ("short,preempt", None, Limits(None, None)),
    ],
)
def test_limits_are_those_of_the_partition(site: str | None, asked: str | None, expected: Limits) -> None:
    assert limits(site, asked) == expected


@pytest.mark.usefixtures("scontrol")
def test_a_partition_that_slurm_does_not_have_is_told_with_those_it_has() -> None:
    expected = r"Slurm has no partition 'shrot'\n    allowed: gpu, short, fat, preempt\n    did you mean: short"
    with pytest.raises(UserError, match=expected):
        limits("gpu,shrot")


def test_a_site_without_a_default_partition_tells_no_limits(scontrol: Path) -> None:
    scontrol.write_text(ANSWER.replace("Default=YES", "Default=NO"))
    assert limits(None) == Limits()


def test_a_silent_scontrol_is_told_in_its_own_words(scontrol: Path) -> None:
    (scontrol.parent / "scontrol").write_text("#!/bin/sh\necho 'Unable to contact slurm controller' >&2; exit 1\n")
    with pytest.raises(CommandFailed, match="scontrol failed: Unable to contact slurm controller"):
        limits(None)


@pytest.mark.parametrize(("answer", "size"), [("MaxArraySize            = 5000\n", 5000), ("nothing\n", 1001)])
def test_the_size_of_arrays_comes_from_slurm_unless_the_site_file_gives_it(
    scontrol: Path, answer: str, size: int
) -> None:
    scontrol.write_text(answer)
    assert slurm.max_array_size(SlurmCluster(kind="slurm")) == size
    assert slurm.max_array_size(SlurmCluster(kind="slurm", max_array_size=7)) == 7

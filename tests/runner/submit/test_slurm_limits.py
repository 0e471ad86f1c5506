"""What the site allows a job, from recorded answers of scontrol."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from runner.config.cluster import SlurmCluster
from runner.config.experiment import Resources
from runner.errors import CommandFailed, UserError
from runner.submit.plan import Limits
from runner.submit.schedulers import limits as site_limits
from runner.submit.schedulers import slurm
from runner_main import run

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
    return site_limits.limits(Resources(partition=wanted), SlurmCluster(kind="slurm", partition=partition))


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


@pytest.mark.parametrize(
    ("answer", "resources", "site", "whole"),
    [
        (ANSWER, {}, {}, True),
        (ANSWER, {"memory": "1G"}, {}, False),
        (ANSWER, {}, {"sbatch": {"mem-per-cpu": "2G"}}, False),
        (ANSWER + "DefMemPerNode           = 4096\n", {}, {}, False),
        (ANSWER.replace("MaxTime=12", "DefMemPerCPU=2000 MaxTime=12"), {}, {"partition": "fat"}, False),
        (ANSWER.replace("MaxTime=12", "DefMemPerCPU=2000 MaxTime=12"), {}, {"partition": "short"}, True),
        (ANSWER + "DefMemPerNode           = UNLIMITED\n", {}, {}, True),
    ],
)
def test_a_job_that_would_take_a_whole_nodes_memory_is_known(
    scontrol: Path, answer: str, resources: dict[str, Any], site: dict[str, Any], whole: bool
) -> None:
    scontrol.write_text(answer)
    asked, cluster = Resources.model_validate(resources), SlurmCluster.model_validate({"kind": "slurm", **site})
    assert site_limits.takes_whole_memory(asked, cluster) is whole


def test_largest_node_of_the_partition_is_known(scontrol: Path) -> None:
    nodes = "NodeName=a CPUTot=64 Partitions=gpu\nNodeName=b CPUTot=128 Partitions=gpu,fat\nNodeName=c CPUTot=9\n"
    scontrol.write_text(ANSWER + nodes)
    assert [limits(name).cpus for name in ("gpu", "fat", "short")] == [128, 128, None]


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
    assert site_limits.max_array_size(SlurmCluster(kind="slurm")) == size
    assert site_limits.max_array_size(SlurmCluster(kind="slurm", max_array_size=7)) == 7


ACCOUNTS = """\
lab|lab||120|normal
lab|lab|short|7|normal
lab|other||30|tight
"""


@pytest.fixture
def accounting(scontrol: Path) -> Path:
    """A sacctmgr that knows a user of two accounts, and a QOS with limits of its own."""
    scontrol.write_text("AccountingStorageEnforce = associations,limits,qos\n")
    answer = f'case "$*" in *show\\ qos*tight*) echo "5|";; *show\\ qos*) echo "|";; *) echo "{ACCOUNTS}";; esac'
    (scontrol.parent / "sacctmgr").write_text(f"#!/bin/sh\n{answer}\n")
    (scontrol.parent / "sacctmgr").chmod(0o755)
    return scontrol


@pytest.mark.usefixtures("accounting")
@pytest.mark.parametrize(
    ("site", "most"),
    [
        ({}, 120),
        ({"partition": "short"}, 7),
        ({"account": "other"}, 5),  # through its usual QOS
        ({"qos": "tight"}, 5),
        ({"account": "unknown"}, None),
        ({"max_submit_jobs": 3}, 3),
    ],
)
def test_places_in_the_queue_come_from_the_accounting_unless_the_site_file_gives_them(
    site: dict[str, Any], most: int | None
) -> None:
    assert site_limits.max_submit_jobs(SlurmCluster(kind="slurm", **site)) == most


def test_a_site_without_limits_or_without_accounting_has_no_limit(accounting: Path) -> None:
    (accounting.parent / "sacctmgr").write_text("#!/bin/sh\nexit 1\n")
    assert site_limits.max_submit_jobs(SlurmCluster(kind="slurm")) is None
    accounting.write_text("AccountingStorageEnforce = none\n")
    assert site_limits.max_submit_jobs(SlurmCluster(kind="slurm")) is None


@pytest.mark.parametrize(
    ("asked", "words"),
    [({"time": "2h"}, "found 2h00m, and partition short allows 30m00s"),
     ({"memory": "70G"}, "found 71680 MiB, and partition short allows 64000 MiB a node"),
     ({"cpus": "200"}, "found 200, and the largest node of partition short has 128")],
)  # fmt: skip
def test_what_would_wait_for_ever_is_refused(asked: dict[str, str], words: str) -> None:
    site = SlurmCluster(kind="slurm", partition="short")
    assert site_limits.beyond(Limits(1800, 64000, 128), Resources(**asked), 1, site) == {next(iter(asked)): words}


COMMAND = """\
experiment: e
task: command
params: {command: {run: "true", metrics: {pattern: "(?P<val_mae>x)"}}}
resources: {cpus: 1, time: 2h, memory: 70G}
"""


@pytest.mark.parametrize(
    ("site", "asked", "places"),
    [
        (
            "partition: short",
            "",
            ["experiment.yaml:4: resources.time: found 2h", "experiment.yaml:4: resources.memory"],
        ),
        ("partition: shrot", "", ["site.yaml:2: partition: Slurm has no partition 'shrot'", "did you mean: short"]),
        ("", "partition: shrot", ["experiment.yaml:5: resources.partition: Slurm has no partition 'shrot'"]),
    ],
)
def test_what_the_site_does_not_allow_names_file_line_and_key(
    tmp_path: Path, scontrol: Path, monkeypatch: pytest.MonkeyPatch, site: str, asked: str, places: list[str]
) -> None:
    for name in ("sbatch", "squeue", "scancel"):
        (scontrol.parent / name).symlink_to("/bin/true")
    monkeypatch.chdir(tmp_path)
    Path("site.yaml").write_text(f"kind: slurm\n{site}\n")
    Path("experiment.yaml").write_text(COMMAND.replace("70G}", f"70G,\n  {asked}}}") if asked else COMMAND)
    answer = run("submit", "experiment.yaml", "--cluster", "site.yaml", "--dry-run")
    assert answer.status == 2
    assert all(place in answer.err for place in places), answer.err


@pytest.mark.parametrize("asked", [{"memory": "20G"}, {"cpus": 40}])
def test_runs_side_by_side_are_counted_together(asked: dict[str, Any]) -> None:
    site, resources = SlurmCluster(kind="slurm", partition="short"), Resources(**asked)
    limits = Limits(1800, 64000, 128)
    assert site_limits.beyond(limits, resources, 3, site) == {}
    ((key, what),) = site_limits.beyond(limits, resources, 4, site).items()
    assert key == next(iter(asked))
    assert re.match(r"found (20480 MiB|40) × 4 \(array\.side_by_side\), and", what)


@pytest.mark.parametrize(
    ("said", "told"),
    [("sbatch: error: Batch job submission failed: Invalid qos specification", "see `qos` of the cluster file"),
     ("sbatch: unrecognized option '--nicee=1'\nTry \"sbatch --help\"", "see `sbatch` of the cluster file"),
     ("sbatch: error: something new", "sbatch refused the array: something new")],
)  # fmt: skip
def test_a_refusal_names_the_key_it_is_about(tmp_path: Path, scontrol: Path, said: str, told: str) -> None:
    (scontrol.parent / "sbatch").write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{said}\nEND\nexit 1\n")
    (scontrol.parent / "sbatch").chmod(0o755)
    with pytest.raises(CommandFailed, match=re.escape(told)):
        slurm.send(tmp_path / "slurm", [print], {"additional_parameters": {}}, SlurmCluster(kind="slurm"))

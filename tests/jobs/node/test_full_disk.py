"""A full disk: the last good state stays, the reason is named; with room again the run goes on to the same result."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runner.files import read_json, read_json_lines
from runner.rundir.failures import Kind, read_failure
from runner.rundir.layout import RunDir
from tiny_experiment import environment, parent_command, wait_until, write_run

TRAIN = {"seed": 5, "epochs": 8, "epoch_seconds": 0.3}


@dataclass(frozen=True)
class SmallDisk:
    """A file system of its own, of 4 MiB."""

    path: Path

    @property
    def ballast(self) -> Path:
        return self.path / "ballast"

    def fill(self, but: int) -> None:
        """Leave `but` bytes."""
        free = os.statvfs(self.path).f_bavail * os.statvfs(self.path).f_frsize
        with open(self.ballast, "ab") as file:
            file.write(b"\0" * (free - but))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    place = tmp_path / "disk"
    place.mkdir()
    become = [] if os.geteuid() == 0 else ["sudo", "-n"]
    owner = f"size=4m,uid={os.geteuid()}"
    done = subprocess.run(
        [*become, "mount", "-t", "tmpfs", "-o", owner, "tmpfs", place], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    yield SmallDisk(place)
    subprocess.run([*become, "umount", "--lazy", place], check=True)


def start(*directories: RunDir, log: Path) -> subprocess.Popen[bytes]:
    """A parent whose own output goes to the small disk too, as submitit's does."""
    with log.open("wb") as output:
        return subprocess.Popen(parent_command(*directories), env=environment(), stdout=output, stderr=output)


def after_epoch(directory: RunDir, epoch: int) -> None:
    """Return in the pause after `epoch`, when nothing is being written."""
    wait_until(lambda: (read_json(directory.last_checkpoint) or {}).get("epoch") == epoch, 30, f"epoch {epoch}")


def undisturbed(tmp_path: Path, **params: Any) -> dict[str, Any]:
    directory = write_run(tmp_path / "undisturbed", **params)
    subprocess.run(parent_command(directory), env=environment(), check=True, capture_output=True)
    metrics: dict[str, Any] = read_json(directory.result)["metrics"]
    return metrics


@pytest.mark.parametrize(
    ("sizes", "left"),
    [({"checkpoint_kib": 500}, 400 << 10), ({"metrics_kib": 200}, 100 << 10), ({"checkpoint_kib": 500}, 0)],
    ids=["no room for a checkpoint", "no room for a line", "no room at all"],
)
def test_run_names_the_full_disk_and_goes_on_when_there_is_room(
    disk: SmallDisk, tmp_path: Path, sizes: dict[str, int], left: int
) -> None:
    directory = write_run(disk.path / "exp", train=TRAIN, **sizes)
    parent = start(directory, log=disk.path / "parent.log")
    after_epoch(directory, 2)
    disk.fill(but=left)
    assert parent.wait(30) == 1
    failure = read_failure(directory)
    assert failure is not None
    assert failure.kind is Kind.EXCEPTION
    assert "No space left on device" in failure.message
    assert read_json(directory.last_checkpoint)["epoch"] >= 1
    assert not directory.claim.exists()
    disk.ballast.unlink()
    assert start(directory, log=disk.path / "parent.log").wait(30) == 0
    assert "starts after epoch 0" not in directory.log(2).read_text()
    assert read_json(directory.result)["metrics"] == undisturbed(tmp_path, train=TRAIN)
    assert [line["epoch"] for line in read_json_lines(directory.metrics)] == list(range(1, 9))
    assert not directory.failure.exists()


def test_run_that_writes_little_outlives_a_disk_that_is_full_for_a_while(disk: SmallDisk, tmp_path: Path) -> None:
    """Its neighbour in the array task fails; heartbeats and the parent's log cannot be written meanwhile."""
    greedy = write_run(disk.path / "exp", "greedy", train=TRAIN, checkpoint_kib=500)
    waiting = write_run(disk.path / "exp", "waiting", train={"seed": 5, "epochs": 2, "epoch_seconds": 3.0})
    parent = start(greedy, waiting, log=disk.path / "parent.log")
    after_epoch(greedy, 2)
    disk.fill(but=0)
    wait_until(lambda: read_failure(greedy), 20, "the failure of greedy")
    disk.ballast.unlink()
    assert parent.wait(30) == 1
    assert read_json(waiting.result)["metrics"] == undisturbed(tmp_path, train={"seed": 5, "epochs": 2})

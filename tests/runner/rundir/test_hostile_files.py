"""What lies in the place of each file of an experiment: nobody waits, reads without end, or writes outside."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from damaged_runs import answer, contents, experiment
from jobs.training import checkpoint
from runner import files
from runner.commands import logs
from runner.rundir.lock import locked

RUN = "runs/2,3-s0-00000002"  # it failed
DONE = "runs/2-s0-00000000"  # completed
NAMES = (
    "manifest.json", "submissions.jsonl", "submissions/1/tasks.json", "submissions/1/pool.json",
    "submissions/1/experiment.yaml", f"{DONE}/result.json", f"{DONE}/diagnostics.jsonl", f"{DONE}/predictions.csv",
    *(f"{RUN}/{name}" for name in (
        "heartbeat.json", "failure.json", "attempts.jsonl", "config.yaml", "metrics.jsonl", "fusion_weights.csv",
        "provenance.json", "private.json", "claim.json", "cancelled.json", "logs/attempt-1.log",
    )),
)  # fmt: skip
READ = {  # by at least one of the commands below, which has to name it
    "manifest.json", "submissions.jsonl", "submissions/1/tasks.json", "submissions/1/pool.json",
    f"{DONE}/result.json", f"{DONE}/diagnostics.jsonl", f"{DONE}/predictions.csv", f"{RUN}/heartbeat.json",
    f"{RUN}/failure.json", f"{RUN}/attempts.jsonl", f"{RUN}/metrics.jsonl", f"{RUN}/fusion_weights.csv",
    f"{RUN}/logs/attempt-1.log",
}  # fmt: skip


def _socket(path: Path, outside: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(here)


def _device(path: Path, outside: Path) -> None:
    try:
        os.mknod(path, 0o020600, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        path.symlink_to("/dev/zero")


def _oversize(path: Path, outside: Path) -> None:
    with path.open("wb") as file:
        file.truncate(20 * 10**9)


KINDS: dict[str, Callable[[Path, Path], None]] = {
    "pipe": lambda path, outside: os.mkfifo(path),
    "socket": _socket,
    "device": _device,
    "folder": lambda path, outside: path.mkdir(),
    "link": lambda path, outside: path.symlink_to(outside / "file.json"),
    "link to nothing": lambda path, outside: path.symlink_to(outside / "new"),
    "20 GB": _oversize,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return experiment(tmp_path_factory.mktemp("whole"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_in_place_of_a_file_blocks_a_reader_or_is_written_through(
    kind: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file.json").write_text('{"kind": "x"}')
    before = contents(outside)
    for number, name in enumerate(NAMES):
        monkeypatch.setattr(files, "_NAMED", set())
        path = Path(shutil.copytree(whole, tmp_path / str(number) / "stage1"))
        (path / name).unlink(missing_ok=True)
        KINDS[kind](path / name, outside)
        said = _asked(path, name)
        assert contents(outside) == before, name
        if name in READ:
            assert Path(name).name in said, name
        shutil.rmtree(path.parent)


def _asked(path: Path, name: str) -> str:
    """What the readers say of an experiment; each within 15 s on a busy machine."""
    everything = ""
    for program, arguments in (
        ("runner", ("status", path)),
        ("runner", ("failures", path)),
        ("runner", ("logs", path, Path(RUN).name)),
        ("analysis", ("summarize", path, "--all", "--no-report")),
    ):
        began = time.monotonic()
        status, out, err = answer(program, *arguments)
        assert time.monotonic() - began < 15, (name, arguments)
        assert status in (0, 1, 2), (name, arguments, err)
        assert "Traceback" not in err, (name, arguments, err)
        everything += out + err
    return everything


def test_of_a_long_log_the_end_is_shown(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("first\n" * 200_000 + "last\n")
    shown = logs.read(tmp_path / "a.log", 100)
    assert shown.startswith("[the last 100 of 1,200,005 bytes; all of it is in ")
    assert shown.endswith("last\n")
    assert len(shown.partition("]\n")[2]) == 100


def test_a_pipe_in_place_of_a_checkpoint_counts_as_damaged(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "last.pt")
    warnings: list[str] = []
    assert list(checkpoint.readable([tmp_path / "last.pt"], warnings.append)) == []
    assert "last.pt is not a whole checkpoint: no regular file" in warnings[0]


def test_a_lock_that_is_a_link_to_nothing_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "submit.lock").symlink_to(tmp_path / "outside")

    def take() -> None:
        with locked(tmp_path / "submit.lock"):
            pass

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert list(tmp_path.iterdir()) == []

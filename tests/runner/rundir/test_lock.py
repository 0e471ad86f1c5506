"""The lock of an experiment: one holder, and no crash that keeps it for ever."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runner.files import read_mapping, write_json
from runner.rundir import lock
from runner.rundir.lock import Locked, locked
from runner.rundir.processes import machine, start_time
from tiny_experiment import environment

HOLD = "import sys, time; from pathlib import Path; from runner.rundir.lock import locked\n"
HOLD += "with locked(Path(sys.argv[1])):\n"
HOLD += "    print('held', flush=True); sys.stdin.read()\n"
# Adds one to a number in a file, slowly; only a lock keeps two of these from losing one
COUNT = """
import sys, time
from pathlib import Path
from runner.rundir.lock import Locked, locked
lock, number = Path(sys.argv[1]), Path(sys.argv[2])
done = 0
while done < int(sys.argv[3]):
    try:
        with locked(lock):
            before = int(number.read_text())
            time.sleep(0.002)
            number.write_text(str(before + 1))
            done += 1
    except Locked:
        time.sleep(0.001)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "submit.lock"


def holder(path: Path) -> subprocess.Popen[str]:
    """Another process that holds the lock until its stdin is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], env=environment(), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def left_by(path: Path, **facts: object) -> None:
    """A lock that somebody wrote and never removed."""
    write_json(path, {"token": "old", "host": "h", "machine": machine(), "pid": 2**22 + 1, "start_time": "1", **facts})


def test_lock_is_released_when_the_block_fails(path: Path) -> None:
    with pytest.raises(RuntimeError, match="inside"), locked(path):
        raise RuntimeError("inside")
    assert not path.exists()


def test_a_living_holder_is_named(path: Path) -> None:
    other = holder(path)
    with pytest.raises(Locked, match=f"process {other.pid} on {socket.gethostname()}"), locked(path):
        raise AssertionError("two held it")
    other.communicate()
    with locked(path):
        pass


def test_lock_of_a_killed_process_is_taken_over_and_nothing_stays_beside_it(path: Path) -> None:
    other = holder(path)
    other.kill()
    other.wait()
    with locked(path):
        assert read_mapping(path)["pid"] == os.getpid()
    assert list(path.parent.iterdir()) == []


def test_a_process_number_that_was_given_again_does_not_hold_the_lock(path: Path) -> None:
    left_by(path, pid=os.getpid(), start_time="1")
    with locked(path):
        assert read_mapping(path)["token"] != "old"
    left_by(path, pid=os.getpid(), start_time=start_time(os.getpid()))
    with pytest.raises(Locked, match=f"process {os.getpid()}"), locked(path):
        raise AssertionError("two held it")


def test_a_holder_on_another_machine_is_dead_when_it_renews_nothing(path: Path) -> None:
    left_by(path, machine="another", host="n7", pid=12)
    with pytest.raises(Locked, match="process 12 on n7"), locked(path):
        raise AssertionError("two held it")
    old = time.time() - lock.STALE_SECONDS - 1
    os.utime(path, (old, old))
    with locked(path):
        assert read_mapping(path)["pid"] == os.getpid()


def test_a_long_submission_renews_its_lock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "RENEW_SECONDS", 0.01)
    with locked(path):
        os.utime(path, (1.0, 1.0))
        end = time.monotonic() + 10
        while path.stat().st_mtime == 1.0 and time.monotonic() < end:
            time.sleep(0.01)
        assert path.stat().st_mtime > time.time() - 60


@pytest.mark.parametrize("content", ["", "[1]", "{}", "{half"])
def test_a_damaged_lock_is_nobodys(path: Path, content: str) -> None:
    path.write_text(content)
    with locked(path):
        assert read_mapping(path)["pid"] == os.getpid()
    assert list(path.parent.iterdir()) == []


def test_one_that_died_while_taking_over_is_taken_over_from(path: Path) -> None:
    left_by(path)
    left_by(path.with_name(f".{path.name}.after-old"), token="second")
    with locked(path):
        assert read_mapping(path)["pid"] == os.getpid()
    assert list(path.parent.iterdir()) == []


def test_one_that_is_taking_over_right_now_is_left_alone(path: Path) -> None:
    left_by(path)
    mine = {"token": "second", "pid": os.getpid(), "start_time": start_time(os.getpid()), "host": "here"}
    left_by(path.with_name(f".{path.name}.after-old"), **mine)
    with pytest.raises(Locked, match=f"process {os.getpid()} on here"), locked(path):
        raise AssertionError("two held it")


def test_a_lock_that_another_took_over_is_not_removed(path: Path) -> None:
    with locked(path):
        left_by(path, token="theirs")
    assert read_mapping(path)["token"] == "theirs"


def test_processes_at_once_never_hold_it_together_even_after_a_crash(path: Path) -> None:
    left_by(path)
    number = path.with_name("number")
    number.write_text("0")
    command = [sys.executable, "-c", COUNT, str(path), str(number), "25"]
    several = [subprocess.Popen(command, env=environment()) for _ in range(3)]
    assert [process.wait(timeout=60) for process in several] == [0, 0, 0]
    assert number.read_text() == "75"

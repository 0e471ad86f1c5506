"""At most one live process per run directory; the algorithm below it is that of test_lock.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from runner.files import read_json, write_json
from runner.rundir.claim import Claim, LockHolder, acquire
from runner.rundir.layout import RunDir
from runner.rundir.lock import Holder
from runner.rundir.processes import start_time
from tiny_experiment import environment

INTERVAL = 0.4

# Claims the directory when it is told to, prints the token or "held", and stays until it is killed.
RIVAL = """
import sys, time
from pathlib import Path
from runner.rundir.claim import Claim, acquire
from runner.rundir.layout import RunDir
from runner.rundir.lock import Holder
directory = RunDir(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
claim = acquire(directory, Holder.of_this_process(None), 0.4)
print(claim.holder.token if isinstance(claim, Claim) else "held", flush=True)
sys.stdin.readline()
"""


def race(directory: RunDir, count: int) -> list[str]:
    """Tokens of those of `count` processes, started at once, that think that the directory is theirs."""
    command = [sys.executable, "-P", "-c", RIVAL, str(directory.path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment()}
    processes = [subprocess.Popen(command, **pipes) for _ in range(count)]  # type: ignore[call-overload]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * count
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.stdout.readline().strip() for process in processes]
    for process in processes:
        process.communicate("end\n", timeout=20)
    return [answer for answer in answers if answer != "held"]


def elsewhere(**changes: object) -> Holder:
    """A holder on another machine."""
    here = Holder.of_this_process(None)
    return replace(here, host="other", machine="other-boot/pid:[1]", pid=4711, start_time="1", **changes)


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds, time.time() - seconds))


def of_a_dead_process() -> Holder:
    return replace(Holder.of_this_process(None), pid=2**22 + 1, start_time="1")


def test_second_claim_is_refused_and_names_the_holder(tmp_path: Path) -> None:
    directory = RunDir(tmp_path)
    mine = acquire(directory, Holder.of_this_process("12_3"), INTERVAL)
    assert isinstance(mine, Claim)
    refused = acquire(directory, Holder.of_this_process(None), INTERVAL)
    assert isinstance(refused, LockHolder)
    assert str(refused.holder) == f"process {os.getpid()} on {os.uname().nodename} (job 12_3)"


def test_released_directory_can_be_claimed_again_and_nothing_is_left(tmp_path: Path) -> None:
    for _ in range(2):
        claim = acquire(RunDir(tmp_path), Holder.of_this_process(None), INTERVAL)
        assert isinstance(claim, Claim)
        claim.release()
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("left", [False, True], ids=["no claim", "a dead claim"])
def test_of_twenty_rivals_at_once_exactly_one_wins(tmp_path: Path, left: bool) -> None:
    directory = RunDir(tmp_path)
    if left:
        write_json(directory.claim, of_a_dead_process().__dict__)
    winners = race(directory, 20)
    assert [path.name for path in tmp_path.iterdir()] == ["claim.json"]
    assert winners == [read_json(directory.claim)["token"]]


def test_child_that_outlives_its_parent_keeps_the_claim(tmp_path: Path) -> None:
    directory = RunDir(tmp_path)
    dead = of_a_dead_process()
    write_json(directory.claim, dead.__dict__)
    child = {"pid": os.getpid(), "start_time": start_time(os.getpid()), "parent_pid": dead.pid, "ended": False}
    write_json(directory.heartbeat, child)
    assert isinstance(acquire(directory, Holder.of_this_process(None), INTERVAL), LockHolder)
    write_json(directory.heartbeat, {**child, "ended": True})
    assert isinstance(acquire(directory, Holder.of_this_process(None), INTERVAL), Claim)


def test_zombie_does_not_keep_a_claim(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = start_time(process.pid)
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, but its parent (we) has not taken note
    assert started is not None
    assert start_time(process.pid) is None
    process.wait()


@pytest.mark.parametrize("sign", ["claim", "heartbeat"])
def test_holder_on_another_machine_lives_while_it_gives_signs(tmp_path: Path, sign: str) -> None:
    directory = RunDir(tmp_path)
    write_json(directory.claim, elsewhere().__dict__)
    write_json(directory.heartbeat, {"pid": 1})
    for path in (directory.claim, directory.heartbeat):
        age(path, 100 * INTERVAL)
    age(getattr(directory, sign), 2 * INTERVAL)
    assert isinstance(acquire(directory, Holder.of_this_process(None), INTERVAL), LockHolder)
    age(getattr(directory, sign), 4 * INTERVAL)
    assert isinstance(acquire(directory, Holder.of_this_process(None), INTERVAL), Claim)


def test_one_who_lost_the_directory_notices_and_does_not_release_it(tmp_path: Path) -> None:
    directory = RunDir(tmp_path)
    mine = acquire(directory, Holder.of_this_process(None), INTERVAL)
    assert isinstance(mine, Claim)
    assert mine.renew()
    write_json(directory.claim, elsewhere().__dict__)
    assert not mine.renew()
    mine.release()
    assert directory.claim.exists()


def test_damaged_claim_is_named(tmp_path: Path) -> None:
    directory = RunDir(tmp_path)
    directory.claim.write_text('{"token": "ab')
    with pytest.raises(OSError, match=r"claim\.json is damaged .* delete it"):
        acquire(directory, Holder.of_this_process(None), INTERVAL)

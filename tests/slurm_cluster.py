"""A real, throw-away Slurm for the tests, and arrays sent to it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.node.parent import ArrayTask
from runner.rundir.layout import RunDir
from tiny_experiment import TESTS, wait_until

SCRIPT = TESTS / "slurm-cluster"
_WARNED = ("--preempt-signal", "--preempt-grace", "15")  # preempted jobs get their --signal, and time to act on it
_UP_S = 300  # with the installation of the packages


class SlurmMissing(Exception):
    """Slurm could not be installed or started here."""


@dataclass(frozen=True)
class SlurmCluster:
    """Four nodes n1–n4 with 16 CPUs each; partitions gpu, short, preempt."""

    state: Path
    settings: tuple[str, ...] = _WARNED  # of the script, with which it was started

    @classmethod
    def start(cls, settings: tuple[str, ...] = _WARNED) -> SlurmCluster:
        """A cluster with ports and a directory of its own; raises SlurmMissing."""
        # Slurm's sockets lie below it, whose paths must be short: pytest's own temporary directories are too long
        cluster = cls(Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp")), settings)
        for attempt in (1, 2):  # somebody may have taken a port between the look and the use
            try:
                done = cluster._up()
            except (OSError, subprocess.TimeoutExpired) as error:
                cluster.stop()
                raise SlurmMissing(str(error)) from error
            if done.returncode == 0:
                return cluster
            cluster.stop()
            if attempt == 2 or "missing packages" in done.stderr:
                break
        raise SlurmMissing(done.stderr.strip() or done.stdout.strip())

    def stop(self) -> None:
        self._script("down", "--purge", timeout=120)
        if self.state.is_dir() and not any(self.state.iterdir()):  # it was never up
            self.state.rmdir()

    @property
    def conf(self) -> Path:
        return self.state / "etc" / "slurm.conf"

    def control(self, *words: str) -> str:
        """One of the script's commands: node-crash, node-start, timeout-now, …"""
        return self._checked([str(SCRIPT), words[0], "--state", str(self.state), *words[1:]])

    def kill_controller(self) -> None:
        """SIGKILL slurmctld; `repair` starts it again."""
        os.kill(int(self.control("pid", "slurmctld")), signal.SIGKILL)

    def repair(self) -> None:
        """Start whatever is down."""
        done = self._up()
        assert done.returncode == 0, done.stderr

    def run(self, *command: str) -> str:
        """What a Slurm command prints."""
        return self._checked(list(command))

    def submit(self, tasks: Sequence[Sequence[RunDir]], *, env: dict[str, str] | None = None, **options: Any) -> str:
        """Send an array, one array task for each list of runs; its job id. options: of submitit's executor."""
        import submitit

        folder = tasks[0][0].experiment.submission(1)
        executor = submitit.SlurmExecutor(folder, python=f"{shlex.quote(sys.executable)} -P")
        exports = {"RUNNER_REQUEUE": "1", "RUNNER_HEARTBEAT_S": "1", **(env or {})}
        options = {"partition": "gpu", "time": 10, "cpus_per_task": 1, "signal_delay_s": 30, **options}
        executor.update_parameters(setup=[f"export {k}={shlex.quote(v)}" for k, v in exports.items()], **options)
        jobs = executor.submit_array([ArrayTask(tuple(str(run.path) for run in task)) for task in tasks])
        return str(jobs[0].job_id).partition("_")[0]

    def state_of(self, job: str) -> str:
        """RUNNING, COMPLETED, …: of a job or, as 12_3, of an array task."""
        shown = self.run("scontrol", "--oneliner", "show", "job", job)
        found = re.search(r"JobState=(\w+)", shown)
        assert found, shown
        return found[1]

    def node_of(self, job: str) -> str:
        found = re.search(r" NodeList=(\S+)", self.run("scontrol", "--oneliner", "show", "job", job))
        return found[1] if found else ""

    def wait_for(self, job: str, *states: str, seconds: float = 60) -> str:
        """Until every array task of `job` is in one of `states`."""

        def reached() -> str | None:
            lines = self.run("scontrol", "--oneliner", "show", "job", job).splitlines()
            found = [match[1] for line in lines if (match := re.search(r"JobState=(\w+)", line))]
            return found[0] if all(state in states for state in found) else None

        state: str = wait_until(reached, seconds, f"job {job} in {'/'.join(states)}")
        return state

    def clear(self) -> None:
        """No jobs, every node up: for the next test."""
        user = self.run("id", "-un").strip()
        self.run("scancel", "--user", user)
        wait_until(lambda: not self.run("squeue", "--noheader"), 60, "an empty queue")
        for node in ("n1", "n2", "n3", "n4"):
            self.control("node-start", node)

    def _up(self) -> subprocess.CompletedProcess[str]:
        return self._script("up", "--base-port", "auto", *self.settings, timeout=_UP_S)

    def _script(self, command: str, *words: str, timeout: float) -> subprocess.CompletedProcess[str]:
        line = [str(SCRIPT), command, "--state", str(self.state), *words]
        return subprocess.run(line, capture_output=True, text=True, timeout=timeout)

    def _checked(self, command: list[str]) -> str:
        env = {**os.environ, "SLURM_CONF": str(self.conf)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)
        assert done.returncode == 0, f"{shlex.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

"""Slurm's commands, as a site calls them, in an environment that is ours: nobody else starts one.

What the shell or the surrounding job says to Slurm would override a batch script, hide jobs, or kill what is sent:
sbatch from inside a job with memory exports SLURM_MEM_PER_NODE, and where the site sets DefMemPerCPU the new job's srun
dies.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from runner.errors import CommandFailed, UserError

Name = Literal["sbatch", "srun", "squeue", "scancel", "scontrol", "sacct", "sacctmgr", "sinfo"]
NEEDED: tuple[Name, ...] = ("sbatch", "squeue", "scancel", "scontrol", "srun")
VARIABLE = "RUNNER_SLURM_COMMANDS"  # passes the cluster file's commands to array tasks

_OF_THE_SITE = frozenset({"SLURM_CONF", "SLURM_JWT", "SLURM_CLUSTERS"})
# What a person may choose in the shell: key of the cluster file → variable, which counts where the key is empty
_CHOICES = {key: f"SBATCH_{key.upper()}" for key in ("account", "qos", "reservation", "partition")}
_REMOVED = ("SLURM_", "SLURMD_", "SBATCH_", "SALLOC_", "SRUN_", "SQUEUE_", "SACCT_", "SCANCEL_", "SCONTROL_", "SINFO_")


def clean(environ: Mapping[str, str], given: Container[str] = ()) -> dict[str, str]:
    """`environ` for a command of Slurm's. given: keys of the cluster file that are set, which no variable overrides."""
    kept = {*_OF_THE_SITE, *(variable for key, variable in _CHOICES.items() if key not in given)}
    return {
        name: value
        for name, value in environ.items()
        if name in kept or not (name.startswith(_REMOVED) or name.endswith("_TIME_FORMAT"))
    }


def choices(environ: Mapping[str, str], given: Container[str]) -> dict[str, str]:
    """Key → what the shell says where the cluster file leaves `account`, `qos`, `reservation` or `partition` empty."""
    return {key: environ[name] for key, name in _CHOICES.items() if key not in given and environ.get(name)}


def from_the_shell(environ: Mapping[str, str], given: Container[str]) -> list[str]:
    """The variables that Slurm's commands keep, as NAME=value, for the reader; a token is not shown."""
    names = [*sorted(_OF_THE_SITE), *(_CHOICES[key] for key in choices(environ, given))]
    return [f"{name}={'…' if name == 'SLURM_JWT' else environ[name]}" for name in names if environ.get(name)]


@dataclass(frozen=True)
class SlurmCommands:
    """How a site calls Slurm's commands: name → path; one that is not named is looked for on PATH."""

    paths: Mapping[Any, str] = field(default_factory=dict)  # of Name

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> SlurmCommands:
        """As `as_environment` passed them to an array task."""
        return cls(json.loads(environ.get(VARIABLE, "{}")))

    def as_environment(self) -> dict[str, str]:
        return {VARIABLE: json.dumps(dict(self.paths))} if self.paths else {}

    def path(self, name: Name) -> str:
        return self.paths.get(name, name)

    def missing(self) -> list[Name]:
        """Those of NEEDED that are not on this machine."""
        return [name for name in NEEDED if shutil.which(self.path(name)) is None]

    def run(self, name: Name, *words: str, timeout: float) -> subprocess.CompletedProcess[str]:
        """Start the command and wait; OSError and TimeoutExpired as `subprocess` raises them."""
        environment = clean(os.environ) | {"SLURM_BITSTR_LEN": "0"}  # an index list is not cut off
        if name == "squeue":
            environment["SLURM_TIME_FORMAT"] = "%s"
        return subprocess.run(
            [self.path(name), *words],
            capture_output=True, text=True, timeout=timeout, env=environment, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def call(self, name: Name, *words: str, timeout: float = 60) -> str:
        """What the command prints; CommandFailed with its own words when it fails."""
        try:
            done = self.run(name, *words, timeout=timeout)
        except FileNotFoundError:
            raise self.is_missing(name) from None
        except subprocess.TimeoutExpired:
            raise CommandFailed(f"{name} did not answer within {timeout:.0f} s") from None
        if done.returncode:
            raise CommandFailed(f"{name} failed: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def setting(self, name: str) -> str:
        """A value of Slurm's configuration; empty where it is not shown."""
        shown = re.search(rf"^{name}\s*=\s*(\S+)", self.call("scontrol", "show", "config"), re.MULTILINE)
        return shown[1] if shown else ""

    def records(self, kind: Literal["partition", "node"]) -> list[dict[str, str]]:
        """The facts of every partition or node."""
        lines = self.call("scontrol", "--oneliner", "show", kind).splitlines()
        return [dict(re.findall(r"(\w+)=(\S+)", line)) for line in lines]

    def is_missing(self, name: Name) -> UserError:
        return UserError(
            f"Slurm's command {self.path(name)!r} is not on this machine",
            next_command="submit from a login node of the cluster, or here with --cluster local",
        )

"""One message when everything has ended: an e-mail of Slurm's, or a program of the user's that gets the summary."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

from runner.config.experiment import Notify
from runner.errors import UserError
from runner.files import content
from runner.rundir.layout import ExperimentDir
from runner.slurm_commands import SlurmCommands

PATIENCE_S = 120.0  # for the program


def notify(directory: ExperimentDir, wanted: Notify, commands: SlurmCommands) -> Iterator[str]:
    """Send what is wanted, once; what was done, or why it could not be. Call it when the summary is written."""
    if wanted.mail:
        yield _mail(os.environ.get("SLURM_JOB_ID"), commands)
    if wanted.command:
        yield _command(wanted.command, directory)


def _mail(job: str | None, commands: SlurmCommands) -> str:
    """Let Slurm write when this supervisor job, the last one, ends."""
    if job is None:
        return "no e-mail: only Slurm sends one; notify.command works on any machine"
    try:
        commands.call("scontrol", "update", f"JobId={job}", "MailType=END")
    except UserError as error:
        return f"no e-mail: {error.message}"
    return "Slurm sends an e-mail when this job ends"


def _command(words: list[str], directory: ExperimentDir) -> str:
    try:
        done = subprocess.run(words, input=content(directory.summary_markdown), capture_output=True, timeout=PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"notify.command {words[0]}: {error}"
    end = (done.stderr or done.stdout).decode(errors="replace").strip()[-300:]
    return f"notify.command {words[0]}: exit status {done.returncode}" + (f": {end}" if done.returncode and end else "")

"""One message when everything has ended, by a program or by Slurm's e-mail."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.commands.supervise import notify
from runner.config.experiment import Notify
from runner.files import read_json_lines
from runner.rundir.layout import ExperimentDir
from runner.slurm_commands import SlurmCommands
from slurm_cluster import SlurmCluster
from tiny_experiment import wait_until
from tiny_search import runner, site, stage

RETRIED = {"params": {"mischief": "gpu_memory"}, "matrix": {}}  # the supervisor comes twice


def test_the_program_gets_the_summary_once(tmp_path: Path) -> None:
    command = ["sh", "-c", f"cat >> {tmp_path}/message; echo >> {tmp_path}/calls"]
    config = stage(tmp_path, "one", notify={"command": command, "mail": True}, **RETRIED)
    assert runner("submit", config, "--supervise", root=tmp_path).returncode == 0
    wait_until((tmp_path / "calls").exists, 90, "the message")
    assert (tmp_path / "message").read_text() == ExperimentDir(tmp_path / "one").summary_markdown.read_text()
    log = tmp_path / "one" / "supervisor.log"
    wait_until(lambda: "notify.command sh: exit status 0" in log.read_text(), 10, "its end")
    assert "no e-mail: only Slurm sends one" in log.read_text()
    assert (tmp_path / "calls").read_text() == "\n"


@pytest.mark.parametrize(
    ("command", "words"),
    [(["/nonexistent"], "No such file"), (["sh", "-c", "echo broken >&2; exit 3"], "exit status 3: broken")],
)
def test_a_program_that_fails_is_named_and_stops_nothing(tmp_path: Path, command: list[str], words: str) -> None:
    (line,) = notify(ExperimentDir(tmp_path), Notify(command=command), SlurmCommands())
    assert words in line


@pytest.mark.slurm
def test_slurm_writes_when_the_last_supervisor_job_ends(slurm: SlurmCluster, tmp_path: Path) -> None:
    config = stage(tmp_path, "one", notify={"mail": True}, **RETRIED)
    runner("submit", config, "--cluster", site(tmp_path), "--supervise", root=tmp_path)
    log = tmp_path / "one" / "submissions.jsonl"

    def ended() -> list[str]:
        lines = read_json_lines(log)
        jobs = [str(line["job_id"]) for line in lines if line["event"] == "supervised"]
        return jobs if any(line["event"] == "supervision_ended" for line in lines) else []

    first, last = wait_until(ended, 120, "the end of supervision")
    assert "MailType=END" in slurm.run("scontrol", "show", "job", last)
    assert "MailType=END" not in slurm.run("scontrol", "show", "job", first)

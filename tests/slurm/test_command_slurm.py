"""A command on a real Slurm: a requeue in the middle, which signals the command as well as us."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from test_command import LINES, PROGRAM, RUN

from runner.files import read_json, read_json_lines
from runner.rundir.layout import ExperimentDir
from slurm_cluster import SlurmCluster
from tiny_experiment import wait_until
from tiny_search import runner, site


@pytest.mark.slurm
def test_requeued_command_resumes_from_its_checkpoint(slurm: SlurmCluster, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    run = [str(tmp_path / "program.py") if word.endswith("program.py") else word for word in RUN]
    command = {"run": run, "resume": [*run, "resume=yes"], "checkpoint": "state.json", "metrics": LINES}
    content = {
        "experiment": "e",
        "task": "command",
        "params": {"command": command, "values": {"rate": 1.0, "epochs": 3, "mischief": "wait"}},
        "resources": {"cpus": 1, "time": "5m", "memory": "500M"},
    }
    path = tmp_path / "e.yaml"
    path.write_text(yaml.safe_dump(content))
    sent = runner("submit", path, "--cluster", site(tmp_path), root=tmp_path)
    assert sent.returncode == 0, sent.stderr
    directory = ExperimentDir(tmp_path / "e")
    (its,) = [directory.run(path.name) for path in directory.runs.iterdir()]
    wait_until(lambda: (read_json(its.heartbeat) or {}).get("epoch") == 2, 60, "epoch 2")
    slurm.run("scontrol", "requeue", read_json(its.heartbeat)["job_id"])
    wait_until(lambda: read_json(its.result), 120, "its result")
    assert [(line["epoch"], line["attempt"]) for line in read_json_lines(its.metrics)] == [(1, 1), (2, 1), (3, 2)]
    shown = json.loads(runner("status", "e", "--format", "json", root=tmp_path).stdout)
    assert [(row["state"], row["attempt"]) for row in shown["runs"]] == [("completed", 2)]

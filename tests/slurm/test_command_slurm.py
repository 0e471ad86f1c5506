"""A command on a real Slurm: a requeue, which signals the command as well as us, and processes on two nodes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_command import LINES, PROGRAM, RUN

from runner.files import read_json, read_json_lines
from runner.rundir.layout import ExperimentDir, RunDir
from slurm_cluster import SlurmCluster
from tiny_experiment import wait_until
from tiny_search import runner, site

# Each process says where it is. The first is PROGRAM; the others work for as long as it does.
SPREAD = """\
import json, os, pathlib, sys, time
here, rank = pathlib.Path(__file__).parent, os.environ["SLURM_PROCID"]
arguments = dict(word.split("=", 1) for word in sys.argv[1:])
names = "SLURMD_NODENAME", "SLURM_NTASKS", "SLURM_CPUS_PER_TASK"
with open(here / f"place-{rank}", "a") as file: print(*(os.environ[name] for name in names), file=file)
if rank == "0":
    os.execv(sys.executable, [sys.executable, str(here / "program.py"), *sys.argv[1:]])
if rank == "3" and arguments["mischief"] == "third":
    sys.exit("no such crystal")
state = pathlib.Path(arguments["out"]) / "state.json"
while not state.exists() or '"epoch": ' + arguments["epochs"] not in state.read_text(): time.sleep(0.1)
"""
SPREAD_RUN = ["srun", RUN[0], "{here}/spread.py", *RUN[2:]]
TWO_NODES = {"nodes": 2, "tasks_per_node": 2}


def sent(folder: Path, run: list[str], mischief: str, **resources: Any) -> RunDir:
    """The one run of an experiment whose program lies in `folder`, submitted."""
    (folder / "program.py").write_text(PROGRAM)
    (folder / "spread.py").write_text(SPREAD)
    run = [word.replace("{here}", str(folder)) for word in run]
    command = {"run": run, "resume": [*run, "resume=yes"], "checkpoint": "state.json", "metrics": LINES}
    content = {
        "experiment": "e",
        "task": "command",
        "params": {"command": command, "values": {"rate": 1.0, "epochs": 3, "mischief": mischief}},
        "resources": {"cpus": 1, "time": "5m", "memory": "500M", **resources},
    }
    path = folder / "e.yaml"
    path.write_text(yaml.safe_dump(content))
    done = runner("submit", path, "--cluster", site(folder), root=folder)
    assert done.returncode == 0, done.stderr
    directory = ExperimentDir(folder / "e")
    (its,) = [directory.run(path.name) for path in directory.runs.iterdir()]
    return its


@pytest.mark.slurm
@pytest.mark.parametrize(("run", "resources", "places"), [(RUN, {}, 0), (SPREAD_RUN, TWO_NODES, 4)])
def test_requeued_command_resumes_from_its_checkpoint(
    slurm: SlurmCluster, tmp_path: Path, run: list[str], resources: dict[str, Any], places: int
) -> None:
    its = sent(tmp_path, run, "wait", **resources)
    wait_until(lambda: (read_json(its.heartbeat) or {}).get("epoch") == 2, 60, "epoch 2")
    slurm.run("scontrol", "requeue", read_json(its.heartbeat)["job_id"])
    wait_until(lambda: read_json(its.result), 120, "its result")
    assert [(line["epoch"], line["attempt"]) for line in read_json_lines(its.metrics)] == [(1, 1), (2, 1), (3, 2)]
    shown = json.loads(runner("status", "e", "--format", "json", root=tmp_path).stdout)
    assert [(row["state"], row["attempt"]) for row in shown["runs"]] == [("completed", 2)]
    lines = [(tmp_path / f"place-{rank}").read_text().splitlines() for rank in range(places)]
    for attempt in zip(*lines, strict=True):
        nodes, counts, cpus = zip(*(line.split() for line in attempt), strict=True)
        assert (len(set(nodes)), set(counts), set(cpus)) == (2, {"4"}, {"1"})
    assert {len(started) for started in lines} <= {2}


@pytest.mark.slurm
def test_process_that_fails_on_the_second_node_fails_the_run(slurm: SlurmCluster, tmp_path: Path) -> None:
    its = sent(tmp_path, SPREAD_RUN, "third", **TWO_NODES)
    wait_until(lambda: read_json(its.failure), 120, "its failure")
    failure = read_json(its.failure)
    assert (failure["kind"], failure["attempt"]) == ("exception", 1)
    assert "no such crystal" in str(failure)

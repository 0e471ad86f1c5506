"""A submitted experiment whose tree is damaged, and the commands that write to it. Used by tests.

Slurm's commands are scripts: sbatch takes every array, the queue is empty.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
import time
from pathlib import Path

import damaged_runs
import hostile_content
from damaged_runs import Damaged, Limits, answer
from ordinary_mistakes import COMMAND
from runner.rundir import manifest
from runner.rundir.layout import ExperimentDir

SITE = "kind: slurm\nenvironment: {HF_TOKEN: hf_0123456789abcdefghij}\n"
SCRIPTS = {
    "sbatch": "echo Submitted batch job $RANDOM", "squeue": "", "scancel": "", "srun": "", "sacct": "", "sacctmgr": "",
    "scontrol": "echo MaxArraySize = 1001; echo PartitionName=p Default=YES MaxTime=UNLIMITED MaxMemPerNode=UNLIMITED",
}  # fmt: skip
Questions = list[tuple[str, tuple[object, ...]]]


def slurm_commands(folder: Path) -> None:
    """Scripts with the names of Slurm's commands in `folder`, and that folder first on PATH."""
    folder.mkdir()
    for name, text in SCRIPTS.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / name).chmod(0o755)
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"


def experiment(folder: Path) -> Path:
    """An experiment of four runs as `submit` leaves it, with runs that completed, failed and were lost."""
    folder.mkdir()
    (folder / "train.py").touch()
    (folder / "experiment.yaml").write_text(COMMAND["printed"])
    (folder / "site.yaml").write_text(SITE)
    os.chdir(folder)
    status, _, err = answer("runner", "submit", "experiment.yaml", "--cluster", "site.yaml", "--root", "root")
    assert status == 0, err
    directory = ExperimentDir(folder / "root" / "printed")
    done, failed, lost, _ = (directory.run(run.run_id) for run in manifest.read(directory).runs)
    done.result.write_text(json.dumps({"run_id": done.run_id, "metrics": {"val_mae": 0.1}}))
    failure = {
        "kind": "exception",
        "message": "m",
        "attempt": 1,
        "time": time.time(),
        "traceback": "",
        "fingerprint": "x",
    }
    failed.failure.write_text(json.dumps(failure))
    for run in (failed, lost):
        run.attempts.write_text(json.dumps({"attempt": 1, "time": 1.0, "job_id": "12_0"}) + "\n")
        run.heartbeat.write_text(json.dumps({"attempt": 1, "time": 1.0}))
    return directory.path


def questions(path: Path, seed: int) -> Questions:
    """Commands that write; the experiment file lies in the folder of the submission."""
    folder = path.parents[1]
    sent = ("--cluster", folder / "site.yaml")
    asked: Questions = [
        (
            "runner",
            (
                "submit",
                folder / "experiment.yaml",
                "--root",
                path.parent,
                *sent,
                "--only",
                (":1", "0.2", "@0")[seed % 3],
            ),
        ),
        ("runner", ("resubmit", path, "--force")),
        ("runner", ("cancel", path)),
        ("runner", ("submit", folder / "experiment.yaml", "--root", path.parent, *sent)),
        ("runner", ("status", path)),
    ]
    return asked if seed % 2 else asked[1:]


def wrong(whole: Path, folder: Path, seed: int, longest: Limits) -> list[str]:
    """What the writers did wrong on the tree that `seed` damages."""
    case = damaged_runs.damaged(whole, folder, seed)
    found = damaged_runs.faults(_beside(case, whole), questions(case.path, seed), seed, longest)
    damaged_runs.remove(folder)
    return found


def limits(whole: Path, folder: Path) -> Limits:
    def asked(path: Path, seed: int) -> Questions:
        _beside(Damaged(path, path.parents[1] / "outside", []), whole)
        return questions(path, seed)

    return damaged_runs.limits(whole, folder, asked)


def _beside(case: Damaged, whole: Path) -> Damaged:
    """With the user's own files beside the tree, and in their folder."""
    folder = case.path.parents[1]
    for name in ("experiment.yaml", "site.yaml", "train.py"):
        (folder / name).write_bytes((whole.parents[1] / name).read_bytes())
    os.chdir(folder)
    return case


def data_set(folder: Path, seed: int) -> tuple[Damaged, Path]:
    """A data set that `seed` damages, and the experiment file that reads it."""
    chance, outside, root = random.Random(seed), folder / "outside", folder / "root"
    for place in (outside, root):
        place.mkdir(parents=True)
    (outside / "file.json").write_text("{}")
    kind = list(hostile_content.DATASETS)[seed % len(hostile_content.DATASETS)]
    path, config = hostile_content.experiment_file(kind, root)
    target = chance.choice([path, *path.iterdir()] if path.is_dir() else [path])
    damage = chance.choice(damaged_runs.FOLDER_DAMAGES[:5] if target.is_dir() else DATA_DAMAGES)
    damage(target, outside, chance)
    done = [f"{damage.__name__.strip('_')} {target.relative_to(root)}"]
    return Damaged(root, outside, done, frozenset((target.name, config.name))), config


DATA_DAMAGES = [
    *(damage for damage in damaged_runs.DAMAGES if damage not in damaged_runs.OF_A_TREE),
    hostile_content.gzipped_bomb, hostile_content.huge_arrays, hostile_content.pickled,
]  # fmt: skip


def data_questions(config: Path, runs: Path) -> Questions:
    return [
        ("runner", ("submit", config, "--root", runs, "--dry-run", "--cluster", "local")),
        ("runner", ("prepare", config, "--root", runs)),
    ]


def wrong_data(folder: Path, seed: int, longest: Limits) -> list[str]:
    """What the readers of data did wrong on the set that `seed` damages."""
    case, config = data_set(folder, seed)
    found = damaged_runs.faults(case, data_questions(config, folder / "root" / "runs"), seed, longest)
    damaged_runs.remove(folder)
    return found


def data_limits(folder: Path) -> Limits:
    """The longest that a healthy set of any kind may take."""
    folder.mkdir()
    longest: Limits = {}
    for number, kind in enumerate((*hostile_content.DATASETS, *hostile_content.DATASETS)):
        if number == len(hostile_content.DATASETS):
            longest.clear()  # the first time, modules are imported
        place = Path(tempfile.mkdtemp(dir=folder))
        _, config = hostile_content.experiment_file(kind, place)
        for program, arguments in data_questions(config, place / "runs"):
            began = time.monotonic()
            status, _, err = answer(program, *arguments)
            assert status == 0, (kind, arguments, err)
            taken = 5 * (time.monotonic() - began) + 5
            longest[program, arguments[0]] = max(taken, longest.get((program, arguments[0]), 0.0))
    return longest

"""What a funnel saves, and whether small data rank models as large data do: measured on mp6k on a real Slurm.

python -m benchmarks.funnel_study --run FOLDER          # about half an hour on one core; FOLDER can be gone on with
python -m benchmarks.funnel_study                       # writes the tables of docs/results.md from the JSON

One command submits funnel/funnel_100.yaml with --supervise; Slurm carries it through three stages to the last summary.
Between, one run is killed (SIGKILL) and one is requeued as by a preemption. Then the models that were left behind are
trained at the sizes of stage two and three as well, so that the ranks and the whole cost are known.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from scipy.stats import spearmanr

from benchmarks.page import filled, table
from benchmarks.timing import machine
from jobs.launch import python_path
from runner import manifest
from runner.files import read_json
from runner.layout import ExperimentDir, RunDir

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "results.md"
MEASURED = HERE / "results" / "funnel_study.json"
CLUSTER = HERE.parent / "tests" / "slurm-cluster"
STAGES = ("funnel_100", "funnel_400", "funnel_1600")
SITE = "kind: slurm\npartition: gpu\ncache: {cache}\nenvironment: {{RUNNER_HEARTBEAT_S: '2'}}\n"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--run", type=Path, metavar="FOLDER")
    chosen = arguments.parse_args()
    if chosen.run:
        study(chosen.run.resolve())
        MEASURED.write_text(json.dumps(collected(chosen.run.resolve()), indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), tables(measured())), encoding="utf-8")


def measured() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(MEASURED.read_text(encoding="utf-8"))
    return found


def study(folder: Path) -> None:
    """Train everything below `folder`; what is complete there is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    site = folder / "site.yaml"
    site.write_text(SITE.format(cache=folder / "cache"))
    configs = [shutil.copy(HERE / "funnel" / f"{name}.yaml", folder) for name in STAGES]
    everything = [_with_all_models(folder, name) for name in STAGES[1:]]
    with slurm():
        runner(folder, "prepare", everything[-1])
        if not _summary(folder, STAGES[-1]).exists():
            runner(folder, "submit", configs[0], "--cluster", site, "--supervise")
            disturb(folder)
            wait(_summary(folder, STAGES[-1]).exists, "the summary of the last stage")
        for name, config in zip(STAGES[1:], everything, strict=True):
            _adopt(ExperimentDir(folder / name), ExperimentDir(folder / config.stem))
            runner(folder, "submit", config, "--cluster", site, "--wait")


@contextlib.contextmanager
def slurm() -> Iterator[None]:
    """A throw-away Slurm; its sockets need a short path."""
    state = tempfile.mkdtemp(prefix="slurm-", dir="/tmp")
    try:
        subprocess.run([CLUSTER, "up", "--state", state, "--base-port", "auto"], check=True)
        os.environ["SLURM_CONF"] = f"{state}/etc/slurm.conf"
        yield
    finally:
        subprocess.run([CLUSTER, "down", "--state", state, "--purge"], check=True)


def runner(folder: Path, *words: str | Path) -> None:
    command = [sys.executable, "-P", "-m", "runner.cli", *map(str, words), "--root", str(folder)]
    environment = {**os.environ, "PYTHONPATH": python_path(os.environ), "RUNNER_CACHE": str(folder / "cache")}
    subprocess.run(command, check=True, env=environment, cwd=folder)


def disturb(folder: Path) -> None:
    """Kill a run of the first stage in the middle, and requeue one of the second."""
    victim = wait(lambda: _in_the_middle(folder / STAGES[0], 10), "a run of stage one")
    os.kill(read_json(victim.heartbeat)["pid"], signal.SIGKILL)
    print(f"killed {victim.run_id}", flush=True)
    victim = wait(lambda: _in_the_middle(folder / STAGES[1], 5), "a run of stage two")
    subprocess.run(["scontrol", "requeue", read_json(victim.heartbeat)["job_id"]], check=True)
    print(f"requeued {victim.run_id}", flush=True)


def wait(condition: Callable[[], Any], what: str, seconds: float = 3600) -> Any:
    """The first true value of `condition()`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.2)
    raise TimeoutError(f"{what}: not within {seconds:.0f} s")


def _in_the_middle(experiment: Path, epoch: int) -> RunDir | None:
    """A run that is being trained and has finished `epoch` epochs."""
    for path in (experiment / "runs").glob("*"):
        run = RunDir(path)
        beat = read_json(run.heartbeat) or {}
        if (beat.get("epoch") or 0) >= epoch and not beat.get("ended") and not run.result.exists():
            return run
    return None


def _summary(folder: Path, name: str) -> Path:
    return folder / name / "analysis" / "results_summary.csv"


def _with_all_models(folder: Path, name: str) -> Path:
    """The file of a later stage with every model of the first."""
    first, content = (yaml.safe_load((HERE / "funnel" / f"{its}.yaml").read_text()) for its in (STAGES[0], name))
    content |= {
        "experiment": f"all_{name.partition('_')[2]}",
        "matrix": content["matrix"] | {"named": first["matrix"]["named"]},
    }
    content.pop("next", None)
    path = folder / f"{content['experiment']}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def _adopt(stage: ExperimentDir, everything: ExperimentDir) -> None:
    """Take the finished runs of a stage over: their directories have the same names, since they are the same runs."""
    for path in stage.runs.iterdir():
        if not (everything.runs / path.name).exists():
            shutil.copytree(path, everything.runs / path.name)


def collected(folder: Path) -> dict[str, Any]:
    """What the tables show."""
    stages = [_stage(ExperimentDir(folder / name)) for name in STAGES]
    everything = [stages[0], *(_stage(ExperimentDir(folder / f"all_{name.partition('_')[2]}")) for name in STAGES[1:])]
    return {
        "machine": {name: value for name, value in machine().items() if name != "threads"},  # of a run: one
        "funnel": stages,
        "all": everything,
        "correlation": [
            {"from": a["crystals"], "to": b["crystals"], "spearman": _correlation(a, b)}
            for a, b in ((everything[0], everything[1]), (everything[1], everything[2]), (everything[0], everything[2]))
        ],
    }


def _stage(directory: ExperimentDir) -> dict[str, Any]:
    plan = manifest.read(directory)
    rows: dict[str, list[dict[str, Any]]] = {}
    for run in plan.runs:
        found = read_json(directory.run(run.run_id).result)
        assert found is not None, f"{run.run_id} is not complete"
        rows.setdefault(run.variant, []).append(found)
    train, data = (plan.runs[0].params[name] for name in ("train", "data"))
    runs = [run for its in rows.values() for run in its]
    return {
        "experiment": plan.experiment,
        "crystals": data["train"],
        "epochs": train["epochs"],
        "runs": len(runs),
        "seconds": sum(run["seconds"] for run in runs),
        "crystal_epochs": sum(data["train"] * run["epochs"] for run in runs),
        "resumed": sum(run["attempts"] > 1 for run in runs),
        "models": {
            name: {split: sum(run["metrics"][f"{split}_mae"] for run in its) / len(its) for split in ("val", "test")}
            for name, its in rows.items()
        },
    }


def _correlation(a: dict[str, Any], b: dict[str, Any]) -> float:
    names = list(a["models"])
    return float(spearmanr(*([its["models"][name]["val"] for name in names] for its in (a, b))).statistic)


def tables(found: dict[str, Any]) -> dict[str, str]:
    """The parts of the page, by the names of their places."""
    return {
        "funnel_cost": _cost(found["funnel"], found["all"][-1]),
        "funnel_models": _models(found["all"]),
        "funnel_ranks": _ranks(found["correlation"]),
    }


def _cost(stages: list[dict[str, Any]], everything: dict[str, Any]) -> str:
    def row(name: str, its: dict[str, Any]) -> list[str]:
        numbers = (its["crystals"], its["epochs"], len(its["models"]), its["runs"], its["resumed"])
        return [name, *(f"{number:,}" for number in numbers), f"{its['crystal_epochs']:,}", f"{its['seconds']:,.0f}"]

    total = {key: sum(its[key] for its in stages) for key in ("runs", "resumed", "crystal_epochs", "seconds")}
    saved = [f"{1 - total[key] / everything[key]:.0%}" for key in ("crystal_epochs", "seconds")]
    rows = [row(f"stage {number}", its) for number, its in enumerate(stages, 1)]
    rows.append(["the funnel", "", "", "", str(total["runs"]), str(total["resumed"]), f"{total['crystal_epochs']:,}",
                 f"{total['seconds']:,.0f}"])  # fmt: skip
    rows += [row("all models at full size", everything), ["saved", "", "", "", "", "", *saved]]
    header = ("", "crystals", "epochs", "models", "runs", "resumed", "crystals × epochs", "s of training")
    return table(header, rows, numbers=len(header) - 1)


def _models(sizes: list[dict[str, Any]]) -> str:
    orders = [sorted(its["models"], key=lambda name: its["models"][name]["val"]) for its in sizes]
    rows = []
    for name in orders[-1]:
        cells = [
            f"{its['models'][name]['val']:.4f} ({order.index(name) + 1})"
            for its, order in zip(sizes, orders, strict=True)
        ]
        rows.append([name, *cells, f"{sizes[-1]['models'][name]['test']:.4f}"])
    header = ("model", *(f"{its['crystals']:,} crystals" for its in sizes), f"test, {sizes[-1]['crystals']:,} †")
    return table(header, rows, numbers=len(header) - 1)


def _ranks(pairs: list[dict[str, Any]]) -> str:
    rows = [[f"{its['from']:,} → {its['to']:,} crystals", f"{its['spearman']:+.2f}"] for its in pairs]
    return table(("from, to", "Spearman's ρ"), rows, numbers=1)


if __name__ == "__main__":
    main()

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
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml
from scipy.stats import spearmanr

from benchmarks.page import filled, table
from benchmarks.timing import machine
from jobs.launch import python_path
from jobs.tasks.crystal.data.sources import load as load_data
from runner.commands import next_stage
from runner.commands.loading import load
from runner.files import read_json
from runner.rundir import manifest
from runner.rundir.layout import ExperimentDir, RunDir

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "results.md"
MEASURED = HERE / "results" / "funnel_study.json"
CONFIGS = HERE.parent / "configs"
CLUSTER = HERE.parent / "tests" / "slurm-cluster"
STAGES = ("funnel_100", "funnel_400", "funnel_1600")
SITE = "kind: slurm\npartition: gpu\ncache: {cache}\nenvironment: {{RUNNER_HEARTBEAT_S: '2'}}\n"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--run", type=Path, metavar="FOLDER")
    chosen = arguments.parse_args()
    if chosen.run:
        with contextlib.suppress(KeyboardInterrupt):  # what there is by then is written down, and said to be less
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
        "shipped": shipped(),
        "correlation": [_correlation(a, b) for a, b in combinations(everything, 2)],
    }


def _stage(directory: ExperimentDir) -> dict[str, Any]:
    """What a stage cost and found. Of one that is not complete: what is planned, with the mean seconds of its runs."""
    plan = manifest.read(directory)
    rows: dict[str, list[dict[str, Any]]] = {}
    for run in plan.runs:
        if found := read_json(directory.run(run.run_id).result):
            rows.setdefault(run.variant, []).append(found)
    train, data = (plan.runs[0].params[name] for name in ("train", "data"))
    runs = [run for its in rows.values() for run in its]
    return {
        "experiment": plan.experiment,
        "crystals": data["train"],
        "epochs": train["epochs"],
        "planned": len(plan.runs),
        "completed": len(runs),
        "seconds": sum(run["seconds"] for run in runs) / len(runs) * len(plan.runs),
        "crystal_epochs": data["train"] * train["epochs"] * len(plan.runs),
        "resumed": sum(run["attempts"] > 1 for run in runs),
        "models": {
            name: {split: sum(run["metrics"][f"{split}_mae"] for run in its) / len(its) for split in ("val", "test")}
            for name, its in rows.items()
        },
    }


def _correlation(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """Spearman's ρ of the validation error of the models that both have; of two models it would say nothing."""
    names = [name for name in a["models"] if name in b["models"]]
    values = ([its["models"][name]["val"] for name in names] for its in (a, b))
    rho = float(spearmanr(*values).statistic) if len(names) > 2 else None
    return {"from": a["crystals"], "to": b["crystals"], "models": len(names), "spearman": rho}


def shipped() -> dict[str, Any]:
    """Crystals × epochs of the stages in configs/, and of every variant and setting of theirs at full size."""
    one, two, three = (load(CONFIGS / f"stage{number}.yaml", Path("runs")) for number in (1, 2, 3))
    variants = [(name, point.overrides, {"checkpoint": None}) for name, point in one.expansion.points.items()]
    promoted = [its for its in variants if its[0] != one.expansion.baseline][: one.experiment.next.top]
    second = next_stage.content(two.expansion.file.source, promoted)[0]["matrix"]["named"]
    settings = len(two.expansion.variants) - 1  # without the baseline
    seeds = len(three.experiment.matrix.seeds)
    data = three.expansion.runs[0].params["data"]
    crystals = sum(its.split == "train" for its in load_data(data["dataset"], data["target"]).crystals)
    epochs = three.experiment.params["train"]["epochs"]
    sizes = [(its.experiment.params["data"]["train"], its.experiment.params["train"]["epochs"]) for its in (one, two)]
    runs = [len(one.expansion.runs), len(second), (two.experiment.next.top + 1) * seeds]
    cost = [run * size * long for run, (size, long) in zip(runs, [*sizes, (crystals, epochs)], strict=True)]
    everything = ((len(variants) - 1) * settings + 1) * seeds
    return {"runs": runs, "cost": cost, "all_runs": everything, "all_cost": everything * crystals * epochs}


def tables(found: dict[str, Any]) -> dict[str, str]:
    """The parts of the page, by the names of their places."""
    return {
        "funnel_cost": _cost(found["funnel"], found["all"][-1]),
        "funnel_models": _models(found["all"]),
        "funnel_ranks": _ranks(found["correlation"]),
        "funnel_shipped": _shipped(found["shipped"]),
    }


def _cost(stages: list[dict[str, Any]], everything: dict[str, Any]) -> str:
    def row(name: str, its: dict[str, Any]) -> list[str]:
        complete = its["completed"] == its["planned"]
        cells = [its["crystals"], its["epochs"], its["planned"], its["resumed"], its["crystal_epochs"]]
        return [name, *(f"{cell:,}" for cell in cells), f"{'' if complete else '≈ '}{its['seconds']:,.0f}"]

    total = {key: sum(its[key] for its in stages) for key in ("planned", "resumed", "crystal_epochs", "seconds")}
    saved = f"{1 - total['crystal_epochs'] / everything['crystal_epochs']:.0%}"
    rows = [row(f"stage {number}", its) for number, its in enumerate(stages, 1)]
    rows.append(["the funnel", "", "", *(f"{value:,.0f}" for value in total.values())])
    rows += [row("all models at full size", everything), ["saved", "", "", "", "", saved, ""]]
    single = sum(its["crystals"] * its["epochs"] * len(its["models"]) for its in stages)
    less = f"{1 - single / everything['crystal_epochs']:.0%}"
    rows += [
        ["the funnel with one seed a stage", "", "", "", "", f"{single:,}", ""],
        ["saved", "", "", "", "", less, ""],
    ]
    header = ("", "crystals", "epochs", "runs", "resumed", "crystals × epochs", "s of training")
    return table(header, rows, numbers=len(header) - 1)


def _models(sizes: list[dict[str, Any]]) -> str:
    orders = [sorted(its["models"], key=lambda name, its=its: its["models"][name]["val"]) for its in sizes]
    rows = []
    for name in orders[0]:
        cells = [
            _with_rank(its["models"][name]["val"], order.index(name) + 1, len(order) == len(orders[0]))
            if name in order
            else "not run"
            for its, order in zip(sizes, orders, strict=True)
        ]
        test = sizes[-1]["models"].get(name)
        rows.append([name, *cells, f"{test['test']:.4f}" if test else ""])
    header = ("model", *(f"{its['crystals']:,} crystals" for its in sizes), f"test, {sizes[-1]['crystals']:,} †")
    return table(header, rows, numbers=len(header) - 1)


def _with_rank(value: float, rank: int, complete: bool) -> str:
    return f"{value:.4f} ({rank})" if complete else f"{value:.4f}"


def _ranks(pairs: list[dict[str, Any]]) -> str:
    rows = [
        [f"{its['from']:,} → {its['to']:,} crystals", str(its["models"]), _signed(its["spearman"])] for its in pairs
    ]
    return table(("from, to", "models", "Spearman's ρ"), rows, numbers=2)


def _shipped(found: dict[str, Any]) -> str:
    rows = [
        [f"stage {n}", f"{run:,}", f"{cost:,}"]
        for n, (run, cost) in enumerate(zip(found["runs"], found["cost"], strict=True), 1)
    ]
    total = sum(found["cost"])
    rows.append(["the funnel", f"{sum(found['runs']):,}", f"{total:,}"])
    rows.append(["every variant and setting at full size", f"{found['all_runs']:,}", f"{found['all_cost']:,}"])
    rows.append(["saved", "", f"{1 - total / found['all_cost']:.0%}"])
    return table(("", "runs", "crystals × epochs"), rows, numbers=2)


def _signed(rho: float | None) -> str:
    return "" if rho is None else f"{rho:+.2f}"


if __name__ == "__main__":
    main()

"""Every tool of `analysis` on what goes wrong: a sentence and an exit status, never a traceback."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
import torch

from analysis import cli
from analysis_command import analysis_command
from experiment_factory import Plan, PlannedVariant, write_experiment
from trained_experiment import MIDDLE, train

torch.set_num_threads(1)
RUN = "middle-s0-00000000"

ON_LOGS = {  # tools that read files alone: arguments after the experiment
    "summarize": lambda path: ["summarize", path],
    "weights": lambda path: ["weights", path],
    "scale": lambda path: ["scale", path],
    "export": lambda path: ["export", path],
    "refine": lambda path: ["refine", path],
    "compare": lambda path: ["compare", "middle", "graph_only", "-e", path],
}
ON_CHECKPOINTS = {
    "diagnose": lambda path: ["diagnose", path],
    "diagnose run": lambda path: ["diagnose", RUN, "-e", path],
    "alpha": lambda path: ["alpha", RUN, "-e", path],
    "robustness": lambda path: ["robustness", RUN, "-e", path],
    "compare checkpoint": lambda path: ["compare", path / "runs" / RUN / "best.pt", "graph_only", "-e", path],
    "predict": lambda path: ["predict", RUN, path, "-e", path],
    "rescale": lambda path: ["rescale", path / "runs" / RUN / "best.pt", "--factor", "2", "--to", path / "new.pt"],
}
TOOLS = ON_LOGS | ON_CHECKPOINTS


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    models = {"middle": {"middle_fusion": MIDDLE}, "graph_only": {}}
    return train(tmp_path_factory.mktemp("root") / "small", cache, models).path


@pytest.fixture
def analysis(monkeypatch, capsys, cache, tmp_path):
    monkeypatch.setenv("RUNNER_CACHE", str(cache))
    monkeypatch.setenv("RUNNER_ROOT", str(tmp_path / "no such root"))
    return analysis_command(monkeypatch, capsys)


def copied(trained: Path, to: Path, *left_out: str) -> Path:
    return Path(shutil.copytree(trained, to, ignore=shutil.ignore_patterns("analysis", *left_out)))


def refused(ended: tuple[int, str, str]) -> str:
    """What a tool says that could not do its work."""
    status, _, err = ended
    assert status in (1, 2)
    assert err.splitlines()[-1].strip()
    assert "Traceback" not in err
    assert "error: " in err or "Usage" in err
    return err


def assert_done_or_refused(ended: tuple[int, str, str]) -> None:
    assert "Traceback" not in ended[2]
    if ended[0]:
        refused(ended)


def test_every_tool_is_tried_here() -> None:
    commands = {command.name for command in cli.app.registered_commands}
    assert commands == {name.split()[0] for name in TOOLS}


@pytest.mark.parametrize("tool", TOOLS)
def test_an_empty_directory(tmp_path, analysis, tool) -> None:
    err = refused(analysis(*TOOLS[tool](tmp_path)))
    assert "has no manifest.json" in err or "there is no checkpoint" in err


@pytest.mark.parametrize("tool", ON_CHECKPOINTS)
def test_a_copy_without_checkpoints(tmp_path, analysis, trained, tool) -> None:
    path = copied(trained, tmp_path / "copy", "*.pt")
    (path / "x.vasp").write_text("MgO\n1\n4 0 0\n0 4 0\n0 0 4\nMg O\n1 1\nDirect\n0 0 0\n.5 .5 .5\n")
    err = refused(analysis(*TOOLS[tool](path)))
    assert "left behind when the directory was copied" in err or "there is no checkpoint" in err


@pytest.mark.parametrize("tool", ["summarize", "export", "compare"])
def test_a_copy_without_checkpoints_is_enough_where_logs_are_read(tmp_path, analysis, trained, tool) -> None:
    assert analysis(*TOOLS[tool](copied(trained, tmp_path / "copy", "*.pt")))[0] == 0


@pytest.mark.parametrize("tool", TOOLS)
def test_truncated_files(tmp_path, analysis, trained, tool) -> None:
    path = copied(trained, tmp_path / "copy")
    for file in path.rglob("*"):
        if file.is_file() and file != path / "manifest.json":
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert_done_or_refused(analysis(*TOOLS[tool](path)))


@pytest.mark.parametrize("tool", TOOLS)
def test_a_truncated_manifest(tmp_path, analysis, trained, tool) -> None:
    path = copied(trained, tmp_path / "copy")
    manifest = path / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:100])
    ended = analysis(*TOOLS[tool](path))
    assert ended[0] == 0 if tool == "rescale" else "manifest.json" in refused(ended)  # it needs the checkpoint alone


@pytest.mark.parametrize("tool", [name for name in TOOLS if name not in ("refine", "rescale", "predict")])
def test_numbers_that_are_not_finite(tmp_path, analysis, trained, tool) -> None:
    path = copied(trained, tmp_path / "copy")
    for run in (path / "runs").iterdir():
        result = json.loads((run / "result.json").read_text())
        result["metrics"] = dict.fromkeys(result["metrics"], math.nan)
        (run / "result.json").write_text(json.dumps(result))
        metrics = (run / "metrics.jsonl").read_text().splitlines()
        (run / "metrics.jsonl").write_text("\n".join([metrics[0].replace(": 0.", ': NaN, "x": 0.'), "nan", *metrics]))
        if (run / "fusion_weights.csv").exists():
            (run / "fusion_weights.csv").write_text("epoch,layer,w_graph,ratio\n1,1,nan,inf\n2,1,,-inf\n")
    assert_done_or_refused(analysis(*TOOLS[tool](path)))


@pytest.mark.parametrize("tool", TOOLS)
def test_one_run_that_never_started(tmp_path, analysis, tool) -> None:
    path = write_experiment(tmp_path, Plan([PlannedVariant("middle", states={0: "new"})], name="small", seeds=[0]))
    ended = analysis(*TOOLS[tool](path))
    assert "No run has completed" in ended[1] if tool == "summarize" else refused(ended)


@pytest.mark.parametrize("tool", ["summarize", "weights", "export", "compare", "diagnose"])
def test_names_that_are_not_ascii(tmp_path, analysis, trained, tool) -> None:
    path = copied(trained, tmp_path / "Größe ≠ 日本")
    manifest = json.loads((path / "manifest.json").read_text())
    for planned in manifest["runs"]:
        old = planned["run_id"]
        planned["run_id"], planned["variant"] = f"{old}-ä日", planned["variant"] + " β→γ"
        run = (path / "runs" / old).rename(path / "runs" / planned["run_id"])
        for name in ("result.json", "config.yaml"):
            text = (run / name).read_text().replace(old, planned["run_id"])
            (run / name).write_text(text, encoding="utf-8")
    (path / "manifest.json").write_text(json.dumps(manifest, ensure_ascii=False), encoding="utf-8")
    arguments = ["compare", "middle β→γ", "graph_only β→γ", "-e", path] if tool == "compare" else TOOLS[tool](path)
    status, out, err = analysis(*arguments)
    assert status == 0, err
    assert "ä日" in out or "β→γ" in out or "日本" in out


def test_a_checkpoint_is_compared_with_its_own_predictions_and_with_a_rescaled_one(tmp_path, analysis, trained) -> None:
    path = copied(trained, tmp_path / "copy")
    best = path / "runs" / RUN / "best.pt"
    rescaled = best.with_name("rescaled.pt")
    assert analysis("rescale", best, "--factor", "6", "--to", rescaled)[0] == 0
    same = json.loads(analysis("compare", best, best.parent, "--format", "json")[1])
    assert same["mae"][0] == pytest.approx(same["mae"][1], rel=1e-6)
    assert (same["crystals"], same["first"], same["second"]) == (8, f"{RUN}/best.pt", RUN)
    other = json.loads(analysis("compare", best, rescaled, "--format", "json")[1])
    assert other["mae"][0] != pytest.approx(other["mae"][1], rel=1e-4)

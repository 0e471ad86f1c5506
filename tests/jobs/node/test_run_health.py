"""The health of whole runs: one word in status, log and summary, and what the crystal task measures for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from analysis.output import sections
from analysis.output.columns import Where, columns
from analysis.output.sections import health
from analysis.rank.summary import summarize
from experiment_factory import Plan, PlannedVariant, write_experiment
from jobs.tasks.crystal.schema import CrystalParams
from jobs.tasks.crystal.tools.load_run import open_run
from model_cases import late, merged, model, texts
from models.fusion.interface import Widths
from models.fusion.records import Records
from models.fusion.registry import LATE
from models.options import ProjectedLateOptions
from runner.commands.status import as_json, take
from runner.rundir.layout import ExperimentDir
from tiny_experiment import environment, parent_command, write_run
from trained_experiment import DYNAMIC, train

torch.set_num_threads(1)
WIDTHS = Widths(16, 8, 12)
SPY = """\
import sys

from tiny_task import TinyTask


class Spy(TinyTask):
    def run(self, params, context):
        outcome = super().run(params, context)
        loaded = sorted(name for name in sys.modules if name.partition(".")[0] == "analysis")
        outcome.extra["loaded"] = loaded
        return outcome
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> ExperimentDir:
    return train(tmp_path_factory.mktemp("root") / "small", cache, {"dynamic": {"middle_fusion": DYNAMIC}, "graph": {}})


def test_nothing_in_a_worker_process_imports_analysis(tmp_path: Path) -> None:
    (tmp_path / "spy_task.py").write_text(SPY)
    run = write_run(tmp_path / "exp", config={"task": "spy_task:Spy", "code_path": str(tmp_path)})
    path = str(Path(__file__).parents[2])
    started = environment(PYTHONPATH=f"{environment()['PYTHONPATH']}:{path}")
    subprocess.run(parent_command(run), env=started, check=True)
    assert json.loads(run.result.read_text())["extra"]["loaded"] == []


@pytest.mark.parametrize(
    "module", ["jobs.node.child", "jobs.tasks.crystal.task", "jobs.training.trainer", "jobs.node.run_health"]
)
def test_modules_of_a_worker_do_not_import_analysis(module: str) -> None:
    code = f"import sys, {module}; print(*(m for m in sys.modules if m.partition('.')[0] == 'analysis'))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_status_and_summary_have_one_word_for_a_completed_run(experiment: ExperimentDir) -> None:
    words = {run["run_id"]: run["health"] for run in json.loads(as_json(take(experiment)))["runs"]}
    summary = summarize(experiment.path, cache=False)
    assert words == {variant.runs[0].run_id: variant.health for variant in summary.variants}
    assert set(words.values()) <= {"ok", "warning", "blocking"}


def test_reliance_is_logged_of_models_that_read_text_and_shown_beside_the_ratio(experiment: ExperimentDir) -> None:
    metrics = json.loads(experiment.run("dynamic-s0-00000000").result.read_text())["metrics"]
    assert metrics["reliance"] > -1
    assert "reliance" not in json.loads(experiment.run("graph-s0-00000000").result.read_text())["metrics"]
    summary = summarize(experiment.path, cache=False)
    (column,) = (column for column in columns(summary, Where.DATA) if column.name == "reliance")
    assert column.cell(summary.variant("dynamic")).endswith(" %")
    assert column.cell(summary.variant("graph")) == ""


def test_reliance_is_the_same_each_time_and_leaves_random_states_alone(experiment: ExperimentDir, cache: Path) -> None:
    run = experiment.run("dynamic-s0-00000000")
    learner = open_run(run, cache)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    assert learner.reliance() == learner.reliance() == json.loads(run.result.read_text())["metrics"]["reliance"]
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()


def test_shuffled_texts_are_those_of_other_crystals(experiment: ExperimentDir, cache: Path) -> None:
    learner = open_run(experiment.run("dynamic-s0-00000000"), cache)
    right, shuffled = [], []
    learner.predict_at = lambda places, texts=None: (  # type: ignore[method-assign,misc]
        (right if texts is None else shuffled).extend(places if texts is None else texts)
        or (np.ones(len(places)), np.zeros(len(places)))
    )
    assert learner.reliance() == 0
    assert sorted(right) == sorted(shuffled)
    assert all(own != given for own, given in zip(right, shuffled, strict=True))


@pytest.mark.parametrize("case", ["middle", "improved", "dynamic", "film", "atom_attention"])
def test_a_text_term_of_zero_is_no_change(case: str) -> None:
    net, records = model(case), Records()
    for name, parameter in net.middle_fusions.named_parameters():
        if any(part in name for part in ("second", "attention.out", "attention.value")):
            parameter.data.zero_()
    with torch.no_grad():
        net(merged(), texts(), records=records)
    assert records.summary()["2"]["relative_change"] == pytest.approx(0, abs=1e-6)


def test_improved_reports_alpha_with_its_modulation() -> None:
    net, records = model("improved"), Records()
    net(merged(), texts(), records=records)
    found = records.summary()["2"]
    assert found["gate_mean"] < found["modulated_gate"] < 2 * found["gate_mean"]


def test_the_gate_of_adaptive_is_what_multiplies_the_text() -> None:
    net, records = model("none", "adaptive"), Records()
    net.late_fusion.gate.bias.data.fill_(50.0)  # a = 1: the gate's share goes to the graph
    net.late_fusion.choice.bias.data.copy_(torch.tensor([-50.0, -50.0, 50.0]))
    net(merged(), texts(), records=records)
    assert records.summary()["late"]["gate_mean"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("wanted", "width"), [(None, 8), (5, 5)])
def test_gated_takes_an_output_width(wanted: int | None, width: int) -> None:
    assert LATE["gated"].load()(late("gated", output_dim=wanted), WIDTHS).output_dim == width
    assert ProjectedLateOptions.model_fields["output_dim"].json_schema_extra == {"neutral": None}


def test_gate_warmup_says_how_far_it_has_opened() -> None:
    net, records = model("none", "balanced_gated"), Records()
    net.begin_step()
    net(merged(), texts(), records=records)
    assert records.summary()["late"]["gate_open"] == pytest.approx(1 / 5)


GATED = {"late_fusion": {"name": "simplified_gated", "gate_warmup": 40}}


@pytest.mark.parametrize(("epochs", "refused"), [(10, False), (9, True)])
def test_a_gate_warmup_of_more_than_half_the_run_is_refused(epochs: int, refused: bool) -> None:
    content = {"data": {"train": 64}, "model": GATED, "train": {"epochs": epochs, "batch_size": 8}}
    if not refused:
        CrystalParams.model_validate(content)
        return
    with pytest.raises(ValidationError, match="found 40; more than half of the run's 72 steps would be warm-up"):
        CrystalParams.model_validate(content)


def test_gradients_are_not_clipped_by_default() -> None:
    assert CrystalParams().train.gradient_clip is None


def test_shell_width_is_of_shells_alone() -> None:
    assert CrystalParams.model_validate({"graph": {"shell_width": 0.05}}).graph.shell_width == 0.05
    assert (
        CrystalParams.model_validate({"graph": {"strategy": "radius", "shell_width": 0.05}}).graph.shell_width == 0.01
    )


def test_information_is_shown_on_request_alone(experiment: ExperimentDir) -> None:
    summary = summarize(experiment.path, cache=False)
    assert not any(str(line).startswith("info: dynamic") for line in health(summary))
    assert any(str(line).startswith("info: dynamic") for line in health(summary, verbose=True))


def test_schedules_that_differ_within_a_ranking_are_flagged(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, Plan([PlannedVariant("1"), PlannedVariant("2"), PlannedVariant("3")]))
    content = json.loads((path / "manifest.json").read_text())
    other = content["runs"][0]["variant"]
    for run in content["runs"]:
        run["params"]["train"] = {"schedule": "constant" if run["variant"] == other else "onecycle"}
    (path / "manifest.json").write_text(json.dumps(content))
    flags = {variant.name: [flag.kind for flag in variant.flags] for variant in summarize(path, cache=False).variants}
    assert [name for name, kinds in flags.items() if "schedule" in kinds] == [other]


@pytest.mark.parametrize(
    ("goal", "advice"), [({"good": 9.0}, "go on with the next stage"), ({"good": 1e-9}, "more items")]
)
def test_after_the_goal_comes_what_to_do(tmp_path: Path, goal: dict[str, float], advice: str) -> None:
    path = write_experiment(tmp_path, Plan([PlannedVariant("1")], manifest={"target_mae": goal}))
    assert advice in sections.goal(summarize(path, cache=False))[0].advice

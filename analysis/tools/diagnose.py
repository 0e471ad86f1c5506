"""`analysis diagnose NAME`: what the fusions of a trained model do, judged in order. Opens checkpoints.

The order of the verdict is that of runner.health.findings.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from analysis.collect.reading import json_lines, read_bytes, table_rows
from analysis.commands.arguments import (
    CHECKPOINT,
    CHECKPOINT_HELP,
    DEFAULT_ROOT,
    RUN_HELP,
    FormatOption,
    OfExperiment,
    Root,
    run_and_checkpoint,
    runs_meant,
    thresholds_of,
)
from analysis.output.writing import stdout_console, write_rows, written
from analysis.task_definitions import DIAGNOSED, DIAGNOSED_TITLES
from runner.errors import CommandFailed
from runner.health.findings import Finding, health_word, number
from runner.health.fusion import gate_instability
from runner.health.judgement import fusion_findings, late_gates, warm_epochs
from runner.health.quantities import LATE, Quantities, quantity
from runner.health.settings import planned_steps, settings_of
from runner.health.thresholds import Thresholds
from runner.health.training import History
from runner.rundir.cache_root import cache_root
from runner.rundir.layout import RunDir
from runner.terminal import tell

Layers = dict[str, dict[str, dict[str, float]]]  # split → layer → quantities


def command(
    name: Annotated[
        str | None,
        typer.Argument(
            help=f"{RUN_HELP} Or its checkpoint. Or an experiment: the best run of each variant.", show_default=False
        ),
    ] = None,
    experiment: OfExperiment = None,
    samples: Annotated[
        int, typer.Option(min=1, help="Crystals of train and of val, evenly spread; test is never read.")
    ] = 200,
    checkpoint: Annotated[Path | None, typer.Option(help=CHECKPOINT_HELP)] = None,
    root: Root = DEFAULT_ROOT,
    format: FormatOption = "table",
) -> None:
    """Sizes, directions, change and gates of every fused layer; a verdict and the next step."""
    from jobs.tasks.crystal.tools.load_run import params_of  # torch: only here and only now

    if checkpoint is not None or (name is not None and Path(name).suffix == CHECKPOINT):
        run, checkpoint = run_and_checkpoint(name, checkpoint, experiment, root)
        meant = [run]
    else:
        meant = runs_meant(name, experiment, root)
    runs = [run for run in meant if params_of(run).model.uses_text]
    if not runs:
        raise CommandFailed("no completed run here joins graph and text", next_command="analysis summarize")
    judged = [(run.run_id, *_diagnosed(run, samples, checkpoint)) for run in runs]
    rows = {run_id: layer_rows(run_id, layers) for run_id, layers, _ in judged}
    every = [row for of_run in rows.values() for row in of_run]
    if format == "json":
        verdicts = [{"run_id": run_id, **_verdict(diagnosis)} for run_id, _, diagnosis in judged]
        sys.stdout.write(json.dumps({"layers": every, "verdicts": verdicts}, indent=1) + "\n")
    elif format == "csv":
        write_rows(every, format)
    else:
        console = stdout_console()
        for run_id, _, diagnosis in judged:
            console.print(f"{run_id}: {diagnosis.verdict}", soft_wrap=True)
            if diagnosis.next_step:
                console.print(f"  next: {diagnosis.next_step}", soft_wrap=True)
            titled = [{title: row.get(name) for name, title in DIAGNOSED_TITLES.items()} for row in rows[run_id]]
            write_rows(titled, format)
            console.print()


def layer_rows(run_id: str, splits: Layers) -> list[dict[str, Any]]:
    """One row for every layer and split."""
    return [
        {"run": run_id, "layer": layer, "split": split}
        | {name: quantity(layers.get(layer, {}), name) for name in DIAGNOSED}
        for layer in next(iter(splits.values()), {})
        for split, layers in splits.items()
    ]


def _diagnosed(run: RunDir, samples: int, checkpoint: Path | None) -> tuple[Layers, Diagnosis]:
    """Look into one run and write its diagnosis.json and figure."""
    from analysis.plots.diagnosis import overview
    from analysis.plots.figure import styled
    from jobs.tasks.crystal.tools.inspection import quantities, sampled
    from jobs.tasks.crystal.tools.load_run import open_run, params_of

    learner = open_run(run, cache_root(), log=tell, weights=checkpoint)
    splits, thresholds = quantities(learner, samples), thresholds_of(run)
    rows, _ = table_rows(read_bytes(run.fusion_weights))
    history, _ = json_lines(read_bytes(run.metrics))
    params = params_of(run).model_dump(mode="json")
    moved = gate_instability(late_gates(rows, warm_epochs(history, params)))
    for layers in splits.values():
        if moved is not None and LATE in layers:
            layers[LATE]["instability"] = moved
    diagnosis = diagnose(splits["val"], params, thresholds, rows, history)
    with styled():
        plot = overview(splits, run.run_id, thresholds)
    content = {
        "run_id": run.run_id,
        "checkpoint": (checkpoint or run.best_checkpoint).name,
        "crystals": {split: len(sampled(learner, split, samples)) for split in splits},
        "layers": splits,
        **_verdict(diagnosis),
        "findings": [finding.as_dict() for finding in diagnosis.findings],
    }
    files = {run.diagnosis: json.dumps(content, indent=1) + "\n", run.figure("diagnosis.svg"): plot.svg}
    written({run.of_checkpoint(path, checkpoint): text for path, text in files.items()}, inside=run.path)
    return splits, diagnosis


def _verdict(diagnosis: Diagnosis) -> dict[str, Any]:
    return {name: value for name, value in asdict(diagnosis).items() if name != "findings"}


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong first, and what to do about it."""

    verdict: str
    level: str  # ok, warning or blocking
    next_step: str
    initial_scale: float | None  # that balances the norms; None where they are, or where the fusion has no scale
    findings: tuple[Finding, ...]


def diagnose(
    layers: Mapping[str, Quantities],
    params: Mapping[str, Any],
    thresholds: Thresholds,
    gates: Sequence[Quantities] = (),
    history: History = (),
) -> Diagnosis:
    """`layers`: layer → quantities on validation crystals; `params`: of the run; `gates`: its fusion_weights.csv."""
    steps, warm = planned_steps(history, params), warm_epochs(history, params)
    findings = tuple(fusion_findings(layers, thresholds, params, steps, gates, warm))
    middle = {layer: values for layer, values in layers.items() if layer.isdigit()}
    scaled = any(settings_of(params, layer).has("initial_scale") for layer in middle)
    proposed = balancing_scale(middle, thresholds) if scaled else None
    verdicts = [finding for finding in findings if finding.level != "info" and finding.below is None]
    scale = f"model.middle_fusion.initial_scale: {number(proposed)} would balance the sizes" if proposed else ""
    if not layers:
        return Diagnosis("nothing to judge: no fusion reports anything", "ok", "", None, ())
    if not verdicts:
        return Diagnosis("healthy: no quantity is beyond its threshold", "ok", scale, proposed, findings)
    first = verdicts[0]
    others = [finding for finding in findings if finding.level != "info" and finding is not first]
    rest = ", ".join(f"{finding.rule} in {_place(finding)}" for finding in others)
    verdict = f"{_place(first)}: {first.message}{f'; also {rest}' if rest else ''}"
    return Diagnosis(verdict, health_word(findings), first.advice, proposed, findings)


def _place(finding: Finding) -> str:
    return f"layer {finding.layer}" if (finding.layer or "").isdigit() else str(finding.layer)


def balancing_scale(layers: Mapping[str, Quantities], thresholds: Thresholds) -> float | None:
    """The one initial_scale that brings all layers nearest to a norm ratio of 1: the geometric mean of theirs.

    None where every layer is balanced.
    """
    sizes = [(quantity(values, "norm_ratio"), quantity(values, "text_scale")) for values in layers.values()]
    known = [(ratio, abs(scale or 1.0)) for ratio, scale in sizes if ratio]
    if all(thresholds.norm_ratio_low <= ratio <= thresholds.norm_ratio_high for ratio, _ in known):
        return None
    return math.exp(sum(math.log(ratio * scale) for ratio, scale in known) / len(known))

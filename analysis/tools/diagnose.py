"""`analysis diagnose NAME`: what the fusions of a trained model do, judged in order. Opens checkpoints."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from analysis.collect.reading import json_lines, read_bytes, table_rows
from analysis.commands.options import DEFAULT_ROOT, RUN_HELP, Format, FormatOption, OfExperiment, Root
from analysis.commands.selection import runs_meant, thresholds_of
from analysis.commands.tables import write_rows
from analysis.output.fusion_table import filled_columns
from analysis.output.writing import stdout_console, written
from analysis.tools.diagnosis import Diagnosis, diagnose, layer_rows
from runner.errors import CommandFailed
from runner.health.fusion import gate_instability
from runner.health.judgement import late_gates, warm_epochs
from runner.health.quantities import LATE
from runner.rundir.cache_root import cache_root
from runner.rundir.layout import RunDir
from runner.terminal import tell

COLUMNS = {
    "layer": "layer", "split": "split", "norm_ratio": "norm ratio", "t_norm": "‖t‖", "u_norm": "‖u‖",
    "cosine": "cosine", "relative_change": "change", "gate_mean": "gate", "gate_std": "gate sd", "ratio": "ratio",
    "contribution_ratio": "terms", "quality": "quality", "fusion_gate": "fusion gate", "modulated_gate": "modulated",
    "instability": "instability", "mae": "MAE",
}  # fmt: skip  # of the table for people; all quantities are in --format csv and in diagnosis.json

Found = dict[str, dict[str, dict[str, float]]]  # split → layer → quantities


def command(
    name: Annotated[
        str | None,
        typer.Argument(help=f"{RUN_HELP} Or an experiment: the best run of each variant.", show_default=False),
    ] = None,
    experiment: OfExperiment = None,
    samples: Annotated[
        int, typer.Option(min=1, help="Crystals of train and of val, evenly spread; test is never read.")
    ] = 200,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Another checkpoint of the run, as `analysis rescale` writes.")
    ] = None,
    root: Root = DEFAULT_ROOT,
    format: FormatOption = Format.table,
) -> None:
    """Sizes, directions, change and gates of every fused layer; a verdict and the next step."""
    from jobs.tasks.crystal.tools.load_run import params_of  # torch: only here and only now

    runs = [run for run in runs_meant(name, experiment, root) if params_of(run).model.uses_text]
    if not runs:
        raise CommandFailed("no completed run here joins graph and text", next_command="analysis summarize")
    rows: list[dict[str, Any]] = []
    judged: list[tuple[RunDir, Diagnosis]] = []
    for run in runs:
        found, diagnosis = _diagnosed(run, samples, checkpoint)
        rows += layer_rows(run.run_id, found)
        judged.append((run, diagnosis))
    verdicts = [{"run_id": run.run_id, **_verdict(diagnosis)} for run, diagnosis in judged]
    if format is Format.json:
        sys.stdout.write(json.dumps({"layers": rows, "verdicts": verdicts}, indent=1) + "\n")
        return
    if format is Format.csv:
        write_rows(rows, filled_columns(rows), format)
        return
    console = stdout_console()
    for run, diagnosis in judged:
        console.print(f"{run.run_id}: {diagnosis.verdict}", soft_wrap=True)
        if diagnosis.next_step:
            console.print(f"  next: {diagnosis.next_step}", soft_wrap=True)
        its = [{title: row.get(name) for name, title in COLUMNS.items()} for row in rows if row["run"] == run.run_id]
        write_rows(its, filled_columns(its), format)
        console.print()


def _diagnosed(run: RunDir, samples: int, checkpoint: Path | None) -> tuple[Found, Diagnosis]:
    """Look into one run and write its diagnosis.json and figure."""
    from analysis.plots.diagnosis import overview
    from analysis.plots.figure import styled
    from jobs.tasks.crystal.tools.inspection import quantities, sampled
    from jobs.tasks.crystal.tools.load_run import open_run, params_of

    learner = open_run(run, cache_root(), log=_say, weights=checkpoint)
    found, t = quantities(learner, samples), thresholds_of(run)
    rows, _ = table_rows(read_bytes(run.fusion_weights))
    history, _ = json_lines(read_bytes(run.metrics))
    params = params_of(run).model_dump(mode="json")
    moved = gate_instability(late_gates(rows, warm_epochs(history, params)))
    for layers in found.values():
        if moved is not None and LATE in layers:
            layers[LATE]["instability"] = moved
    diagnosis = diagnose(found["val"], params, t, rows, history)
    with styled():
        plot = overview(found, run.run_id, t)
    content = {
        "run_id": run.run_id,
        "checkpoint": (checkpoint or run.best_checkpoint).name,
        "crystals": {split: len(sampled(learner, split, samples)) for split in found},
        "layers": found,
        **_verdict(diagnosis),
        "findings": [finding.as_dict() for finding in diagnosis.findings],
    }
    text = json.dumps(content, indent=1) + "\n"
    written({run.diagnosis: text, run.figure("diagnosis.svg"): plot.svg}, inside=run.path)
    return found, diagnosis


def _verdict(diagnosis: Diagnosis) -> dict[str, Any]:
    return {
        field.name: getattr(diagnosis, field.name)
        for field in dataclasses.fields(diagnosis)
        if field.name != "findings"
    }


def _say(line: str) -> None:
    tell(f"{line}")

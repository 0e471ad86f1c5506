"""The tables of docs/results.md from a finished configs/fusion_study.yaml.

analysis robustness -e fusion_study --format csv > wrong_texts.csv
python -m benchmarks.fusion_study --collect runs/fusion_study wrong_texts.csv     # writes results/fusion_study.json
python -m benchmarks.fusion_study                                                 # writes the tables from that
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

from analysis.rank.ranking import Variant
from analysis.rank.significance import tie
from analysis.rank.summary import Summary, summarize
from benchmarks.page import filled, table
from benchmarks.timing import machine
from runner.health.fusion import weight_ratio
from runner.rundir.planned import Select

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "results.md"
MEASURED = HERE / "results" / "fusion_study.json"
TEXTS = ("right", "deleted", "truncated", "shuffled")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--collect", nargs=2, type=Path, metavar=("EXPERIMENT", "CSV"))
    chosen = arguments.parse_args()
    if chosen.collect:
        MEASURED.parent.mkdir(exist_ok=True)
        MEASURED.write_text(json.dumps(collected(*chosen.collect), indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), tables(measured())), encoding="utf-8")


def measured() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(MEASURED.read_text(encoding="utf-8"))
    return found


def collected(experiment: Path, wrong_texts: Path) -> dict[str, Any]:
    """What the tables show of an experiment, and the machine that this runs on."""
    summary = summarize(experiment)
    with wrong_texts.open(newline="", encoding="utf-8") as file:
        texts = list(csv.DictReader(file))
    return {
        "machine": {
            name: value for name, value in machine().items() if name != "threads"
        },  # of the runs: resources.cpus
        "variants": [_variant(summary, variant) for variant in summary.variants],
        "texts": [  # of validation crystals
            {**{name: float(row[name]) for name in TEXTS}, **{name: row[name] for name in ("variant", "healthy")}}
            for row in texts
            if row["metric"] == "val_mae"
        ],
    }


def _variant(summary: Summary, variant: Variant) -> dict[str, Any]:
    compared = next((item for item in summary.baseline if item.variant == variant.name), None)
    assert variant.val is not None
    assert variant.test is not None
    return {
        "variant": variant.name,
        "seeds": len(variant.scored),
        "val": [variant.val.mean, variant.val.sd],
        "test": [variant.test.mean, variant.test.sd],
        "against_graph_only": compared and [compared.relative, compared.low, compared.high, compared.adjusted],
        "ratio": [ratio for its in variant.fusion.values() if (ratio := weight_ratio(its)) is not None],
        "contribution_ratio": [its["contribution_ratio"] for its in variant.fusion.values()],
        "parameters": variant.parameters,
        "seconds": variant.seconds,
    }


def tables(found: dict[str, Any]) -> dict[str, str]:
    """The parts of the page, by the names of their places."""
    return {"variants": _variants(found["variants"]), "texts": _texts(found["texts"])}


def _variants(rows: list[dict[str, Any]]) -> str:
    shown = (
        "val MAE",
        "tied with the best",
        "test MAE †",
        "against graph_only",
        "ratio",
        "contribution ratio",
        "parameters",
        "s a run",
    )
    header = ("variant", *shown)
    best = min(row["val"][0] for row in rows)
    return table(header, [_cells(row, best) for row in rows], numbers=len(header) - 1)


def _cells(row: dict[str, Any], best: float) -> list[str]:
    change, (val, test) = (
        row["against_graph_only"],
        (f"{mean:.4f} ± {sd:.4f}" for mean, sd in (row["val"], row["test"])),
    )
    by_chance = f", p = {change[3]:.2g}" if change and len(change) > 3 else ""  # not known of the bootstrap of before
    return [
        row["variant"],
        val,
        "yes" if tie(row["val"][0], best, Select()).tied else "",
        test,
        f"{change[0]:+.1%} ({change[1]:+.0%} to {change[2]:+.0%}{by_chance})" if change else "",
        ", ".join(f"{value:.2f}" for value in row["ratio"]),
        ", ".join(f"{value:.2f}" for value in row["contribution_ratio"]),
        f"{row['parameters']:,}",
        f"{row['seconds']:.0f}",
    ]


def _texts(rows: list[dict[str, Any]]) -> str:
    cells = [
        [
            row["variant"],
            *(f"{row[name]:.4f}" for name in TEXTS),
            f"{row['shuffled'] / row['right'] - 1:+.1%}",
            row["healthy"],
        ]
        for row in rows
    ]
    return table(("variant", *TEXTS, "shuffled against right", "healthy"), cells, numbers=len(TEXTS) + 2)


if __name__ == "__main__":
    main()

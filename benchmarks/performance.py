"""The tables of docs/performance.md from benchmarks/results/cpu.json, and from gpu.json where a GPU was asked.

    python -m benchmarks.performance [--check]

`--check` says whether the page is that of the last results, and changes nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.page import filled, table

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "performance.md"
MEASURED = HERE / "results" / "cpu.json"
ON_GPU = HERE / "results" / "gpu.json"
MIB = 1 << 20


@dataclass(frozen=True)
class Asked:
    """A figure that is asked for, and how it reads."""

    question: str
    limit: float  # of the ratio, or of `ours` in its unit
    least: bool = False  # at least, not at most
    batch: int | None = None
    ratio: bool = False

    @property
    def text(self) -> str:
        return f"{'≥' if self.least else '≤'} {self.limit:g}{' ×' if self.ratio and self.least else ''}"


STEP = "training step, complete shells, against `alignn` pure torch"
ASKED: dict[str, list[Asked]] = {
    "step_vs_alignn": [Asked(f"{STEP}, batch {n}", 10, least=True, batch=n, ratio=True) for n in (32, 64)],
    "step_whole_vs_alignn": [
        Asked(f"the same with the quotient off, batch {n}", 2.5, least=True, batch=n, ratio=True) for n in (32, 64)
    ],
    "step_vs_dgl": [Asked(f"the first against ALIGNN on DGL 1.1.3, batch {n}", 6, least=True, batch=n, ratio=True)
                    for n in (32, 64)],
    "step_memory_vs_alignn": [Asked("peak memory of that step, share of `alignn` pure", 0.4, ratio=True)],
    "graphs_vs_alignn": [Asked("building the same 12-nearest graph, against `alignn` pure", 5, least=True, ratio=True)],
    "graphs_shells_vs_alignn": [Asked("building the default graph, complete shells", 5, least=True, ratio=True)],
    "start_seconds": [Asked("`runner run` to the first batch, warm caches, s", 10)],
    "expand_100k_seconds": [Asked("`runner expand`, 100,000 runs as CSV, s", 5)],
    "submit_1000_seconds": [Asked("`runner submit`, 1,000 runs, s", 10)],
    "status_10k_seconds": [Asked("`runner status`, 10,000 runs, s", 2)],
    "summarize_10k_seconds": [Asked("`analysis summarize`, 10,000 runs × 100 epochs, s", 15)],
    "summarize_again_10k_seconds": [Asked("the same again, nothing changed, s", 3)],
    "run_memory_stage1": [Asked("peak memory of a run on all of mp6k, hidden 256, GiB", 3)],
}  # fmt: skip
ASKED_OF_A_GPU = {
    "gpu_step_vs_alignn": Asked("training step against `alignn` pure, TF32 in both, batch 64", 10, True, ratio=True),
    "gpu_step_bf16_vs_alignn": Asked("the same, ours in bf16", 12, True, ratio=True),
    "stage1_seconds": Asked("configs/stage1.yaml, 18 runs, warm caches, s", 90),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--check", action="store_true")
    chosen = arguments.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    made = filled(page, tables(MEASURED, ON_GPU))
    if chosen.check:
        sys.exit(0 if made == page else f"{PAGE} is not that of {MEASURED.name}: python -m benchmarks.performance")
    PAGE.write_text(made, encoding="utf-8")


def tables(measured: Path, on_gpu: Path = ON_GPU) -> dict[str, str]:
    """The parts of the page, by the names of their places."""
    found = _read(measured)
    results = found["results"]
    return {
        "machine": _machine(found["machine"]),
        "asked": table(("question", "asked", "measured", "products alone"), _asked(results), numbers=3),
        "gpu": table(("question", "asked", "measured"), _of_a_gpu(_read(on_gpu)), numbers=2),
        "bounds": _bounds([its for its in results if its["name"] in ("step_bound", "step_fused_bound")]),
        "crystals": _crystals([result for result in results if result["name"].startswith("crystals_")]),
        "runs": _runs([result for result in results if result["name"].startswith("runs_")]),
        "everything": table(
            ("name", "ours", "theirs", "ratio", "unit", "batch", "load"), [_row(its) for its in results], numbers=6
        ),
    }


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"results": []}
    return found


def _one(results: list[dict[str, Any]], name: str, batch: int | None = None) -> dict[str, Any] | None:
    chosen = [its for its in results if its["name"] == name and (batch is None or its.get("batch") == batch)]
    return chosen[0] if chosen else None


def _machine(its: dict[str, Any]) -> str:
    processor = f"{its['processor']} with {its['vectors']}, {its['cores']} cores"
    return f"{processor}; Python {its['python']}, torch {its['torch']}.\n"


def _asked(results: list[dict[str, Any]]) -> list[list[str]]:
    return [
        [asked.question, asked.text, _value(asked, its), f"{its['bound']:.1f}" if its and "bound" in its else ""]
        for name, several in ASKED.items()
        for asked in several
        for its in [_one(results, name, asked.batch)]
    ]


def _of_a_gpu(found: dict[str, Any]) -> list[list[str]]:
    return [
        [asked.question, asked.text, _value(asked, _one(found["results"], name))]
        for name, asked in ASKED_OF_A_GPU.items()
    ]


def _value(asked: Asked, result: dict[str, Any] | None) -> str:
    """The figure, and whether it is what was asked."""
    if result is None:
        return "not run"
    value = result["ratio"] if asked.ratio else result["ours"] / (1 << 30 if result.get("unit") == "bytes" else 1)
    met = value >= asked.limit if asked.least else value <= asked.limit
    processor = f" ({result['processor']:.2f} of a core)" if "processor" in result else ""
    return f"{value:.2f}{processor}{'' if met else ', **missed**'}"


def _bounds(found: list[dict[str, Any]]) -> str:
    if not found:
        return "Not measured.\n"
    one = found[0]
    ms = [
        [f"{its[name] * 1e3:.0f}" for its in found] for name in ("products_seconds", "memory_seconds", "bound", "ours")
    ]
    rows = [
        ["matrix products", f"{one['flop_per_second'] / 1e9:.0f} GFLOP/s", *ms[0]],
        ["memory traffic of the rest", f"{one['bytes_per_second'] / 1e9:.1f} GB/s", *ms[1]],
        ["both", "", *ms[2]],
        ["the step", "", *ms[3]],
        ["the step, of both", "", *(f"{its['ratio']:.2f} ×" for its in found)],
    ]
    sides = {"step_bound": "torch's operations", "step_fused_bound": "compiled pass"}
    shares = [
        f"Shares of its time, {sides[its['name']]}: "
        + ", ".join(f"{name.removeprefix('aten::')} {share:.0%}" for name, share in its["operations"].items())
        for its in found
    ]
    header = ("what", "ceiling", *(f"{sides[its['name']]}, ms" for its in found))
    return table(header, rows, numbers=1 + len(found)) + "\n" + "\n\n".join(f"{line}." for line in shares) + "\n"


def _crystals(results: list[dict[str, Any]]) -> str:
    rows = []
    for its in results:
        count = int(its["name"].removeprefix("crystals_"))
        each = [its["ours"], its["graphs"]]
        rows.append([
            f"{count:,}", *(f"{seconds:.1f} ({seconds / count * 1e3:.2f})" for seconds in each),
            f"{its['graph_bytes'] / MIB:.1f}", f"{its['peak_bytes'] / MIB:.0f}",
        ])  # fmt: skip
    header = ("crystals", "an epoch, s (ms a crystal)", "building graphs, s (ms)", "graphs, MiB", "peak, MiB")
    return table(header, rows, numbers=len(header))


def _runs(results: list[dict[str, Any]]) -> str:
    rows = []
    for its in results:
        count = int(its["name"].removeprefix("runs_"))
        rows.append([
            f"{count:,}", f"{its['ours']:.1f}", f"{its['ours'] / count:.2f}", f"{its['peak_bytes'] / MIB:.0f}",
            f"{its['disk_bytes'] / MIB:.2f}",
        ])  # fmt: skip
    header = ("runs", "all, s", "s a run", "peak of all processes, MiB", "on disk, MiB")
    return table(header, rows, numbers=len(header))


def _row(its: dict[str, Any]) -> list[str]:
    shown = [f"{its[name]:.4g}" if name in its else "" for name in ("ours", "theirs", "ratio")]
    return [
        its["name"],
        *shown,
        its.get("unit", ""),
        str(its.get("batch", "")),
        f"{its['load']:g}" if "load" in its else "",
    ]


if __name__ == "__main__":
    main()

"""Twenty small mistakes, each planted in a copy of the code, and the tests that must notice it.

    python -m benchmarks.mutants [NAME …]

Prints one line per mistake and ends with 1 where a test did not notice, or where the code to change is gone. The tests
named here must pass on the code as it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
COPIED = (
    "runner",
    "jobs",
    "models",
    "analysis",
    "benchmarks",
    "configs",
    "docs",
    "tests",
    "pyproject.toml",
    "setup.cfg",
)


class Mutant(NamedTuple):
    """One change of one file."""

    file: str
    old: str
    new: str
    tests: str  # that notice


MUTANTS = {
    "sd of a population": Mutant(
        "analysis/rank/statistics.py", "array.std(ddof=1)", "array.std(ddof=0)", "analysis/rank"
    ),
    "two-way variance too bold": Mutant(
        "analysis/rank/statistics.py",
        "np.maximum(of_seeds + of_items - both, np.maximum(of_seeds, of_items))",
        "of_items",
        "analysis/rank",
    ),
    "one seed claims": Mutant("analysis/rank/statistics.py", "CLAIM_SEEDS = 3", "CLAIM_SEEDS = 1", "analysis/rank"),
    "the best although tied": Mutant(
        "analysis/rank/choice.py",
        "chosen = best if alone else min(",
        "chosen = best if True else min(",
        "analysis/rank",
    ),
    "unhealthy ones are taken": Mutant(
        "analysis/rank/choice.py", "pool = healthy or ties", "pool = ties", "analysis/rank"
    ),
    "ratio without the residual": Mutant(
        "runner/health/fusion.py", "(1 + graph) / text if", "graph / text if", "runner/health analysis/rank"
    ),
    "a preemption counts": Mutant(
        "runner/rundir/attempts.py", "a.kind is Kind.PREEMPTED or (", "False or (", "runner/rundir runner/submit"
    ),
    "a time limit without progress does not count": Mutant(
        "runner/rundir/attempts.py",
        "(a.kind in passing and a.advanced)",
        "(a.kind in passing)",
        "runner/rundir runner/submit",
    ),
    "a result of another run completes": Mutant(
        "runner/rundir/states.py", "result.run_id in (None, os.path.basename(folder))", "True", "runner/rundir"
    ),
    "breaker one too late": Mutant(
        "jobs/node/circuit_breaker.py",
        "counts[failure.fingerprint] >= limit",
        "counts[failure.fingerprint] > limit",
        "jobs/node runner/rundir",
    ),
    "an hour has 60 s": Mutant("runner/config/quantities.py", '"h": 3600', '"h": 60', "runner/config"),
    "formulas reach a spreadsheet": Mutant(
        "runner/spreadsheet.py", '("=", "+", "-", "@", "\\t", "\\r")', '("=",)', "runner analysis/output"
    ),
    "neutral keys name a run": Mutant(
        "runner/matrix/run_id.py",
        'not ("neutral" in marks and marks["neutral"] == value)',
        "True",
        "runner/matrix jobs/tasks",
    ),
    "a matrix merges no sections": Mutant(
        "runner/config/dotted.py",
        "return section | {key: merge(section.get(key), item) for key, item in value.items()}",
        "return value",
        "runner/matrix runner/config",
    ),
    "smaller subsets are not nested": Mutant(
        "jobs/tasks/crystal/data/splits.py",
        "whole[name] = ordered[:wanted]",
        "whole[name] = ordered[-(wanted or 0):]",
        "jobs/tasks/test_splits.py",
    ),
    "messages are not normalised": Mutant(
        "models/encoders/convolution.py", "sums / (sum_at_end(open_share, edges) + GATE_EPSILON)", "sums", "models"
    ),
    "no residual of edges": Mutant(
        "models/encoders/convolution.py",
        "return new_nodes, old + self.dropout(",
        "return new_nodes, 0 * old + self.dropout(",
        "models",
    ),
    "biases decay": Mutant(
        "jobs/training/optimisation.py", '"weight_decay": 0.0', '"weight_decay": weight_decay', "jobs/training"
    ),
    "a search keeps the worst": Mutant(
        "runner/search/rounds.py",
        'means[point] if mode == "min" else -means[point]',
        'means[point] if mode == "max" else -means[point]',
        "runner/search",
    ),
    "the pickle of an array is for everybody": Mutant(
        "runner/submit/schedulers/slurm.py", "os.umask(before | 0o022)", "os.umask(before)", "runner/submit"
    ),
}


def noticed(mutant: Mutant, folder: Path) -> str:
    """`noticed`, or what is wrong."""
    target = folder / mutant.file
    text = target.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        return f"{mutant.file} holds `{mutant.old}` {text.count(mutant.old)} times"
    target.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    tests = [f"tests/{name}" for name in mutant.tests.split()]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-m",
        "not slurm and not slow",
        "-p",
        "no:cacheprovider",
        *tests,
    ]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    target.write_text(text, encoding="utf-8")
    return {0: "NOT NOTICED", 1: "noticed"}.get(done.returncode, f"the tests could not run: {done.stdout[-300:]}")


def main(names: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary:
        folder = Path(temporary)
        for name in COPIED:
            source = ROOT / name
            shutil.copytree(source, folder / name) if source.is_dir() else shutil.copy(source, folder)
        results = {}
        for name in names or MUTANTS:
            results[name] = noticed(MUTANTS[name], folder)
            print(f"{name}: {results[name]}", flush=True)
    return int(set(results.values()) != {"noticed"})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

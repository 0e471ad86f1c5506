"""Asks every question about speed and writes the answers: `make bench`, `python -m benchmarks [QUESTION …]`.

    python -m benchmarks [--list] [--output FILE] [QUESTION …]

Each question is a script of this folder, run in a process of its own; one that is not asked keeps its former answer. A
script prints `{machine, results: [{name, unit, ours, …}]}`. `theirs` and `ratio` stand where two sides were measured in
alternation. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.timing import machine
from jobs.launch import child_environment

HERE = Path(__file__).resolve().parent
MEASURED = HERE / "results" / "cpu.json"

# Question → module and arguments, in about the order of their length
QUESTIONS = {
    "graphs": ["graphs", "--crystals", "100"],
    "steps_32": ["steps", "--batch", "32", "--dgl", "--compile"],
    "steps_64": ["steps", "--batch", "64", "--dgl", "--compile"],
    "step_memory": ["steps", "--memory"],
    "bounds": ["bounds"],
    "allocator": ["allocator"],
    "improved": ["improved_step"],
    "start": ["start"],
    "expand": ["expand"],
    "submit": ["submit"],
    "status": ["status"],
    "summarize": ["summarize"],
    "memory": ["memory", "--threads", "1"],
    "crystals": ["scaling", "crystals"],
    "runs": ["scaling", "runs"],
}
THREADS = 2


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("questions", nargs="*", metavar="QUESTION", help=f"of {', '.join(QUESTIONS)}; all")
    arguments.add_argument("--list", action="store_true", help="show the questions")
    arguments.add_argument("--output", type=Path, default=MEASURED)
    chosen = arguments.parse_args()
    unknown = [name for name in chosen.questions if name not in QUESTIONS]
    if unknown:
        arguments.error(f"no question {', '.join(unknown)}; there are {', '.join(QUESTIONS)}")
    if chosen.list:
        print("\n".join(f"{name:12} python -m benchmarks.{' '.join(call)}" for name, call in QUESTIONS.items()))
        return
    failed = []
    for name in chosen.questions or QUESTIONS:
        try:
            found = ask(name)
        except subprocess.CalledProcessError as error:
            failed.append(name)
            print(f"{name}: status {error.returncode}\n{error.stderr[-2000:]}", file=sys.stderr)
            continue
        write(chosen.output, name, found)
        print(f"{name}: {', '.join(shown(result) for result in found)}", flush=True)
    sys.exit(f"not answered: {', '.join(failed)}" if failed else 0)


def ask(name: str) -> list[dict[str, Any]]:
    """The results of one question, each with what it took, seconds, and the machine's load before."""
    module, *arguments = QUESTIONS[name]
    load, began = round(os.getloadavg()[0], 1), time.perf_counter()  # of the machine before: what else ran
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments],
        env=child_environment(os.environ, THREADS), cwd=HERE.parent, check=True, capture_output=True, text=True,
    )  # fmt: skip
    took = round(time.perf_counter() - began, 1)
    return [{"question": name, **result, "took": took, "load": load} for result in json.loads(done.stdout)["results"]]


def write(path: Path, question: str, found: list[dict[str, Any]]) -> None:
    """Put the answers to `question` in the place of the former ones; complete at any moment."""
    earlier = json.loads(path.read_text(encoding="utf-8"))["results"] if path.exists() else []
    order = list(QUESTIONS)
    kept = [result for result in earlier if result["question"] != question and result["question"] in order]
    results = sorted([*kept, *found], key=lambda result: order.index(result["question"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), "results": results}, indent=1) + "\n", encoding="utf-8")


def shown(result: dict[str, Any]) -> str:
    """A result in a few words."""
    value = f"{result['name']} {result['ours']:.4g} {result.get('unit', '')}".rstrip()
    return f"{value} ({result['ratio']:.2f})" if "ratio" in result else value


if __name__ == "__main__":
    main()

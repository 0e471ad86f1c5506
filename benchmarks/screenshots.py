"""Pictures of the report of a real search, for the documentation: light, dark, and on a phone.

python benchmarks/screenshots.py [EXPERIMENT_DIRECTORY] [--to docs/img]

Without a directory it trains configs/demo.yaml with two seeds first. A given one is copied, and the copy is summarised.
Needs Chromium.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from browser import Browser, find  # noqa: E402
from runner.rundir.layout import ExperimentDir  # noqa: E402

LARGEST = 400_000  # bytes of a picture in the repository


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", nargs="?", type=Path)
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "img")
    options = parser.parse_args()
    program = find()
    if program is None:
        raise SystemExit("there is no Chromium here: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        directory = _copied(options.experiment, Path(folder)) if options.experiment else _trained(Path(folder))
        _run("analysis.cli", "summarize", directory, cwd=Path(folder))
        options.to.mkdir(parents=True, exist_ok=True)
        _take(program, ExperimentDir(Path(folder) / directory).report, options.to)


def _copied(experiment: Path, folder: Path) -> Path:
    """The copy, relative to `folder`: what the report then says of paths is true anywhere."""
    kept = shutil.ignore_patterns("*.pt", "analysis", "tensorboard", "logs")
    shutil.copytree(experiment, folder / "runs" / experiment.name, ignore=kept)
    return Path("runs") / experiment.name


def _trained(folder: Path) -> Path:
    shutil.copytree(ROOT / "configs", folder / "configs")
    for command in ("prepare", "submit"):
        seeds = ["--set", "matrix.seeds=[0, 1]"]
        _run("runner.cli", command, "configs/demo.yaml", *seeds, *["--wait"] * (command == "submit"), cwd=folder)
    return Path("runs") / "demo"


def _run(module: str, *arguments: str | Path, cwd: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RUNNER_ROOT": "runs"}
    subprocess.run([sys.executable, "-P", "-m", module, *map(str, arguments)], cwd=cwd, env=environment, check=True)


def _take(program: str, report: Path, folder: Path) -> None:
    browser = Browser(program)
    try:
        for name, width, height, dark, scale, first in (
            ("report-light", 1080, 1400, False, 1.0, "h1"),
            ("report-dark", 1080, 1400, True, 1.0, "figure"),
            ("report-phone", 400, 860, False, 1.5, "h1"),
        ):
            browser.show(report, width=width, height=height, dark=dark, scale=scale)
            if browser.complaints or browser.requests[1:]:
                raise SystemExit(f"{report}: {browser.complaints} {browser.requests[1:]}")
            browser.evaluate(f"document.querySelector({first!r}).scrollIntoView()")
            picture = browser.screenshot()
            if len(picture) > LARGEST:
                raise SystemExit(f"{name}.png has {len(picture):,} bytes; at most {LARGEST:,} go into the repository")
            (folder / f"{name}.png").write_bytes(picture)
            print(f"{folder / name}.png: {len(picture):,} bytes")
    finally:
        browser.close()


if __name__ == "__main__":
    main()

"""What `runner submit --wait` and `runner status --watch` show in windows of two sizes, for docs/terminal.md.

    python -m benchmarks.terminal          # a minute; needs tmux

A search over a script that only prints; one of its settings fails. What is captured is what tmux has on its screen.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.page import filled

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "terminal.md"
SIZES = ((80, 24), (160, 50))
LONGEST_S = 600.0
SCRIPT = """\
import sys, time
lr, width, seed = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for epoch in range(1, 11):
    time.sleep(0.5)
    if lr == 0.1 and seed > 0 and epoch == 4:
        sys.exit("ValueError: the loss is no number any more")
    print(f"epoch {epoch} val_acc {0.95 - 0.5 / epoch - abs(lr - 0.003) - 0.1 / width - 0.004 * seed:.4f}", flush=True)
"""
SEARCH = """\
experiment: watched
task: command
params:
  command:
    run: ["{python}", script.py, "{lr}", "{width}", "{seed}"]
    metrics: {pattern: 'epoch (?P<epoch>\\d+) val_acc (?P<val_acc>\\S+)', follow: val_acc, mode: max, epochs: 10}
matrix:
  axes: {values.lr: [0.001, 0.1, 0.003, 0.01], values.width: [32, 64]}
  seeds: [0, 1, 2]
array: {max_parallel: 4}
"""


def captured(folder: Path, size: tuple[int, int], command: str, environment: dict[str, str]) -> str:
    """The screen of a window in which `command` runs, once the first run has failed; returns when it has ended."""
    tmux = ["tmux", "-L", f"captures-{os.getpid()}"]
    window = ["-x", str(size[0]), "-y", str(size[1]), "-c", str(folder)]
    subprocess.run([*tmux, "new-session", "-d", *window, command], env=environment, check=True)
    screen, deadline = "", time.monotonic() + LONGEST_S
    while subprocess.run([*tmux, "has-session"], capture_output=True).returncode == 0:
        if time.monotonic() > deadline:
            raise SystemExit(f"{command}: has not ended after {LONGEST_S:.0f} s")
        shown = subprocess.run([*tmux, "capture-pane", "-p"], capture_output=True, text=True).stdout
        screen = screen or shown * ("✗" in shown.partition("● completed")[0])
        time.sleep(0.2)
    return screen.rstrip("\n") + "\n"


def captures(folder: Path) -> dict[str, str]:
    """Name of its place on the page → screen."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
    runner = f"{sys.executable} -P -m runner.cli"
    screens = {}
    for width, height in SIZES:
        for name, command in (
            ("wait", "submit search.yaml --cluster local --wait"),
            ("watch", "status watched --watch"),
        ):
            work = folder / f"{name}-{width}"
            work.mkdir()
            (work / "script.py").write_text(SCRIPT)
            (work / "search.yaml").write_text(SEARCH)
            if name == "watch":
                send = [*runner.split(), "submit", "search.yaml", "--cluster", "local"]
                subprocess.run(send, cwd=work, env=environment, check=True)
            screens[f"{name}_{width}"] = captured(work, (width, height), f"{runner} {command}", environment)
    return screens


def main() -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        parts = {name: f"```text\n{screen}```\n" for name, screen in captures(Path(folder)).items()}
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), parts), encoding="utf-8")


if __name__ == "__main__":
    main()

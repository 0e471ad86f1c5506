"""Every fenced command in the docs runs: page by page, in its order, in an empty folder with an empty home.

A page says where with `<!-- run: laptop -->` or `<!-- run: slurm -->`; a block of any page says why it is left out with
`<!-- not run: reason -->` in front of it. In ```console blocks lines after `$ ` are commands, the others an example of
what they print; in ```sh blocks every line is a command. Starter files are made small before they are used.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_cluster import SlurmCluster

REPOSITORY = Path(__file__).parents[2]
PAGES = (REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md")))
pytestmark = pytest.mark.timeout(3600)
_BLOCK = re.compile(r"^(?:<!-- not run: (?P<why>[^>]+) -->\n)?```(?P<kind>console|sh)\n(?P<text>.*?)^```$", re.M | re.S)
_PLACE = re.compile(r"^<!-- run: (laptop|slurm) -->$", re.M)
_SMALL = (  # of the starter files: the same search in a minute
    (r"train: \d+, val: \d+, test: \d+", "train: 24, val: 8, test: 8"),
    (r"epochs: 20", "epochs: 2"),
    (r"hidden: 64", "hidden: 16"),
    (r"batch_size: 32", "batch_size: 8"),
)


def blocks(page: Path) -> Iterator[tuple[int, str | None, str]]:
    """(line, why it is not run, its commands) of every block with commands."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        lines = found["text"].splitlines()
        if found["kind"] == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        yield text.count("\n", 0, found.start()) + 1, found["why"], "\n".join(lines)


def place(page: Path) -> str | None:
    found = _PLACE.search(page.read_text(encoding="utf-8"))
    return found[1] if found else None


def made_small(folder: Path) -> None:
    for path in (folder / "configs").glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        for pattern, small in _SMALL:
            text = re.sub(pattern, small, text)
        path.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def run_page(page: Path, folder: Path, home: Path, **variables: str) -> None:
    """Every block of `page`; AssertionError with what was printed where one fails."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RUNNER_", "PYTHON", "VIRTUAL_ENV"))}
    environment = {**kept, "HOME": str(home), "PATH": programs, "OMP_NUM_THREADS": "1", **variables}
    subprocess.run(["runner", "init"], cwd=folder, env=environment, check=True, capture_output=True)
    made_small(folder)
    for line, why, commands in blocks(page):
        if why is not None:
            print(f"{page.name}:{line}: not run: {why}")
            continue
        # a second `runner init` of the page would refuse, since its files are there already
        script = commands.replace("runner init\n", "").removesuffix("runner init")
        began = time.monotonic()
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, capture_output=True, text=True,
            timeout=900,
        )  # fmt: skip
        assert done.returncode == 0, f"{page.name}:{line}\n{script}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, f"{page.name}:{line}\n{done.stderr}"
        print(f"{page.name}:{line}: {len(script.splitlines())} lines in {time.monotonic() - began:.0f} s")


@pytest.mark.parametrize("page", [page for page in PAGES if place(page) == "laptop"], ids=lambda page: page.stem)
def test_commands_of_a_page_run_on_this_machine(page: Path, home: Path, tmp_path: Path) -> None:
    run_page(page, tmp_path, home)


@pytest.mark.parametrize("page", [page for page in PAGES if place(page) == "slurm"], ids=lambda page: page.stem)
def test_commands_of_a_page_run_on_a_real_slurm(page: Path, home: Path, tmp_path: Path, slurm: SlurmCluster) -> None:
    run_page(page, tmp_path, home, SLURM_CONF=str(slurm.conf))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_command_is_left_out_without_a_reason(page: Path) -> None:
    if place(page) is None:
        assert not [line for line, why, _ in blocks(page) if why is None], "<!-- run: … --> or <!-- not run: … -->"

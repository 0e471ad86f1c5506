"""`make wheels`: the wheel without extras in an empty environment of each Python; writes docs/platforms.md.

A search of a command task runs there on the local pool and is summarised.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.page import filled, table
from tests.sites import PAGE, REPOSITORY, compared, git, searched

SEARCH = REPOSITORY / "tests" / "data" / "site_search"


def outcome(python: str, wheel: Path, folder: Path) -> dict[str, Any]:
    """Install `wheel` into an empty environment of `python` in `folder`, search and summarise."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))}
    binaries = folder / "venv" / "bin"

    def run(*words: str | Path, where: Path = folder) -> str:
        done = subprocess.run(words, cwd=where, env=environment, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise SystemExit(f"wheels: {python}: failed: {' '.join(map(str, words))}")
        return done.stdout

    run(python, "-m", "venv", "venv")
    run(binaries / "pip", "install", "--quiet", "--constraint", REPOSITORY / "constraints.txt", wheel)
    shutil.copytree(SEARCH, folder / "search")
    run(binaries / "runner", "submit", "search.yaml", "--cluster", "local", "--wait", where=folder / "search")
    run(binaries / "analysis", "summarize", "search", where=folder / "search")
    return {
        "python": run(binaries / "python", "-c", "import platform; print(platform.python_version())").strip(),
        "packages": len(json.loads(run(binaries / "pip", "list", "--format", "json"))),
        "search": searched(folder / "search"),
    }


def main(pythons: list[str]) -> None:
    commit = git("describe", "--always").strip()
    with tempfile.TemporaryDirectory(prefix="wheels-") as name:
        folder = Path(name)
        # a copy of what is committed: building writes into the folder
        (folder / "repository").mkdir()
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=REPOSITORY, stdout=subprocess.PIPE, check=True).stdout
        subprocess.run(["tar", "-x"], cwd=folder / "repository", input=archive, check=True)
        subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder,
                        folder / "repository"], check=True)  # fmt: skip
        (wheel,) = folder.glob("*.whl")
        records = []
        for number, python in enumerate(pythons):
            (folder / str(number)).mkdir()
            records.append(outcome(python, wheel, folder / str(number)))
            print(f"wheels: {records[-1]['python']}: {len(records[-1]['search'])} runs", flush=True)
    first = records[0]["search"]
    rows = [[r["python"], commit, compared(r["search"], first), str(r["packages"])] for r in records]
    text = table(("Python", "commit", "search", "packages"), rows, 1)
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), {"wheels": text}), encoding="utf-8")
    sys.exit(any(record["search"] != first for record in records))


if __name__ == "__main__":
    main(sys.argv[1:])

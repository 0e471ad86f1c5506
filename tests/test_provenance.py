"""The code a run was made with."""

from __future__ import annotations

import subprocess
from pathlib import Path

from runner.checkout import checkout


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_checkout_has_its_commit_and_uncommitted_changes(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("a = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    (tmp_path / "code.py").write_text("a = 2\n")
    found = checkout(tmp_path)
    assert found["commit"] == git(tmp_path, "rev-parse", "HEAD")
    assert "+a = 2" in found["diff"]


def test_folder_inside_anothers_repository_has_no_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "site-packages").mkdir()
    found = checkout(tmp_path / "site-packages")
    assert found == {"path": str(tmp_path / "site-packages"), "commit": None, "diff": None}

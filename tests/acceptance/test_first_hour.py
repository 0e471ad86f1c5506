"""The first hour of a stranger without the repository: install the wheel, search over a script, rank; without torch."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest
from test_docs_commands import REPOSITORY, blocks

from test_packaging import built

LONGEST = 600  # seconds, with the installation
pytestmark = pytest.mark.timeout(1800)


def test_script_of_twenty_lines_is_searched_and_ranked_from_the_readme_alone(tmp_path: Path) -> None:
    wheel, readme = built(tmp_path), REPOSITORY / "README.md"
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    home.mkdir()
    (work / wheel.name).write_bytes(wheel.read_bytes())
    (search,) = re.findall(r"^```yaml\n(.*?)^```$", readme.read_text(encoding="utf-8"), re.M | re.S)
    (work / "search.yaml").write_text(search)
    _demo, install, over_yaml = (commands for _, _, commands in blocks(readme))
    page = [commands for _, _, commands in blocks(REPOSITORY / "docs" / "five-minutes.md")]
    script = [install, "pip install scikit-learn", "! python -c 'import torch' 2> /dev/null", *page, over_yaml]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RUNNER_", "PYTHON", "VIRTUAL_ENV"))}
    began = time.monotonic()
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(script)], cwd=work, env={**kept, "HOME": str(home)},
        capture_output=True, text=True, timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - began < LONGEST
    assert "train: 4 variants, 24 runs (24 completed)" in done.stdout
    assert "digits: 4 variants, 12 runs (12 completed)" in done.stdout

"""docs/five-minutes.md: its script runs, and the file that it shows is what `runner init --script` writes from it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from runner_main import run

PAGE = (Path(__file__).parents[2] / "docs" / "five-minutes.md").read_text(encoding="utf-8")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (text,) = re.findall(r"^cat > train.py <<'END'\n(.*?)^END$", PAGE, re.M | re.S)
    (tmp_path / "train.py").write_text(text)
    return tmp_path / "train.py"


@pytest.mark.torch  # scikit-learn comes with the extra crystal
def test_script_of_the_page_prints_the_metric(script: Path) -> None:
    done = subprocess.run([sys.executable, script, "--epochs", "2"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"(epoch \d loss \d\.\d+ val_acc 0\.\d+\n){2}", done.stdout)
    assert len(script.read_text().splitlines()) <= 20


def test_file_of_the_page_is_what_init_writes(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(script.parent)
    assert run("init", "--script", "train.py", "--metric", "val_acc").status == 0
    (shown,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.M | re.S)
    assert Path("configs/train.yaml").read_text().partition("\n")[2] == shown
    assert "12 runs (4 variants × 3 seeds)" in run("expand", "configs/train.yaml", "--root", "runs").out

"""A command runs the script that was submitted, from a copy, in the working directory that it always had."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.collect.code_version import code_version, same_code
from jobs.tasks.command.scripts import copies, pinned, script_of, why_unpinned
from runner.files import read_json
from runner.rundir.layout import ExperimentDir, RunDir
from tiny_experiment import environment, wait_until

SCRIPT = """\
import sys
from pathlib import Path
from number import NUMBER
from models.net import MORE
assert Path("data.txt").read_text() == "data"
(Path(sys.argv[1]) / "log.jsonl").write_text('{"val_mae": %s}' % (NUMBER + MORE))
"""


def folder(place: Path, script: str = SCRIPT) -> Path:
    (place / "models").mkdir()
    for name, text in {
        "train.py": script, "number.py": "NUMBER = 1\n", "data.txt": "data",
        "models/__init__.py": "", "models/net.py": "MORE = 10\n",
    }.items():  # fmt: skip
        (place / name).write_text(text)
    return place


def experiment(place: Path, run: list[str], **more: Any) -> None:
    command = {"run": run, "metrics": {"file": "log.jsonl"}}
    content = {"experiment": "e", "task": "command", "params": {"command": command}, **more}
    (place / "e.yaml").write_text(yaml.safe_dump(content))


def call(place: Path, module: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", module, *words]
    return subprocess.run(command, cwd=place, env=environment(), capture_output=True, text=True, timeout=60)


def results(place: Path, count: int) -> list[RunDir]:
    runs = ExperimentDir(place / "runs" / "e").runs
    wait_until(lambda: len(list(runs.glob("*/result.json"))) == count, 60, "the results")
    return [RunDir(path) for path in sorted(runs.iterdir())]


def test_script_edited_while_runs_wait_runs_as_it_was_submitted(tmp_path: Path) -> None:
    folder(tmp_path, "import time\ntime.sleep(1)\n" + SCRIPT)
    run = ["{python}", "train.py", "{out}", "{seed}"]
    experiment(tmp_path, run, matrix={"seeds": [0, 1]}, array={"max_parallel": 1})
    sent = call(tmp_path, "runner.cli", "submit", "e.yaml")
    assert sent.returncode == 0, sent.stderr
    for name in ("train.py", "number.py", "models/net.py"):
        (tmp_path / name).write_text("MORE = NUMBER = 5\n")
    for done in results(tmp_path, 2):
        assert read_json(done.result)["metrics"] == {"val_mae": 11}
        assert read_json(done.provenance)["script"]["pinned"] is True
    assert "no copy was kept" not in call(tmp_path, "analysis.cli", "summarize", "e", "--all").stdout


def test_script_that_needs_its_folder_runs_there_and_the_summary_says_so(tmp_path: Path) -> None:
    folder(tmp_path, SCRIPT + "print(__file__)\n")
    experiment(tmp_path, ["{python}", "{config_dir}/train.py", "{out}"])
    assert call(tmp_path, "runner.cli", "submit", "e.yaml", "--wait").returncode == 0
    (done,) = results(tmp_path, 1)
    assert read_json(done.provenance)["script"]["why"] == "train.py uses __file__, so it needs its own folder"
    assert f"{tmp_path}/train.py" in done.log(1).read_text()
    shown = call(tmp_path, "analysis.cli", "summarize", "e", "--all").stdout
    assert "no copy was kept: train.py uses __file__" in " ".join(shown.split())


@pytest.mark.parametrize(
    ("run", "key", "name"),
    [
        (["{python}", "-u", "trian.py", "{out}"], "command.run", "trian.py"),
        (["bash", "run.sh"], "command.run", "run.sh"),
        (["./run.sh"], "command.run", "run.sh"),
        (["python3", "{config_dir}/x/train.py"], "command.run", "train.py"),
    ],
)
def test_missing_script_is_a_mistake_at_submission(tmp_path: Path, run: list[str], key: str, name: str) -> None:
    experiment(folder(tmp_path), run)
    sent = call(tmp_path, "runner.cli", "submit", "e.yaml", "--dry-run")
    assert sent.returncode == 2
    assert f"{key}: no file '{name}' in {tmp_path}" in sent.stderr
    assert "e.yaml:" in sent.stderr


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("python -u -W ignore train.py x.py", 4), ("python3.11 -m models.net x.py", None), ("bash -c 'python a'", None),
        ("srun -n 2 python train.py", 4), ("mytool --out made.py", None), ("./train.py", 0), ("/opt/site/tool", None),
    ],
)  # fmt: skip
def test_script_of_a_command_line(tmp_path: Path, line: str, found: int | None) -> None:
    script = script_of(line.split(), folder(tmp_path))
    assert (script and script.at) == found


def test_what_is_copied_is_small_and_python(tmp_path: Path) -> None:
    script = folder(tmp_path) / "train.py"
    (tmp_path / "unrelated").mkdir()
    assert {Path(*Path(name).parts[2:]).as_posix() for name in copies(script)} == {
        "train.py", "number.py", "models/__init__.py", "models/net.py"
    }  # fmt: skip
    (tmp_path / "models" / "weights.bin").write_bytes(b"x" * (21 << 20))
    assert why_unpinned(script) == "train.py and the code beside it are more than 20 MiB"
    assert copies(script) == {}


def test_code_of_a_script_is_part_of_the_version_with_and_without_a_copy() -> None:
    commit = {"path": "/code", "commit": "1a2b3c4", "diff": ""}
    one, two = (
        code_version({"code": commit, "script": {"pinned": pinned, "digest": digit * 12}})
        for pinned, digit in ((True, "a"), (False, "b"))
    )
    assert one == "commit 1a2b3c4 and script aaaaaaaaaaaa"
    assert one is not None
    assert not same_code(one, two)


@pytest.mark.parametrize("edited", ["train.py", "number.py", "models/net.py"])
def test_edit_of_what_a_script_imports_changes_the_version_of_its_code(tmp_path: Path, edited: str) -> None:
    folder(tmp_path)
    run, versions = RunDir(tmp_path / "run"), []
    for _ in range(2):
        pinned(["python", "train.py"], tmp_path, run)
        versions.append(code_version(read_json(run.provenance) or {}))
        with (tmp_path / edited).open("a") as file:
            file.write("# more\n")
    assert None not in versions
    assert versions[0] != versions[1]

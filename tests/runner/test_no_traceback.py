"""What ended commands with a traceback: odd numbers, files, names, and streams that are closed or narrow."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from damaged_runs import answer, experiment
from experiment_factory import Plan, PlannedVariant, write_experiment
from runner.errors import refused_by_machine
from runner.files import append_line, write_json
from runner_main import run
from tiny_experiment import TESTS, environment

DEMO = TESTS.parent / "configs" / "demo.yaml"


@pytest.mark.parametrize(
    "text",
    [
        "params: &a\n  <<: *a\n",
        "params: &a\n  <<: [*a, {y: 1}]\n",
        "params: &a\n  data:\n    <<: *a\n",
        "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: *a{n - 1}}}\n" for n in range(1, 400)),
    ],
    ids=["itself", "itself in a list", "above itself", "long chain"],
)
def test_mapping_merged_into_itself_is_a_mistake_of_the_file(text: str, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(f"experiment: e\n{text}")
    done = run("expand", tmp_path / "e.yaml")
    assert done.status == 2
    assert "e.yaml:" in done.err
    assert "merges a mapping into itself" in done.err or "nested too deeply" in done.err


@pytest.mark.parametrize("name", ["a\0b", "\0"])
def test_nul_in_a_name_is_a_name_that_nothing_has(name: str, tmp_path: Path) -> None:
    path = write_experiment(tmp_path, Plan([PlannedVariant("2")], seeds=(0,), crystals=4))
    commands: list[tuple[str, tuple[object, ...]]] = [
        ("runner", ("status", name)), ("runner", ("logs", path, name)), ("runner", ("logs", name, ":1")),
        ("runner", ("cancel", path, "--only", name)), ("runner", ("run", DEMO, name, "--root", tmp_path)),
        ("runner", ("submit", DEMO, "--only", name, "--dry-run", "--root", tmp_path)),
        ("runner", ("resubmit", name)), ("runner", ("expand", name)), ("analysis", ("summarize", name)),
        ("analysis", ("compare", name, "2", "-e", path)), ("analysis", ("diagnose", name, "-e", path)),
    ]  # fmt: skip
    for program, arguments in commands:
        status, _, err = answer(program, *arguments)
        assert status in (1, 2), (program, arguments, err)
        assert "rror: " in err, (program, arguments, err)


@pytest.mark.parametrize("number", [1e299, -1e299, 1e18, 10**400])
@pytest.mark.parametrize(
    ("file", "keys"),
    [
        ("heartbeat.json", ["epoch", "epochs", "time", "attempt", "interval", "pid"]),
        ("metrics.jsonl", ["epoch", "time", "seconds", "val_mae"]),
        ("result.json", ["best_epoch", "epochs", "parameters", "attempts", "gpus"]),
    ],
)
def test_absurd_numbers_in_files_of_a_run(file: str, keys: list[str], number: float, tmp_path: Path) -> None:
    path = experiment(tmp_path)
    for place in path.glob(f"runs/*/{file}"):
        lines = [json.loads(line) | dict.fromkeys(keys, number) for line in place.read_text().splitlines()]
        place.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for program, arguments in (
        ("runner", ("status", path)),
        ("runner", ("failures", path)),
        ("analysis", ("summarize", path, "--no-report")),
        *([("analysis", ("summarize", path))] if number == 1e299 else []),
    ):
        status, out, err = answer(program, *arguments)
        assert status == 0, (program, arguments, err)
        assert max(map(len, out.splitlines())) < 400


def program(arguments: list[object], shell: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """`bash -c shell` where "$@" is the command."""
    command = [sys.executable, "-P", "-m", *map(str, arguments)]
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {shell}", "-", *command],
        capture_output=True, timeout=120, env={**environment(), **variables},
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment with names that ASCII lacks."""
    variants = [PlannedVariant(f"β-{number}", 0.1 + number / 1000, axes={"x": number}) for number in range(60)]
    root = tmp_path_factory.mktemp("finished")
    return write_experiment(root, Plan(variants, seeds=(0, 1), crystals=4))


COMMANDS = {
    "status": ["runner.cli", "status"],
    "status json": ["runner.cli", "status", "--format", "json"],
    "summarize": ["analysis.cli", "summarize", "--no-report"],
    "csv": ["analysis.cli", "summarize", "--no-report", "--format", "csv"],
}
SHELLS = {
    "head": '"$@" | head -n 1 >/dev/null',
    "nobody": '"$@" | true',
    "closed stdout": '"$@" >&-',
    "closed stderr": '"$@" >/dev/null 2>&-',
    "both closed": '"$@" >&- 2>&-',
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("command", COMMANDS)
def test_closed_output_ends_no_command(command: str, shell: str, finished: Path) -> None:
    done = program([*COMMANDS[command], finished], SHELLS[shell])
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_summary_is_written_although_nobody_reads_it(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, Plan([PlannedVariant("2")], seeds=(0,), crystals=4))
    assert program(["analysis.cli", "summarize", path], '"$@" | true').returncode == 0
    assert (path / "analysis" / "report.html").is_file()


def test_log_that_nobody_reads_ends(finished: Path) -> None:
    directory = finished / "runs"
    name = sorted(os.listdir(directory))[0]
    (directory / name / "logs").mkdir()
    (directory / name / "logs" / "attempt-1.log").write_text("line\n" * 100_000)
    for shell in SHELLS:
        done = program(["runner.cli", "logs", finished, name], SHELLS[shell])
        assert b"Traceback" not in done.stderr, shell
        assert b"Exception ignored" not in done.stderr, shell


@pytest.mark.parametrize(
    "variables",
    [
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
    ids=["C", "ascii", "latin-1"],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_characters_that_the_terminal_lacks_are_replaced(
    command: str, variables: dict[str, str], finished: Path
) -> None:
    done = program([*COMMANDS[command], finished], '"$@"', **variables)
    assert done.returncode == 0, done.stderr
    shown = (b"?-1", rb"\u03b2-1", "β-1".encode())  # in JSON, and where Python takes C for UTF-8
    assert any(name in done.stdout for name in shown)


@pytest.mark.parametrize("variables", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_error_with_characters_that_the_terminal_lacks(variables: dict[str, str]) -> None:
    for module in ("runner.cli", "analysis.cli"):
        done = program([module, "status" if module == "runner.cli" else "summarize", "β"], '"$@"', **variables)
        assert done.returncode in (1, 2)
        assert b"error: " in done.stderr
        assert b"Traceback" not in done.stderr


def test_directory_whose_name_is_no_unicode(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, Plan([PlannedVariant("2")], seeds=(0,), crystals=4))
    os.mkdir(os.fsencode(path) + b"/runs/\xff")
    for shell in ("table", "json"):
        status, out, err = answer("analysis", "summarize", path, "--all", "--format", shell)
        assert status == 0, err
        assert r"\udcff" in out
    assert r"\udcff" in (path / "analysis" / "summary.md").read_text()


def test_full_disk_behind_stdout_is_said(finished: Path) -> None:
    done = program(["runner.cli", "status", "--format", "json", finished], '"$@" >/dev/full')
    assert done.returncode == 1
    assert b"error: stdout: No space left on device" in done.stderr


def test_full_disk_names_the_file_that_could_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes = b"") -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: .*manifest\.json'$") as error:
        write_json(tmp_path / "manifest.json", {})
    assert refused_by_machine(error.value).message == f"{tmp_path / 'manifest.json'}: No space left on device"
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match=r"No space left on device: .*submissions\.jsonl'$"):
        append_line(tmp_path / "submissions.jsonl", "x")

"""Which code our processes import, and with which settings."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from jobs.launch import CODE_ROOT, child_environment, module_command, python_path
from runner.files import read_json
from runner.rundir.layout import RunDir
from tiny_experiment import environment, parent_command, write_run

POISON = "raise SystemExit('imported from the working directory')"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A working directory that holds packages with the names of ours."""
    folder = tmp_path / "hostile"
    for package in ("runner", "jobs", "models", "analysis"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text(POISON)
    return folder


@pytest.mark.parametrize("entries", [[], [""], [".", "/opt/lib"]])
def test_working_directory_never_hides_our_packages(tmp_path: Path, hostile: Path, entries: list[str]) -> None:
    directory = write_run(tmp_path / "exp")
    path = os.pathsep.join([python_path(os.environ), *entries])  # `export PYTHONPATH=$PYTHONPATH:` leaves such entries
    done = subprocess.run(
        parent_command(directory), cwd=hostile, env=environment(PYTHONPATH=path), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert directory.result.exists()


def test_hostile_directory_is_hostile(hostile: Path) -> None:
    without_p = [word for word in module_command("jobs.node.parent") if word != "-P"]
    done = subprocess.run(without_p, cwd=hostile, env=environment(), capture_output=True, text=True)
    assert "imported from the working directory" in done.stderr


def test_programs_that_a_task_starts_keep_their_own_path_rules() -> None:
    assert "PYTHONSAFEPATH" not in child_environment({"PYTHONSAFEPATH": "1"}, threads=1)


def test_working_directory_and_empty_entries_leave_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kept = python_path({"PYTHONPATH": f":{tmp_path}:/opt/lib:."}).split(os.pathsep)
    assert [entry for entry in kept if entry != str(CODE_ROOT)] == ["/opt/lib"]


def test_threads_come_from_the_configuration_and_not_from_the_allocation() -> None:
    changed = child_environment({"OMP_NUM_THREADS": "64"}, threads=2)
    assert {changed[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")} == {"2"}


@pytest.mark.skipif(sys.platform != "linux", reason="settings of glibc")
def test_freed_blocks_are_reused_and_the_users_own_setting_stays() -> None:
    count = (
        "import resource; block = b'x' * (100 << 20); del block;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for n in range(20): block = b'x' * ((100 << 20) + n); del block\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )

    def faults(env: dict[str, str]) -> int:
        return int(subprocess.run([sys.executable, "-c", count], env=env, capture_output=True, check=True).stdout)

    ours = child_environment(os.environ, threads=1)
    plain = {name: value for name, value in ours.items() if not name.startswith("MALLOC_")}
    assert faults(ours) * 100 < faults(plain)
    assert child_environment({"MALLOC_TOP_PAD_": "0"}, threads=1)["MALLOC_TOP_PAD_"] == "0"


def test_run_says_what_it_was_made_with_and_no_secret(tmp_path: Path) -> None:
    directory: RunDir = write_run(tmp_path / "exp")
    secrets = {"HF_TOKEN": "hf_secret", "SLURM_JWT": "jwt_secret", "RUNNER_NOTE": "http://me:pw_secret@proxy/x"}
    subprocess.run(parent_command(directory), env=environment(**secrets, MY_VARIABLE="mine"), check=True)
    provenance = read_json(directory.provenance)
    shown = read_json(directory.private)["environment"]
    assert "secret" not in str(shown)
    assert shown["RUNNER_NOTE"] == "http://…@proxy/x"
    assert shown["OMP_NUM_THREADS"] == "1"
    assert "MY_VARIABLE" not in shown
    assert bool(provenance["versions"].get("torch")) == (find_spec("torch") is not None)
    assert provenance["host"]


def test_interpreter_of_an_experiment_starts_the_run_alone(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/started\nshift\nexec {sys.executable} "$@"\n')
    image.chmod(0o755)
    directory = write_run(tmp_path / "exp", config={"interpreter": [str(image), "python"]})
    done = subprocess.run(parent_command(directory), env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = (tmp_path / "started").read_text().splitlines()
    assert line.startswith("python -P -u -m jobs.node.child ")

"""A few of the thousand wrong files of `make acceptance`, and readers that are given anything at all."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bad_configurations
from jobs.tasks.crystal.data import folder, records, table
from runner import files
from runner.config import cluster, yaml_source
from runner.config.experiment import Experiment
from runner.config.experiment_file import override
from runner.errors import UserError
from runner.rundir import manifest
from runner.rundir.layout import ExperimentDir, RunDir
from runner.rundir.run_config import read_run_config
from runner_main import run

LONGEST_S = 20
ANYTHING = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@contextlib.contextmanager
def no_longer_than(seconds: int) -> Iterator[None]:
    """TimeoutError in a block that hangs."""

    def rang(number: int, frame: Any) -> None:
        raise TimeoutError(f"hangs for more than {seconds} s")

    before = signal.signal(signal.SIGALRM, rang)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("seed", range(24))
def test_wrong_file_is_refused_without_a_traceback(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with no_longer_than(LONGEST_S):
        bad_configurations.refused(seed, tmp_path)


@pytest.mark.parametrize("name", ["é" * 300, "~nobody-has-this-name/x", "a\0b", "x" * 5000])
@pytest.mark.parametrize(
    "key",
    [
        "params.data.dataset",
        "cluster",
        pytest.param("params.text.encoder", marks=pytest.mark.torch),
        "params.train.warm_start",
    ],
)
def test_name_that_no_file_can_have_is_a_mistake(name: str, key: str, tmp_path: Path) -> None:
    config = tmp_path / "e.yaml"
    config.write_text("experiment: e\nparams: {model: {late_fusion: {name: concat}}}\n")
    said = run("submit", config, "--root", tmp_path / "root", "--dry-run", "--set", f"{key}={json.dumps(name)}")
    assert said.status == 2, said.err
    if "\0" not in name:
        assert run("status", name, "--root", tmp_path / "root").status in (1, 2)


def test_most_of_the_files_are_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert sum(bad_configurations.refused(seed, tmp_path) is not None for seed in range(1000, 1008)) >= 4


def test_hanging_is_noticed() -> None:
    with pytest.raises(TimeoutError, match="hangs"), no_longer_than(1):
        time.sleep(5)


def either(reader: Callable[[], object]) -> None:
    """Let `reader` read, or refuse with an error of the user's; nothing else."""
    with contextlib.suppress(UserError):
        reader()


@ANYTHING
@given(st.text() | st.text(alphabet="{}[]:-,'\"&*!|>#%@ \n\tab1."))
def test_any_text_is_yaml_or_refused(text: str) -> None:
    either(lambda: yaml_source.parse(text, Path("a.yaml")))
    either(lambda: cluster.parse(text, Path("site.yaml")))


@ANYTHING
@given(st.text())
def test_any_override_is_taken_or_refused(text: str) -> None:
    source = yaml_source.parse("experiment: a\nparams: {train: {epochs: 1}}", Path("a.yaml"))
    either(lambda: override(source, text, Experiment.model_fields))


@ANYTHING
@given(st.binary(max_size=200) | JSON.map(lambda value: repr(value).encode("utf-8", "replace")))
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(data)
    files.read_json(path)
    assert isinstance(files.read_mapping(path), dict)
    assert all(isinstance(record, dict) for record in files.read_json_lines(path))
    run = RunDir(tmp_path / "run")
    run.path.mkdir(exist_ok=True)
    run.config.write_bytes(data)
    either(lambda: read_run_config(run))
    directory = ExperimentDir(tmp_path)
    directory.manifest.write_bytes(data)
    directory.submission_log.write_bytes(data)
    either(lambda: manifest.read(directory))
    manifest.submissions(directory)


@pytest.mark.torch
@ANYTHING
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: f"id,structure,e\n{text}".encode()))
def test_any_table_of_crystals_is_read_or_refused(tmp_path: Path, data: bytes) -> None:
    for name in ("t.csv", "t.json", "t.jsonl", "t.csv.gz", "t.parquet"):
        (tmp_path / name).write_bytes(data)
        either(lambda name=name: table.load(tmp_path / name))  # type: ignore[misc]
    (tmp_path / "id_prop.csv").write_bytes(data)
    either(lambda: folder.load(tmp_path))


@pytest.mark.torch
@ANYTHING
@given(st.text(max_size=300))
def test_any_structure_is_read_or_refused(text: str) -> None:
    either(lambda: records.parse_text(text, "a", "t.csv"))

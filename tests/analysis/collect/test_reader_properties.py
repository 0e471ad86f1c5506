"""Readers of what other programs wrote, given anything at all, and whole files with a few bytes changed."""

from __future__ import annotations

import contextlib
import io
import json
import math
import random
import time
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.collect import reading
from analysis.collect.manifest import read_manifest
from analysis.collect.predictions import read_predictions, spread
from analysis.collect.run_record import ReadingOptions, read_run
from jobs.tasks.crystal.data import sources
from jobs.tasks.crystal.data.records import crystal_from
from jobs.tasks.crystal.data.sources import summary_of
from jobs.tasks.crystal.tools.prediction import read_structures
from jobs.tasks.sentiment.mmsa import check, load
from jobs.tasks.sentiment.teachers import from_file
from jobs.training import checkpoint
from runner.errors import CommandFailed, UserError
from runner.files import write_json
from runner.health.thresholds import DEFAULT
from runner.rundir.layout import ExperimentDir, RunDir
from runner.rundir.states import STATES, run_state

ANYTHING = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
HUGE = st.integers(min_value=10**308, max_value=10**400)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | HUGE | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
# What a log holds, under the names that readers look for, or anything
RECORD = st.dictionaries(st.sampled_from((
    "epoch", "epochs", "best_epoch", "val_mae", "train_loss", "metrics", "layers", "layer", "ratio", "gate_mean",
    "time", "attempt", "kind", "message", "ended", "run_id", "fusion", "extra", "seconds", "interval", "pid", "host",
    "machine",
)), JSON, max_size=8)  # fmt: skip
LOG = st.binary(max_size=200) | st.lists(RECORD, max_size=4).map(
    lambda records: "\n".join(map(json.dumps, records)).encode()
)
PREDICTIONS = st.text(max_size=100) | st.lists(
    st.builds("a,val,{!r},{!r}\n".format, st.floats(), st.floats()), max_size=4
).map("".join)
CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4)  # place, byte


def changed(data: bytes, changes: list[tuple[float, int]], kept: float) -> bytes:
    """`data` with some of its bytes replaced, cut off behind the share `kept`."""
    found = bytearray(data)
    for place, byte in changes:
        found[int(place * len(found))] = byte
    return bytes(found[: math.ceil(kept * len(found))])


def either(reader: Callable[[], object], *refusals: type[Exception]) -> None:
    with contextlib.suppress(UserError, *refusals):
        reader()


@ANYTHING
@given(LOG)
def test_the_newest_object_is_the_last_of_all(data: bytes) -> None:
    records, _ = reading.json_lines(data)
    newest = reading.newest_object(data)
    assert repr(newest) == repr(records[-1] if records else None)  # NaN is not equal to itself


@ANYTHING
@given(
    st.lists(st.lists(st.text(alphabet='a1.,"\n\r é', max_size=4), min_size=1, max_size=3), max_size=8),
    st.integers(1, 4),
    st.booleans(),
)
def test_the_newest_rows_are_the_last_of_all(rows: list[list[str]], newest: int, complete: bool) -> None:
    data = ("\n".join(",".join(row) for row in rows) + "\n" * complete).encode()
    every, broken = reading.table_rows(data)
    assert reading.table_rows(data, newest) == (every[-newest:], broken)


@ANYTHING
@given(st.binary(max_size=300), st.integers(1, 50))
def test_the_tail_of_a_file_is_whole_lines_of_it(tmp_path: Path, data: bytes, size: int) -> None:
    (tmp_path / "log").write_bytes(data)
    tail = reading.read_tail(tmp_path / "log", size)
    assert data.endswith(tail)
    assert len(tail) == len(data) or data[: len(data) - len(tail)].endswith(b"\n")


@ANYTHING
@given(st.binary(max_size=200) | PREDICTIONS.map(lambda rows: f"id,split,target,prediction\n{rows}".encode()))
def test_predictions_are_finite_numbers_of_one_split(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "predictions.csv").write_bytes(data)
    found = read_predictions(tmp_path / "predictions.csv", "val")
    assert len(found.ids) == len(found.targets) == len(found.predictions)
    assert all(map(math.isfinite, [*found.targets, *found.predictions]))
    spread(found)


@ANYTHING
@given(st.dictionaries(st.sampled_from((
    "result.json", "heartbeat.json", "failure.json", "metrics.jsonl", "fusion_weights.csv", "diagnostics.jsonl",
    "predictions.csv", "attempts.jsonl", "cancelled.json", "provenance.json", "config.yaml",
)), LOG))  # fmt: skip
def test_any_run_directory_has_a_state_and_a_record(tmp_path_factory: pytest.TempPathFactory, files: Any) -> None:
    run = RunDir(tmp_path_factory.mktemp("run"))
    for name, data in files.items():
        (run.path / name).write_bytes(data)
    assert run_state(run).state in STATES
    record = read_run(run, frozenset(files), {}, ReadingOptions("val_mae", "min", DEFAULT))
    json.dumps(asdict(record))


@ANYTHING
@given(LOG | st.dictionaries(st.sampled_from(("experiment", "task", "runs", "select", "axes", "baseline")), JSON).map(
    lambda content: json.dumps(content).encode()
))  # fmt: skip
def test_any_manifest_is_read_or_refused(tmp_path: Path, data: bytes) -> None:
    directory = ExperimentDir(tmp_path)
    directory.manifest.write_bytes(data)
    either(lambda: read_manifest(directory), CommandFailed)


def small_set(compressed: bool = False) -> bytes:
    numbers = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        f"{split}/{field}": values
        for split in ("train", "valid", "test")
        for field, values in {
            "id": np.array([f"{split}{n}" for n in range(3)]), "regression_labels": numbers.uniform(-3, 3, 3),
            **{name: numbers.standard_normal((3, 2, 2)) for name in ("text", "vision", "audio")},
        }.items()
    }  # fmt: skip
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


@ANYTHING
@given(CHANGES, st.floats(0.5, 1), st.booleans())
def test_a_changed_data_set_is_read_or_refused(
    tmp_path: Path, changes: list[tuple[float, int]], kept: float, compressed: bool
) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(changed(small_set(compressed), changes, kept))
    either(lambda: load(path))
    either(lambda: check(path))


HEADERS = st.fixed_dictionaries({
    "descr": st.sampled_from(("<f4", "|O", "<U0", "<U1000000000", "|S5", "<c8", "<M8[s]", "|V8", "x", [("a", "|O")])),
    "fortran_order": st.booleans() | st.integers(),
    "shape": st.lists(st.integers(-3, 10) | st.sampled_from((2**31, 2**62, 2**70)), max_size=4).map(tuple) | JSON,
})  # fmt: skip


@ANYTHING
@given(HEADERS | JSON, st.binary(max_size=60), st.sampled_from(("id", "text", "regression_labels")), st.booleans())
def test_a_forged_header_is_read_or_refused_without_much_memory(
    tmp_path: Path, header: Any, data: bytes, field: str, deflated: bool
) -> None:
    text = repr(header).encode()[:60000]
    member = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data
    path = tmp_path / "data.npz"
    path.write_bytes(small_set())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the name stands twice; the last counts
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED) as packed:
            packed.writestr(f"train/{field}.npy", member)
        tracemalloc.start()
        try:
            either(lambda: load(path))
            assert tracemalloc.get_traced_memory()[1] < 50e6
        finally:
            tracemalloc.stop()


@ANYTHING
@given(st.binary(max_size=200))
def test_any_bytes_are_a_data_set_or_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "data.npz").write_bytes(data)
    either(lambda: load(tmp_path / "data.npz"))
    (tmp_path / "teachers.npz").write_bytes(data)
    either(lambda: from_file(tmp_path / "teachers.npz", ["a"]))


@ANYTHING
@given(st.binary(max_size=200), st.sampled_from((".pkl", ".npz", "")), st.booleans())
def test_whatever_begins_as_a_pickle_is_refused(tmp_path: Path, data: bytes, suffix: str, protocol: bool) -> None:
    path = tmp_path / f"data{suffix}"
    path.write_bytes(b"\x80\x04" + data if protocol else data)
    if protocol or (suffix == ".pkl" and data[:2] != b"PK"):
        with pytest.raises(UserError, match=r"python -m jobs\.tasks\.sentiment\.convert"):
            load(path)


@ANYTHING
@given(CHANGES, st.floats(0.5, 1))
def test_changed_teachers_are_read_or_refused(tmp_path: Path, changes: list[tuple[float, int]], kept: float) -> None:
    written = io.BytesIO()
    np.savez(written, ids=np.array(["a", "b"]), vision=np.ones((2, 3)), audio=np.ones((2, 3)))
    (tmp_path / "teachers.npz").write_bytes(changed(written.getvalue(), changes, kept))
    either(lambda: from_file(tmp_path / "teachers.npz", ["b"]))


@ANYTHING
@given(CHANGES, st.floats(0.5, 1))
def test_a_changed_checkpoint_is_read_or_refused(tmp_path: Path, changes: list[tuple[float, int]], kept: float) -> None:
    checkpoint.save(tmp_path / "last.pt", {"model": {"weight": torch.ones(3)}, "progress": {"epoch": 2}})
    whole = (tmp_path / "last.pt").read_bytes()
    (tmp_path / "last.pt").write_bytes(changed(whole, changes, kept))
    warned: list[str] = []
    found = list(checkpoint.readable([tmp_path / "last.pt"], warned.append))
    assert (not found) == bool(warned)


STRUCTURE = st.fixed_dictionaries(
    {},
    optional={
        "lattice_mat": JSON | st.just([[3, 0, 0], [0, 3, 0], [0, 0, 3]]), "coords": JSON | st.just([[0, 0, 0]]),
        "elements": JSON | st.just(["Na"]), "cartesian": JSON, "sites": JSON | st.just([{"species": [{}], "abc": 1}]),
        "lattice": JSON,
    },
)  # fmt: skip
POSCAR = "NaCl\n1.0\n0 2.8 2.8\n2.8 0 2.8\n2.8 2.8 0\nNa Cl\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"
SITES = "loop_\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\nNa 0 0 0\n"
CELL = "\n".join([f"_cell_length_{x} 3" for x in "abc"] + [f"_cell_angle_{x} 90" for x in ("alpha", "beta", "gamma")])
CIF = f"made\ndata_x\n{CELL}\n{SITES}"


@ANYTHING
@given(STRUCTURE | JSON | st.text(max_size=80), st.text(max_size=5))
def test_any_structure_is_a_crystal_or_refused(structure: Any, name: str) -> None:
    either(lambda: crystal_from(name, structure, targets={}, texts={}, where="t.json"))


@ANYTHING
@given(st.sampled_from((POSCAR, CIF)), CHANGES, st.floats(0.3, 1), st.sampled_from(("x.vasp", "x.cif", "x.xyz")))
def test_a_changed_structure_file_is_read_or_refused(
    tmp_path: Path, text: str, changes: list[tuple[float, int]], kept: float, name: str
) -> None:
    (tmp_path / name).write_bytes(changed(text.encode(), changes, kept))
    read = read_structures([tmp_path / name])
    assert len(read.crystals) + len(read.unread) == 1


TABLE = b"id,structure,gap\na,x,1\nb,y,3.5\n"


@ANYTHING
@given(
    st.binary(max_size=200) | st.builds(changed, st.just(TABLE), CHANGES, st.floats(0.3, 1))
    | st.lists(st.dictionaries(st.sampled_from(("id", "structure", "gap", "split")), JSON), max_size=3).map(
        lambda rows: json.dumps(rows).encode()
    ),
    st.sampled_from(("t.csv", "t.json", "t.jsonl", "t.json.gz", "t.parquet", "d/id_prop.csv", "d/description.csv")),
)  # fmt: skip
def test_any_table_is_read_or_refused(tmp_path: Path, data: bytes, name: str) -> None:
    (tmp_path / "d").mkdir(exist_ok=True)
    (tmp_path / "d" / "id_prop.csv").write_text("a,1\n")
    (tmp_path / name).write_bytes(data)
    path = str(tmp_path / ("d" if name.startswith("d/") else name))
    either(lambda: summary_of(path))
    either(lambda: sources.load(path, "gap"))


def test_a_thousand_changes_of_a_data_set_leave_nothing_behind(tmp_path: Path) -> None:
    """Beyond what hypothesis tries: single bytes, everywhere, within seconds."""
    whole, chance = small_set(), random.Random(0)
    began = time.monotonic()
    for _ in range(1000):
        path = tmp_path / "data.npz"
        path.write_bytes(changed(whole, [(chance.random(), chance.randrange(256))], 1))
        either(lambda path=path: load(path))  # type: ignore[misc]
    assert time.monotonic() - began < 60
    assert [entry.name for entry in tmp_path.iterdir()] == ["data.npz"]


def test_what_is_written_is_what_the_readers_find(tmp_path: Path) -> None:
    """That the readers above do not merely refuse everything."""
    (tmp_path / "data.npz").write_bytes(small_set())
    assert load(tmp_path / "data.npz").splits["train"].ids == ["train0", "train1", "train2"]
    run = RunDir(tmp_path / "run")
    write_json(run.result, {"run_id": "run", "metrics": {"val_mae": 0.5}, "best_epoch": 10**400})
    found = read_run(run, frozenset({"result.json"}), {}, ReadingOptions("val_mae", "min", DEFAULT))
    assert (found.completed, found.result.metrics, found.result.best_epoch) == (True, {"val_mae": 0.5}, None)

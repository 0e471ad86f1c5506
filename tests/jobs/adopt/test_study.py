"""An Optuna study, recorded with Optuna itself (tests/data/optuna/record.py), and files that only look like one."""

from __future__ import annotations

import math
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from jobs.adopt.schema import StudyParams
from jobs.adopt.study import Study, read_study

RECORDED = Path(__file__).parents[2] / "data" / "optuna" / "study.db"


def read(path: Path = RECORDED, **params: Any) -> Study:
    return read_study(StudyParams(storage=str(path), **{"study": "fusion", **params}))


def changed(tmp_path: Path, *statements: str) -> Path:
    path = tmp_path / "study.db"
    shutil.copy(RECORDED, path)
    with sqlite3.connect(path) as database:
        for statement in statements:
            database.execute(statement)
    return path


def test_trials_have_their_parameters_values_and_states() -> None:
    study = read()
    assert study.mode == "min"
    assert [trial.state for trial in study.trials[:6]] == ["COMPLETE"] * 3 + ["FAIL", "COMPLETE", "PRUNED"]
    assert study.trials[-1].state == "WAITING"
    second = study.trials[1]
    assert second.params == {"learning_rate": 0.0019578897201213002, "layers": 2, "late_fusion": "tucker", "rank": 26}
    assert "rank" not in study.trials[0].params  # conditional
    assert study.trials[6].params["late_fusion"] is None  # one of the choices
    assert len(second.reported) == 6
    assert second.value == second.reported[5]
    assert second.seconds == pytest.approx(0.41, abs=0.01)


def test_nothing_is_written_beside_the_file(tmp_path: Path) -> None:
    path = changed(tmp_path)
    path.chmod(0o444)
    before = path.read_bytes()
    assert len(read(path).trials) == 15
    assert [entry.name for entry in tmp_path.iterdir()] == ["study.db"]
    assert path.read_bytes() == before


def test_several_studies_want_a_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="several studies; name one: empty, fusion"):
        read(study=None)
    with pytest.raises(ValueError, match="no study 'fusoin': empty, fusion"):
        read(study="fusoin")
    assert len(read(changed(tmp_path, "DELETE FROM studies WHERE study_name = 'empty'"), study=None).trials) == 15


def test_one_of_several_objectives_is_chosen() -> None:
    assert read(study="empty", objective=1).mode == "max"
    with pytest.raises(ValueError, match="fusion has no objective 1"):
        read(objective=1)


def test_values_that_are_not_finite_are_read_as_such(tmp_path: Path) -> None:
    study = read(changed(
        tmp_path, "UPDATE trial_intermediate_values SET intermediate_value = NULL, intermediate_value_type = 'NAN'",
        "UPDATE trial_values SET value = NULL, value_type = 'INF_POS'",
    ))  # fmt: skip
    assert all(math.isnan(value) for value in study.trials[0].reported.values())
    assert study.trials[0].value == math.inf


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE trial_params SET distribution_json = '[]'",
        "UPDATE trial_params SET param_value = 99 WHERE param_name = 'late_fusion'",
        "UPDATE trial_params SET param_value = 'nine'",
        "UPDATE trials SET number = 'first'",
        "UPDATE trials SET number = NULL",
        "UPDATE trial_intermediate_values SET step = 'last' WHERE step = 2",
        "ALTER TABLE trial_values RENAME TO trial_results",
        "ALTER TABLE trials DROP COLUMN datetime_start",
    ],
)
def test_a_damaged_study_is_one_sentence(tmp_path: Path, statement: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(changed(tmp_path, statement))


def test_a_view_in_place_of_a_table_is_not_evaluated(tmp_path: Path) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS trial_id FROM n"
    path = changed(tmp_path, "ALTER TABLE trial_values RENAME TO others", f"CREATE VIEW trial_values AS {endless}")
    with pytest.raises(ValueError, match="no table trial_values"):
        read(path)


def test_what_is_no_sqlite_file_or_no_file_is_said(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("no database, but long enough to look at " * 100)
    with pytest.raises(ValueError, match="cannot be read as the SQLite file of a study"):
        read(text)
    with pytest.raises(OSError, match="No such file"):
        read(tmp_path / "missing.db")


def test_changes_that_a_journal_still_holds_are_said(tmp_path: Path) -> None:
    path = changed(tmp_path)
    path.with_name("study.db-wal").write_bytes(b"x")
    assert read(path).notes == [f"{path}-wal holds changes that are not in study.db yet"]

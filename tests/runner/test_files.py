"""Files that are whole or absent, and readers that survive what is neither."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.files import (
    append_json,
    append_line,
    read_json,
    read_json_lines,
    read_mapping,
    replacing,
    write_json,
    write_text,
)  # fmt: skip

each = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_a_failure_while_writing_leaves_the_old_content_and_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_text(path, "old")
    with pytest.raises(RuntimeError, match="in the middle"), replacing(path) as beside:  # noqa: PT012
        beside.write_text("half")
        raise RuntimeError("in the middle")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_new_files_follow_the_users_umask(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "x")
    (tmp_path / "b").touch()
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE((tmp_path / "b").stat().st_mode)


def test_numbers_that_json_lacks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float values"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"9" * 5000, b'{"a": 1} x'])
def test_what_is_not_json_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    assert read_json(tmp_path / "a.json") is None
    assert read_mapping(tmp_path / "a.json") == {}


def test_what_is_missing_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert read_json(tmp_path / "absent.json") is None
    assert read_json(tmp_path / "file" / "below.json") is None
    assert read_json_lines(tmp_path / "absent.jsonl") == []


def test_a_line_after_a_half_line_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append_json(path, {"n": 1})
    with path.open("a") as log:
        log.write('{"n": 2')
    append_json(path, {"n": 3})
    assert read_json_lines(path) == [{"n": 1}, {"n": 3}]


def test_lines_appended_by_several_processes_at_once_are_all_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    children = []
    for name in "abc":
        child = os.fork()
        if child == 0:
            for _ in range(200):
                append_line(path, name * 500)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    lines = [line for line in path.read_text().splitlines() if line]  # an empty one may follow a line under way
    assert sorted(lines) == sorted([name * 500 for name in "abc"] * 200)


LINES = st.dictionaries(st.text(), st.integers()).map(lambda record: json.dumps(record).encode())


@each
@given(st.binary())
def test_any_bytes_give_json_objects(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "any.jsonl").write_bytes(content)
    assert all(isinstance(record, dict) for record in read_json_lines(tmp_path / "any.jsonl"))


@each
@given(
    st.lists(LINES), st.lists(st.sampled_from([b"", b"{", b"[1]", b"\xff", b'{"a": 1', b"null", b"{}}"])), st.randoms()
)
def test_whole_lines_are_found_among_damaged_ones(
    tmp_path: Path, whole: list[bytes], damaged: list[bytes], random: Random
) -> None:
    lines = [*whole, *damaged]
    random.shuffle(lines)
    (tmp_path / "some.jsonl").write_bytes(b"\n".join(lines))
    found = sorted(json.dumps(record, sort_keys=True) for record in read_json_lines(tmp_path / "some.jsonl"))
    assert found == sorted(json.dumps(json.loads(line), sort_keys=True) for line in whole)


@each
@given(st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.booleans())))
def test_what_is_written_is_read(tmp_path: Path, value: dict[str, object]) -> None:
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value

"""YAML files: which values they give, where their keys stand, what is refused and in which words."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.config.yaml_source import Source, dotted, parse, read
from runner.errors import ConfigError, UserError

HERE = Path("e.yaml")


def value(text: str) -> Any:
    return parse(f"x: {text}", HERE).value["x"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-3", 0.001), ("2E5", 2e5), ("1.", 1.0), (".5", 0.5), ("-1_000", -1000), ("0x1F", 31), ("0", 0),
        ("1:30:00", "1:30:00"), ("01:30", "01:30"), ("1-00:00:00", "1-00:00:00"), ("010", "010"), ("._", "._"),
        ("no", "no"), ("on", "on"), ("true", True), ("False", False), ("~", None), ("null", None), ("", None),
        ("2024-05-01", "2024-05-01"), ("[1, [2]]", [1, [2]]), ("{a: 1}", {"a": 1}), ("'1'", "1"), ("5%", "5%"),
        ("!!str 5", "5"),
    ],
)  # fmt: skip
def test_scalars_are_what_people_of_the_field_write(text: str, expected: Any) -> None:
    assert value(text) == expected
    assert type(value(text)) is type(expected)


def test_empty_file_holds_no_keys() -> None:
    assert parse("", HERE).value == parse("# nothing\n", HERE).value == {}


def test_keys_are_text_and_their_lines_are_kept() -> None:
    source = parse("a: 1\nb:\n  1: x\n  list:\n  - {c: 2}\n  - 3\n", HERE)
    assert source.value == {"a": 1, "b": {"1": "x", "list": [{"c": 2}, 3]}}
    lines = {dotted(key): source.line(key) for key in source.lines if key}
    assert lines == {"a": 1, "b": 2, "b.1": 3, "b.list": 4, "b.list[0]": 5, "b.list[0].c": 5, "b.list[1]": 6}


def test_line_of_an_absent_key_is_that_of_what_encloses_it() -> None:
    source = parse("a: 1\nb:\n  c: {}\n", HERE)
    assert source.line(("b", "c", "absent", 3)) == 3
    assert source.line(("absent",)) == 1


def test_merged_mappings_keep_their_own_lines() -> None:
    source = parse("base: &b {x: 1, y: 2}\none:\n  <<: *b\n  y: 3\ntwo:\n  <<: [*b, {z: 4}]\n", HERE)
    assert source.value["one"] == {"x": 1, "y": 3}
    assert source.value["two"] == {"x": 1, "y": 2, "z": 4}
    assert (source.line(("one", "y")), source.line(("one", "x"))) == (4, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", r"e\.yaml:3: a: this key stands twice, first in line 1"),
        ("a: {b: 1, b: 2}", r"e\.yaml:1: a\.b: this key stands twice"),
        ("a: !!python/object:os.system x", r"e\.yaml:1: a: the tag !!python/object:os\.system is not allowed"),
        ("a:\n- !mine 3", r"e\.yaml:2: a\[0\]: the tag !mine is not allowed; write plain values"),
        ("a: !!int abc", r"e\.yaml:1: a: 'abc' is no !!int"),
        ("a: !!int ''", r"a: '' is no !!int"),
        ("a: .inf", r"e\.yaml:1: a: \.inf is not a finite number"),
        ("a: .NaN", r"a: \.NaN is not a finite number"),
        ("a: 1e999", r"a: 1e999 is not a finite number"),
        ("a: 99999999999999999999", r"a: 99999999999999999999 is too large a number"),
        ("a: 0x" + "f" * 5000, r"a: 0xf+ is too large a number"),
        (r'a: "\ud800"', r"a: '\\ud800' is not Unicode text"),
        ("? [1, 2]\n: 3", r"e\.yaml:1: a key must be plain text"),
        ("<<: 3", r"e\.yaml:1: '<<' merges mappings only"),
        ("- 1\n- 2", r"e\.yaml:1: holds a list, not keys with values"),
        ("just text", r"e\.yaml:1: holds only the value 'just text', not keys with values"),
        ("a: [1,\n  2", r"e\.yaml:2: not valid YAML: .*, while parsing a flow sequence that begins in line 1"),
        ("a: b: c", r"e\.yaml:1: not valid YAML: mapping values are not allowed here; .*must stand in quotes"),
        ("a:\n\t- 1", r"e\.yaml:2: not valid YAML: .*cannot start any token; indent with spaces"),
        ("a: *b", r"e\.yaml:1: not valid YAML: found undefined alias 'b'; .* must stand in quotes"),
        ("a: 'x", r"e\.yaml:1: not valid YAML: .*is a quotation mark not closed\?"),
        ("a: [{", r"is a bracket not closed\?"),
        ("---\na: 1\n---\nb: 2", r"e\.yaml:3: not valid YAML: found another document"),
        ("a: 1\nb: \x00", r"e\.yaml:2: not valid YAML: the character '\\x00' is not allowed"),
        (r'a: "\UFFFFFFFF"', r"e\.yaml: not valid YAML"),
        ("[" * 5000, r"e\.yaml: not valid YAML: nested too deeply"),
    ],
)
def test_what_is_refused_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(text, HERE)


@pytest.mark.parametrize("text", ["a: &a [*a, *a, *a]", "a: &a {b: *a}", "a: " + "{b: " * 70 + "1" + "}" * 70])
def test_endless_and_deep_values_are_one_mistake(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^1 mistake.*\n.*too large or nested too deeply") as caught:
        parse(text, HERE)
    assert len(caught.value.problems) == 1


def test_aliases_that_multiply_are_refused_before_memory_ends() -> None:
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(ConfigError, match="too large"):
        parse("\n".join(lines), HERE)


def test_all_mistakes_of_a_file_are_reported_in_the_order_of_lines() -> None:
    with pytest.raises(ConfigError, match="3 mistakes") as caught:
        parse("a: !x 1\nb: .inf\na: 2\n", HERE)
    assert [problem.line for problem in caught.value.problems] == [1, 2, 3]


def test_lenient_reading_keeps_what_is_right_beside_the_mistakes() -> None:
    source = parse("a: 1\nb: !x 2\na: 3\n", HERE, strict=False)
    assert source.value == {"a": 1, "b": None}
    assert len(source.mistakes) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "stagee1.yaml",
            r"stagee1\.yaml: no such file\n    there: stage1\.yaml\n    did you mean: .*stage1\.yaml\n"
            "  next: runner init",
        ),
        ("absent/x.yaml", r"absent/x\.yaml: no such file\n  next: runner init"),
        (".", "is a directory, not a YAML file"),
        ("folder/latin.yaml", r"latin\.yaml: is not UTF-8 text \(byte 6\)"),
        ("a\0b.yaml", "cannot be read"),
    ],
)
def test_what_is_no_yaml_file_is_said_with_what_was_meant(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "stage1.yaml").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "latin.yaml").write_bytes(b"a: caf\xe9\n")
    with pytest.raises(UserError, match=message):
        read(tmp_path / name)


def _plain(found: Any) -> bool:
    if isinstance(found, dict):
        return all(isinstance(key, str) and _plain(item) for key, item in found.items())
    if isinstance(found, list):
        return all(map(_plain, found))
    if isinstance(found, float):
        return math.isfinite(found)
    return found is None or isinstance(found, (bool, int, str))


YAML_LIKE = st.text(st.sampled_from("ab01:.-_+eE~?{}[],&*!|>'\"%@`#<= \n\t\\xUu\x00\ud800\x85é"))


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(), YAML_LIKE))
def test_any_text_gives_plain_values_or_a_users_error(text: str) -> None:
    try:
        source = parse(text, HERE)
    except UserError:
        return
    assert isinstance(source, Source)
    assert isinstance(source.value, dict)
    assert _plain(source.value)
    assert all(1 <= line <= len(text.splitlines()) + 1 for line in source.lines.values())

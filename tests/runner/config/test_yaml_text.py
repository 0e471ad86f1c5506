"""What is written as YAML is read as it was, by our reader and by YAML 1.1's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.config.yaml_output import dump
from runner.config.yaml_source import parse

PLAIN = st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(PLAIN) | st.text("0123456789.eE+-_:xob~nulyfas<=", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(PLAIN, min_size=1), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_both_readers_give_what_was_written(value: Any) -> None:
    text = dump({"value": value})
    assert parse(text, Path("e.yaml")).value["value"] == value
    assert yaml.safe_load(text)["value"] == value


@pytest.mark.parametrize(
    "text", ["1e5", "12e4567", "no", "1:30:00", "0o7", "010", "~", "null", "2024-05-01", "<<", "=", ""]
)
def test_text_that_looks_like_something_else_stays_text(text: str) -> None:
    written = dump({"x": text})
    assert parse(written, Path("e.yaml")).value["x"] == yaml.safe_load(written)["x"] == text


def test_equal_parts_are_written_out_and_keys_keep_their_order() -> None:
    part = [1, 2]
    assert dump({"b": part, "a": part}) == "b:\n- 1\n- 2\na:\n- 1\n- 2\n"

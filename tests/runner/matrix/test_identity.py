"""When two runs are the same run, and what variants and runs are called."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from runner.matrix.run_id import (
    as_json,
    axis_names,
    canonical_json,
    digest,
    identity,
    plain,
    run_id,
    short_form,
    slug,
    value_label,
    variant_label,
)  # fmt: skip

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


class Inner(BaseModel):
    a: int = 1
    speed: int = Field(8, json_schema_extra={"identity": False})  # cannot change a result
    late: str = Field("none", json_schema_extra={"neutral": "none"})  # was added later


class Params(BaseModel):
    x: float = 0.5
    y: None = None
    inner: Inner = Inner()
    several: list[Inner] = []
    names: dict[str, Inner] = {}


def test_fields_that_cannot_change_a_result_take_no_part_at_any_depth() -> None:
    one = Params(several=[Inner(speed=1)], names={"n": Inner(speed=2)}, inner=Inner(speed=3))
    assert identity(one) == {"x": 0.5, "y": None, "inner": {"a": 1}, "several": [{"a": 1}], "names": {"n": {"a": 1}}}


def test_a_field_that_was_added_later_takes_part_only_away_from_its_neutral_value() -> None:
    assert identity(Params(inner=Inner(late="yes")))["inner"] == {"a": 1, "late": "yes"}


def test_models_without_marks_are_their_json_form() -> None:
    class Unmarked(BaseModel):
        a: tuple[int, ...] = (1, 2)

    assert plain(Unmarked)
    assert not plain(Params)
    assert identity(Unmarked()) == {"a": [1, 2]}


def test_numbers_that_json_lacks_become_text() -> None:
    values = as_json({"x": -float("inf"), "y": [float("nan")]})
    assert values == {"x": "-inf", "y": ["nan"]}
    assert Params.model_validate(values | {"y": None}).x == -float("inf")


@given(JSON)
def test_canonical_json_does_not_depend_on_the_order_of_keys(value: Any) -> None:
    def reverse(found: Any) -> Any:
        if isinstance(found, dict):
            return {key: reverse(found[key]) for key in reversed(list(found))}
        return [reverse(item) for item in found] if isinstance(found, list) else found

    assert canonical_json(value) == canonical_json(reverse(value))


def test_hash_differs_by_task_and_by_section() -> None:
    hashes = {digest("a", ['"x":1']), digest("b", ['"x":1']), digest("a", ['"x":2']), digest("a", ['"y":1'])}
    assert len(hashes) == 4
    assert all(re.fullmatch("[0-9a-f]{64}", found) for found in hashes)


def test_the_order_of_a_set_does_not_reach_the_hash() -> None:
    code = (
        "from pydantic import BaseModel\nfrom runner.matrix.run_id import canonical_json, identity\n"
        "class P(BaseModel):\n    tags: set[str] = {'alpha', 'beta', 'gamma', 'delta', 'epsilon'}\n"
        "print(canonical_json(identity(P())))"
    )
    seen = set()
    for seed in ("1", "2", "3"):
        done = subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        seen.add(done.stdout)
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ([2, 3], "2,3"), (0.001, "0.001"), (True, "true"), (None, "null"), ("shell", "shell"),
        ({"name": "none"}, "none"), ({"name": "dynamic", "layers": [1, 2]}, "dynamic+layers:1,2"), ({"a": 1}, "a:1"),
    ],
)  # fmt: skip
def test_values_are_labelled_as_people_write_them(value: Any, label: str) -> None:
    assert value_label(value) == label


def test_axes_are_named_by_the_shortest_end_that_tells_them_apart() -> None:
    keys = [
        "model.middle_fusion.layers",
        "model.late_fusion.name",
        "model.middle_fusion.name",
        "train.epochs",
        "epochs",
    ]
    assert list(axis_names(keys).values()) == [
        "layers", "late_fusion.name", "middle_fusion.name", "train.epochs", "epochs",
    ]  # fmt: skip


def test_variants_are_called_after_their_values() -> None:
    names = {"train.learning_rate": "learning_rate", "model.middle_fusion.layers": "layers"}
    point = {"model.middle_fusion.layers": [2, 3], "train.learning_rate": 0.001}
    assert variant_label(point, names) == "layers=2,3 learning_rate=0.001"
    assert short_form(point) == "2,3 0.001"
    assert variant_label({}, {}) == "base"


@given(st.text(), st.integers(0, 2**32 - 1))
def test_run_ids_are_safe_directory_names_for_any_variant(variant: str, seed: int) -> None:
    name = run_id(slug(variant), seed, "0123456789abcdef")
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name)
    assert len(name) < 128
    assert name.endswith(f"-s{seed}-01234567")

"""From the matrix of an experiment file to its points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.config.experiment import Matrix
from runner.config.experiment_file import load
from runner.config.yaml_source import parse
from runner.errors import ConfigError, Problem
from runner.matrix.points import MOST_RUNS, Point, axis_keys, matches, points


def expand(text: str) -> tuple[list[Point], list[Problem]]:
    source = parse(text, Path("e.yaml"))
    return points(Matrix.model_validate(source.value.get("matrix", {})), source)


def overrides(text: str) -> list[dict[str, Any]]:
    found, problems = expand(text)
    assert not problems
    return [point.overrides for point in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", [{}]),  # shared parameters alone
        (  # the last axis fastest
            "matrix: {axes: {a: [1, 2], b: [x, [3]]}}",
            [{"a": 1, "b": "x"}, {"a": 1, "b": [3]}, {"a": 2, "b": "x"}, {"a": 2, "b": [3]}],
        ),
        (  # zipped axes advance together and multiply with the others
            "matrix: {axes: {a: [1, 2]}, zip: [{b: [3, 4], c: [5, 5]}, {d: [6]}]}",
            [{"a": a, "b": b, "c": 5, "d": 6} for a in (1, 2) for b in (3, 4)],
        ),
        (  # exclude removes what matches all keys of an entry
            "matrix: {axes: {a: [1, 2], b: [[1], [2]]}, exclude: [{a: 1, b: [2]}, {a: 2}]}",
            [{"a": 1, "b": [1]}],
        ),
        (  # within a zip
            "matrix: {zip: [{a: [1, 2, 3], b: [x, y, x]}], exclude: [{b: x, a: 3}]}",
            [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}],
        ),
        ("matrix: {named: {one: {a: 1}}}", [{"a": 1}]),  # hand-picked points add none of shared parameters
    ],
)
def test_points_of_a_matrix(text: str, expected: list[dict[str, Any]]) -> None:
    assert overrides(text) == expected


def test_include_and_named_are_added_after_exclude() -> None:
    text = "matrix: {axes: {a: [1, 2]}, exclude: [{a: 2}], include: [{a: 2, z: 9}], named: {best: {b: 3}}}"
    found, _ = expand(text)
    assert [(point.name, point.overrides) for point in found] == [
        (None, {"a": 1}), (None, {"a": 2, "z": 9}), ("best", {"b": 3})
    ]  # fmt: skip


def test_every_point_knows_where_the_file_sets_its_keys() -> None:
    found, _ = expand("matrix: {axes: {a: [1]}, zip: [{b: [2], c: [3]}], include: [{a: 2}], named: {n: {a: 3}}}")
    assert [point.origins for point in found] == [
        (("matrix", "axes", "a", 0), ("matrix", "zip", 0, "b", 0), ("matrix", "zip", 0, "c", 0)),
        (("matrix", "include", 0, "a"),),
        (("matrix", "named", "n", "a"),),
    ]


def test_axis_keys_are_listed_once_in_the_order_of_the_file() -> None:
    source = parse("{axes: {b: [1]}, zip: [{a: [1]}], include: [{c: 1, b: 2}], named: {n: {d: 1}}}", Path("e.yaml"))
    assert axis_keys(Matrix.model_validate(source.value)) == ["b", "a", "c", "d"]


def test_values_match_as_json_does() -> None:
    point = Point({"a": {"x": 1, "y": [2]}, "b": 1}, ())
    assert matches(point, {"a": {"y": [2], "x": 1}})
    assert not matches(point, {"b": True})
    assert not matches(point, {"b": 1, "c": 1})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("matrix:\n  zip:\n  - {a: [1, 2], b: [1]}", "e.yaml:3: matrix.zip[0]: axes that advance together differ in "
         "length (a: 2, b: 1)"),
        ("matrix:\n  axes: {a: [1]}\n  zip:\n  - {a: [1, 2]}", "e.yaml:4: matrix.zip[0].a: is an axis already"),
        ("matrix:\n  axes:\n    m: [{name: x}]\n    m.name: [x, y]", "e.yaml:4: matrix.axes.m.name: lies below the "
         "axis m, so the two would set the same section\n    allowed: name in each mapping of m, or m.name as an axis "
         "instead of it"),
        ("matrix:\n  axes: {m: [{}]}\n  zip:\n  - {m.k: [1], o: [1]}", "e.yaml:4: matrix.zip[0].m.k: lies below the "
         "axis m, so the two would set the same section\n    allowed: k in each mapping of m, or m.name as an axis "
         "instead of it"),
        ("matrix:\n  zip:\n  - {}", "e.yaml:3: matrix.zip[0]: has no axis"),
        ("matrix:\n  axes:\n    a: []", "e.yaml:3: matrix.axes.a: has no values"),
        ("matrix:\n  axes:\n    a:\n    - [1, 2]\n    - 3\n    - [1, 2]", "e.yaml:6: matrix.axes.a[2]: the value [1,2] "
         "stands twice"),
        ("matrix:\n  axes: {a: [1]}\n  seeds: [0, 1, 0]", "e.yaml:3: matrix.seeds: the seed 0 stands twice"),
        ("matrix:\n  axes: {alpha: [1]}\n  exclude:\n  - {alpah: 1}", "e.yaml:4: matrix.exclude[0].alpah: is no axis, "
         "so it can exclude nothing\n    allowed: alpha\n    did you mean: alpha"),
        ("matrix:\n  exclude:\n  - {a: 1}", "e.yaml:3: matrix.exclude[0].a: is no axis, so it can exclude nothing\n"
         "    allowed: no axes"),
        ("matrix:\n  axes: {a: [1, 2]}\n  exclude:\n  - {a: 3}", 'e.yaml:4: matrix.exclude[0]: matches no point '
         '({"a":3}), so it excludes nothing\n    allowed: values that stand in the axes'),
        ("matrix:\n  axes: {a: [1, 2]}\n  exclude:\n  - {}", "e.yaml:4: matrix.exclude[0]: is empty, so it would "
         "exclude every point"),
        ("matrix:\n  axes: {a: [1]}\n  exclude: [{a: 1}]", "e.yaml:1: matrix: describes no variant: exclude removes "
         "every point"),
    ],
)  # fmt: skip
def test_mistakes_of_a_matrix(text: str, expected: str) -> None:
    assert [str(problem) for problem in expand(text)[1]] == [expected]


def test_points_that_are_right_are_given_beside_the_mistakes() -> None:
    found, problems = expand("matrix: {axes: {a: [1, 2], b: []}, zip: [{}, {c: [3, 4], d: [5]}], seeds: [0, 0]}")
    assert [point.overrides for point in found] == [{"a": 1, "c": 3, "d": 5}, {"a": 2, "c": 3, "d": 5}]
    assert len(problems) == 4


def test_a_matrix_without_end_is_refused_before_it_is_made() -> None:
    axes = ", ".join(f"k{n}: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]" for n in range(12))
    found, problems = expand(f"matrix: {{axes: {{{axes}}}}}")
    assert not found
    assert [str(p) for p in problems] == [
        f"e.yaml:1: matrix: describes 1,000,000,000,000 runs\n    allowed: {MOST_RUNS:,} at most"
    ]


RANDOM = """\
matrix:
  random:
    count: %d
    axes:
      rate: {log_uniform: [1e-4, 1e-2]}
      dropout: {uniform: [0, 0.3]}
      layers: {integer: [1, 4]}
      norm: {choice: [batch, layer]}
"""


def test_drawn_points_lie_in_their_bounds_and_are_short() -> None:
    found = overrides(RANDOM % 200)
    assert len(found) == 200
    assert all(1e-4 <= its["rate"] <= 1e-2 and 0 <= its["dropout"] <= 0.3 for its in found)
    assert all(float(f"{its[key]:.3g}") == its[key] for its in found for key in ("rate", "dropout"))
    assert {its["layers"] for its in found} == {1, 2, 3, 4}
    assert {its["norm"] for its in found} == {"batch", "layer"}
    below = sum(its["rate"] < 1e-3 for its in found)  # half of them, by their logarithms
    assert 80 < below < 120


def test_larger_count_another_axis_and_a_restart_keep_what_was_drawn() -> None:
    few, many = overrides(RANDOM % 5), overrides(RANDOM % 9)
    assert many[:5] == few
    assert few[0]["rate"] == 0.000457
    more = overrides(RANDOM % 5 + "      width: {integer: [1, 99]}\n")
    assert [{key: its[key] for key in few[0]} for its in more] == few
    assert overrides((RANDOM % 5).replace("count", "seed: 1\n    count")) != few


def test_drawn_points_multiply_with_the_axes_and_no_point_is_drawn_twice() -> None:
    found = overrides("matrix: {axes: {a: [1, 2]}, random: {count: 3, axes: {b: {integer: [1, 3]}}}}")
    assert sorted((its["a"], its["b"]) for its in found) == [(a, b) for a in (1, 2) for b in (1, 2, 3)]


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ("{b: {integer: [1, 3]}}", "e.yaml:4: matrix.random.count: asks for 9 points, but the axes have only 3 that "
         "differ\n    allowed: 1 to 3"),
        ("{a: {uniform: [1, 3]}}", "e.yaml:5: matrix.random.axes.a: is an axis already"),
    ],
)  # fmt: skip
def test_mistakes_of_random_axes(axes: str, expected: str) -> None:
    text = f"matrix:\n  axes: {{a: [1]}}\n  random:\n    count: 9\n    axes: {axes}"
    assert [str(problem) for problem in expand(text)[1]] == [expected]


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        ("{log_uniform: [0, 1]}", r"found log_uniform \[0.0, 1.0\]; write two positive numbers, the smaller one first"),
        ("{integer: [3, 3]}", r"found integer \[3, 3\]; write two numbers, the smaller one first"),
        ("{}", r"found nothing; write one of uniform, log_uniform, integer, choice"),
        ("{uniform: [0, 1], choice: [2]}", r"found uniform and choice; write one of"),
        ("{unifrom: [0, 1]}", r"axes.a.unifrom: unknown key\n.*\n.*did you mean: uniform"),
    ],
)
def test_a_draw_that_makes_no_sense_is_said_with_its_line(tmp_path: Path, draw: str, expected: str) -> None:
    path = tmp_path / "e.yaml"
    path.write_text(f"experiment: e\nmatrix:\n  random:\n    count: 2\n    axes:\n      a: {draw}\n")
    with pytest.raises(
        ConfigError, match=rf"e.yaml:6: matrix.random.axes.a.*{expected}|e.yaml:6: matrix.random.{expected}"
    ):
        load(path)


def test_random_axes_are_set_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_text("experiment: e\n" + RANDOM % 5)
    file = load(path, ["matrix.random.count=7", "matrix.random.axes.train.rate={uniform: [0, 1]}"])
    found, problems = points(file.experiment.matrix, file.source)
    assert not problems
    assert len(found) == 7
    assert "train.rate" in found[0].overrides

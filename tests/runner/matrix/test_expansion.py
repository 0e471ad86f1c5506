"""From an experiment file to its runs: resolving, identity, sharing, baselines, and where mistakes are said to be."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from runner.config.dotted import merge
from runner.config.experiment_file import examine as read
from runner.config.experiment_file import load
from runner.config.yaml_output import dump
from runner.errors import ConfigError
from runner.matrix.expansion import Expansion, Run, examine, expand


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Encoder(Part):
    layers: int = Field(4, ge=1)
    kind: Literal["plain", "gated"] = "plain"


class Model(Part):
    encoder: Encoder = Encoder()
    fused: tuple[int, ...] = ()
    width: int = 8

    @model_validator(mode="after")
    def _layers_exist(self) -> Model:
        if self.fused and max(self.fused) > self.encoder.layers:
            what = f"there is no layer {max(self.fused)}"
            context = {"key": ("fused",), "what": what, "allowed": f"1 to {self.encoder.layers}"}
            raise PydanticCustomError("misfit", "{what}", context)
        return self


class Train(Part):
    epochs: int = 5
    rate: float = 0.1
    seed: int = 0


class Params(Part):
    model: Model = Model()
    train: Train = Train()
    note: str = ""

    @model_validator(mode="after")
    def _narrow_models_train_long(self) -> Params:
        if self.model.width == 1 and self.train.epochs < 3:
            context = {"key": ("train", "epochs"), "what": "too few for width 1", "allowed": "3 or more"}
            raise PydanticCustomError("misfit", "{what}", context)
        return self

    def without_effect(self) -> set[str]:
        return {"note"}


def runs_of(folder: Path, content: dict[str, Any] | str, schema: type[BaseModel] = Params) -> Expansion:
    path = folder / "e.yaml"
    path.write_text(content if isinstance(content, str) else dump({"experiment": "e", **content}))
    return expand(load(path), schema, "train.seed")


def mistakes(folder: Path, text: str, *overrides: str) -> list[str]:
    path = folder / "e.yaml"
    path.write_text(text)
    file = read(path, list(overrides))
    _, problems, _ = examine(file, Params, "train.seed")
    return [str(problem).replace(str(path), "e.yaml") for problem in problems]


def test_a_file_without_a_matrix_is_one_run_of_its_parameters(tmp_path: Path) -> None:
    (run,) = runs_of(tmp_path, {"params": {"train": {"epochs": 7}}}).runs
    assert (run.number, run.variant, run.seed, run.axes) == (1, "base", 0, {})
    assert run.params == {
        "model": {"encoder": {"layers": 4, "kind": "plain"}, "fused": [], "width": 8},
        "train": {"epochs": 7, "rate": 0.1, "seed": 0},
        "note": "",
    }
    assert run.model == Params.model_validate(run.params)
    assert run.run_id == f"base-s0-{run.digest[:8]}"


def test_every_variant_runs_once_a_seed_and_seeds_are_paired(tmp_path: Path) -> None:
    found = runs_of(tmp_path, {"matrix": {"axes": {"model.width": [1, 2]}, "seeds": [3, 5]}})
    assert [(run.variant, run.seed, run.params["train"]["seed"]) for run in found.runs] == [
        ("width=1", 3, 3), ("width=1", 5, 5), ("width=2", 3, 3), ("width=2", 5, 5)
    ]  # fmt: skip
    assert found.variants == ["width=1", "width=2"]


def test_longer_keys_refine_shorter_ones_in_any_order(tmp_path: Path) -> None:
    point = {"model.encoder.layers": 6, "model": {"width": 2}, "model.encoder": {"kind": "gated"}}
    (run,) = runs_of(tmp_path, {"params": {"model": {"fused": [1]}}, "matrix": {"named": {"n": point}}}).runs
    assert run.params["model"] == {"encoder": {"layers": 6, "kind": "gated"}, "fused": [1], "width": 2}


@pytest.mark.parametrize(
    "matrix",
    [
        {"named": {"n": {"model": {"encoder": {"kind": "gated"}}}}},
        {"named": {"n": {"model.encoder": {"kind": "gated"}}}},
        {"include": [{"model.encoder": {"kind": "gated"}}]},
        {"axes": {"model.encoder": [{"kind": "gated"}]}},
    ],
)
def test_mapping_for_a_section_keeps_the_rest_of_it(tmp_path: Path, matrix: dict[str, Any]) -> None:
    content = {"params": {"model": {"encoder": {"layers": 6}, "width": 3}}, "matrix": matrix}
    assert runs_of(tmp_path, content).runs[0].params["model"] == {
        "encoder": {"layers": 6, "kind": "gated"}, "fused": [], "width": 3
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"name": "gated"}, {"name": "gated"}),
        ({"name": "plain", "width": 2}, {"name": "plain", "width": 2, "deep": {"a": 1}}),
        ({"deep": {"b": 2}}, {"name": "plain", "width": 1, "deep": {"a": 1, "b": 2}}),
        (3, 3),
    ],
)
def test_only_a_name_of_another_kind_replaces_a_section(value: Any, expected: Any) -> None:
    section = {"name": "plain", "width": 1, "deep": {"a": 1}}
    assert merge(section, value) == expected
    assert section == {"name": "plain", "width": 1, "deep": {"a": 1}}


def test_options_without_a_name_are_kept_for_whatever_kind_is_selected() -> None:
    assert merge({"width": 1}, {"name": "gated"}) == {"width": 1, "name": "gated"}


def test_sections_without_effect_take_no_part_in_the_identity(tmp_path: Path) -> None:
    one, other = (runs_of(tmp_path, {"params": {"note": note}}).runs[0] for note in ("a", "b"))
    assert one.run_id == other.run_id
    assert one.params["note"] != other.params["note"]


def test_writing_a_default_out_does_not_change_a_run(tmp_path: Path) -> None:
    plain = runs_of(tmp_path, {}).runs[0]
    written = runs_of(tmp_path, {"params": {"train": {"epochs": 5, "rate": 0.1}, "model": {"encoder": {}}}}).runs[0]
    assert plain.run_id == written.run_id


def test_points_that_are_the_same_run_are_listed_once_and_named(tmp_path: Path) -> None:
    matrix = {"axes": {"train.rate": [0.1, 0.2]}, "include": [{"train.rate": 0.1, "train.epochs": 5}]}
    found = runs_of(tmp_path, {"matrix": matrix})
    assert [run.variant for run in found.runs] == ["rate=0.1", "rate=0.2"]
    assert found.shared == [("rate=0.1 epochs=5", 0, found.runs[0].run_id)]


def test_schemas_that_look_at_their_input_first_are_checked_whole(tmp_path: Path) -> None:
    class Preset(Params):
        @model_validator(mode="before")
        @classmethod
        def _preset(cls, value: dict[str, Any]) -> dict[str, Any]:
            rest = {key: item for key, item in value.items() if key != "preset"}
            return rest | {"train": {"epochs": 7, **rest["train"]}} if "preset" in value else value

    found = runs_of(tmp_path, {"params": {"preset": "long"}, "matrix": {"axes": {"model.width": [2, 3]}}}, Preset)
    assert [run.params["train"]["epochs"] for run in found.runs] == [7, 7]
    assert len({run.run_id for run in found.runs}) == 2


def test_numbers_that_are_not_finite_in_a_users_schema_do_not_hurt(tmp_path: Path) -> None:
    class Endless(BaseModel):
        limit: float = float("inf")
        train: Train = Train()

    (run,) = runs_of(tmp_path, {}, Endless).runs
    assert json.loads(json.dumps(run.params, allow_nan=False))["limit"] == "inf"
    assert Endless.model_validate(run.params).limit == float("inf")


@pytest.mark.parametrize(
    ("baseline", "variant"),
    [("width=2", "width=2"), ("2", "width=2"), ("best", "best"), ({"model.width": 1}, "width=1"), (None, None)],
)
def test_the_baseline_is_one_variant(tmp_path: Path, baseline: Any, variant: str | None) -> None:
    matrix = {"axes": {"model.width": [1, 2]}, "named": {"best": {"model.width": 3}}}
    assert runs_of(tmp_path, {"matrix": matrix, "baseline": baseline}).baseline == variant


def test_a_baseline_that_is_the_same_run_as_another_is_called_as_that_is_listed(tmp_path: Path) -> None:
    matrix = {"axes": {"train.rate": [0.1, 0.2]}, "include": [{"train.rate": 0.1, "train.epochs": 5}]}
    assert runs_of(tmp_path, {"matrix": matrix, "baseline": "rate=0.1 epochs=5"}).baseline == "rate=0.1"


HEAD = "experiment: e\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("params:\n  modle: {}", "e.yaml:3: params.modle: unknown key\n    allowed: model, note, train\n"
         "    did you mean: model"),
        ("params:\n  model:\n    widht: 3", "e.yaml:4: params.model.widht: unknown key\n"
         "    allowed: encoder, fused, width\n    did you mean: width"),
        ("params: {model: {widht: 3}}\nmatrix: {axes: {model: [{fused: [1]}, {fused: [2]}]}}", "e.yaml:2: params.model."
         "widht: unknown key\n    allowed: encoder, fused, width\n    did you mean: width"),
        ("params: {epochs: 3}", "e.yaml:2: params.epochs: unknown key\n    allowed: model, note, train\n"
         "    did you mean: train.epochs"),
        ("matrix:\n  axes:\n    model.widht: [1]", "e.yaml:4: model.widht: unknown key\n"
         "    allowed: encoder, fused, width\n    did you mean: width"),
        ("matrix:\n  named:\n    best:\n      model.width: 2\n      train.epoch: 2", "e.yaml:6: train.epoch: unknown "
         "key\n    allowed: epochs, rate, seed\n    did you mean: epochs"),
        ("matrix:\n  axes:\n    model.fused:\n    - [1]\n    - [5]\n    - [4]", "e.yaml:6: model.fused: there is no "
         "layer 5\n    allowed: 1 to 4"),
        ("params:\n  model:\n    fused: [9]", "e.yaml:4: params.model.fused: there is no layer 9\n    allowed: 1 to 4"),
        ("matrix:\n  axes:\n    model:\n    - {fused: [1]}\n    - {fused: [7]}", "e.yaml:6: model.fused: there is no "
         "layer 7\n    allowed: 1 to 4"),
        ("params: {model: {width: 1}}\nmatrix:\n  axes: {train.epochs: [5, 2]}", "e.yaml:4: train.epochs: too few for "
         "width 1\n    allowed: 3 or more"),
        ("matrix:\n  zip:\n  - train.epochs: [1, x]\n    train.rate: [1, 2]", "e.yaml:4: train.epochs: must be a whole "
         "number; found 'x'"),
        ("matrix:\n  include:\n  - {train.epochs: x}", "e.yaml:4: train.epochs: must be a whole number; found 'x'"),
        ("matrix:\n  axes: {model.width: [2, 3]}\nbaseline: widht=2", "e.yaml:4: baseline: matches no variant; it must "
         "match exactly one\n    allowed: width=2; width=3\n    did you mean: width=2"),
        ("matrix:\n  axes: {model.width: [2, 3], train.epochs: [5, 6]}\nbaseline: {model.width: 2}", "e.yaml:4: "
         "baseline: matches 2 variants (width=2 epochs=5, width=2 epochs=6); it must match exactly one\n    allowed: "
         "width=2 epochs=5; width=2 epochs=6; width=3 epochs=5; width=3 epochs=6"),
        ("params: {train: {seed: 3}}", "e.yaml:2: params.train.seed: is set by `matrix: {seeds: […]}`, so it cannot be "
         "given here as well"),
        ("matrix:\n  axes:\n    train.seed: [1, 2]", "e.yaml:4: matrix.axes.train.seed: is set by `matrix: {seeds: "
         "[…]}`, so it cannot be given here as well"),
        ("matrix:\n  named:\n    a: {model.width: 2}\n    b: {model.width: 2}", "e.yaml:5: matrix.named.b: is the same "
         "run as 'a'"),
        ("matrix:\n  axes: {note: [x]}\n  include: [{train.epochs: 6, note: x}, {note: 'x epochs=6'}]", ""),
    ],
)  # fmt: skip
def test_a_mistake_stands_where_the_file_sets_the_value(tmp_path: Path, text: str, expected: str) -> None:
    assert "\n".join(mistakes(tmp_path, HEAD + text)) == expected


def test_variants_that_would_share_a_name_are_refused(tmp_path: Path) -> None:
    text = "matrix:\n  axes: {model.encoder: [{layers: 2}, {layers: 2, kind: plain}, {layers: 3}]}\n"
    assert mistakes(tmp_path, HEAD + text) == []
    text = "matrix:\n  named: {base: {model.width: 2}}\n  include: [{}]\n"
    (problem,) = mistakes(tmp_path, HEAD + text)
    assert problem.startswith(
        "e.yaml:2: matrix: 2 different variants would be called 'base'; give them names of their own"
    )


def test_mistakes_of_params_are_told_once_whatever_the_matrix(tmp_path: Path) -> None:
    rates = ", ".join(f"0.{n:03}" for n in range(1, 200))
    text = f"{HEAD}params: {{model: {{widht: 1}}}}\nmatrix: {{axes: {{train.rate: [{rates}, x]}}, seeds: [0, 1, 2]}}\n"
    assert [problem.split("\n")[0] for problem in mistakes(tmp_path, text)] == [
        "e.yaml:2: params.model.widht: unknown key",
        "e.yaml:3: train.rate: must be a number; found 'x'",
    ]


def test_what_is_right_of_a_wrong_run_can_be_checked_further(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_text(f"{HEAD}params: {{model: {{fused: [9]}}, train: {{epochs: 8}}}}\n")
    expansion, problems, rests = examine(read(path), Params, "train.seed")
    assert (len(expansion.runs), len(problems)) == (0, 1)
    assert [(variant, params["train"]["epochs"], params["model"]["fused"]) for variant, params in rests] == [
        ("base", 8, [])
    ]


@pytest.mark.parametrize(("values", "count"), [("[{width: 2}, {width: 3}]", 0), ("[{fused: [1]}, {fused: [2]}]", 1)])
def test_set_below_an_axis_has_an_effect_where_a_value_leaves_the_key_alone(
    tmp_path: Path, values: str, count: int
) -> None:
    text = f"{HEAD}matrix: {{axes: {{model: {values}}}}}\n"
    assert len(mistakes(tmp_path, text, "model.fused=[3]")) == count


def test_set_on_an_axis_would_have_no_effect_and_is_refused(tmp_path: Path) -> None:
    text = f"{HEAD}matrix: {{axes: {{train.rate: [0.1, 0.2]}}}}\n"
    assert mistakes(tmp_path, text, "train.epochs=3", "matrix.axes.train.rate=[0.3]") == []
    (problem,) = mistakes(tmp_path, text, "train.rate=0.5")
    assert problem == (
        "--set train.rate=0.5: train.rate is an axis of the matrix, so this has no effect\n"
        "    allowed: --set matrix.axes.train.rate=[…], or --only for some of the runs"
    )


def some(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Mappings with any of `keys`."""
    return st.fixed_dictionaries({}, optional=keys)


SECTIONS = some(
    model=some(width=st.integers(2, 5), encoder=some(layers=st.integers(1, 3))),
    train=some(epochs=st.integers(3, 9), rate=st.sampled_from([0.1, 0.2, 1.0])),
    note=st.text(max_size=5),
)
AXES = st.fixed_dictionaries(
    {},
    optional={
        "model.width": st.lists(st.integers(2, 4), min_size=1, max_size=3, unique=True),
        "model.encoder": st.lists(
            st.sampled_from([{"layers": 2}, {"kind": "gated"}]), min_size=1, max_size=2, unique_by=str
        ),
        "train.rate": st.lists(st.sampled_from([0.5, 0.25, 2]), min_size=1, max_size=2, unique=True),
    },
)


def shuffled(value: Any) -> Any:
    return {key: shuffled(item) for key, item in reversed(list(value.items()))} if isinstance(value, dict) else value


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(params=SECTIONS, axes=AXES, seeds=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=2, unique=True))
def test_the_same_point_always_has_the_same_id_whatever_the_order(
    tmp_path: Path, params: dict[str, Any], axes: dict[str, Any], seeds: list[int]
) -> None:
    content = {"params": params, "matrix": {"axes": axes, "seeds": seeds}}
    one, other = runs_of(tmp_path, content).runs, runs_of(tmp_path, shuffled(content)).runs

    def known(runs: list[Run]) -> dict[tuple[str, int], tuple[str, Any]]:
        return {(json.dumps(run.axes, sort_keys=True), run.seed): (run.digest, run.params) for run in runs}

    assert known(one) == known(other)
    for run in one:
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", run.run_id)
        assert (tmp_path / run.run_id).resolve().parent == tmp_path.resolve()
        unseeded = {key: value for key, value in run.params["train"].items() if key != "seed"}
        resolved = {"params": {**run.params, "train": unseeded}, "matrix": {"seeds": [run.seed]}}
        alone = runs_of(tmp_path, resolved).runs[0]
        assert alone.digest == run.digest


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=SECTIONS, other=SECTIONS)
def test_ids_differ_where_any_parameter_differs(tmp_path: Path, one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = (runs_of(tmp_path, {"params": params}).runs[0] for params in (one, other))
    same = all(first.params[section] == second.params[section] for section in ("model", "train"))
    assert (first.run_id == second.run_id) is same


KEYS = [
    "", "axes", "zip", "exclude", "include", "named", "seeds", "model", "train", "width", "epochs", "train.rate",
    "model.width", "x", "time", "memory", "metric", "a.b", "../x",
]  # fmt: skip
TOP = ["experiment", "params", "matrix", "baseline", "resources", "select", "health", "array", "retry", "x"]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.sampled_from(["model", "train.rate", "", "../x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.dictionaries(st.sampled_from(TOP), ANYTHING, max_size=5))
def test_anything_that_looks_like_an_experiment_gives_runs_or_a_users_error(
    tmp_path: Path, content: dict[str, Any]
) -> None:
    try:
        found = runs_of(tmp_path, content)
    except ConfigError:
        return
    assert found.runs
    assert all((tmp_path / run.run_id).resolve().parent == tmp_path.resolve() for run in found.runs)

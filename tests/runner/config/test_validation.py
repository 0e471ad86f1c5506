"""pydantic's errors in the words of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from runner.config.validation import problems
from runner.config.yaml_source import parse
from runner.errors import Problem


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Circle(Part):
    name: Literal["circle"]
    radius: float = Field(1.0, gt=0)


class Box(Part):
    name: Literal["box"]
    sides: tuple[float, float] = (1.0, 1.0)


class Layer(Part):
    width: int = Field(8, ge=1, le=64)
    kind: Literal["dense", "sparse"] = "dense"


class Train(Part):
    epochs: int = 5
    tags: list[str] = Field(["a"], min_length=1)

    @field_validator("epochs")
    @classmethod
    def _even(cls, epochs: int) -> int:
        if epochs % 2 and epochs > 5:
            raise ValueError(f"epochs must be even; found {epochs}")
        if epochs == 4:
            raise PydanticCustomError("misfit", "{what}", {"key": ("deep",), "what": "does not fit", "allowed": "2"})
        return epochs


class Params(Part):
    shape: Annotated[Circle | Box, Field(discriminator="name")] = Circle(name="circle")
    layers: list[Layer] = []
    train: Train = Train()
    either: str | dict[str, Any] | None = None
    table: dict[str, bool | float] = {}
    needed: int


def mistakes(text: str) -> list[Problem]:
    source = parse(text, Path("e.yaml"))
    with pytest.raises(ValidationError, match="Params") as caught:
        Params.model_validate(source.value)
    return problems(Params, caught.value, source.problem)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", "e.yaml:1: needed: missing; it must be given"),
        ("needed: 1\ntrian: 3", "e.yaml:2: trian: unknown key\n    allowed: either, layers, needed, shape, table, train"
         "\n    did you mean: train"),
        ("needed: 1\nepochs: 3", "e.yaml:2: epochs: unknown key\n    allowed: either, layers, needed, shape, table, "
         "train\n    did you mean: train.epochs"),
        ("needed: 1\ntrain.epochs: 3", "e.yaml:2: train.epochs: unknown key\n    allowed: either, layers, needed, "
         "shape, table, train\n    did you mean: train: {epochs: …}"),
        ("needed: x", "e.yaml:1: needed: must be a whole number; found 'x'"),
        ("needed: 1.5", "e.yaml:1: needed: must be a whole number; found 1.5"),
        ("needed:", "e.yaml:1: needed: is empty; write a whole number, or leave it out"),
        ("needed: 1\ntrain:", "e.yaml:2: train: is empty; write keys with values, or leave it out\n"
         "    allowed: epochs, tags"),
        ("needed: 1\ntrain: [2]", "e.yaml:2: train: must be keys with values; found [2]\n    allowed: epochs, tags"),
        ("needed: 1\nlayers: {}", "e.yaml:2: layers: must be a list; found {}"),
        ("needed: 1\nlayers:\n- {width: 0}", "e.yaml:3: layers[0].width: must be 1 or more; found 0"),
        ("needed: 1\nlayers:\n- {}\n- {width: 65}", "e.yaml:4: layers[1].width: must be 64 or less; found 65"),
        ("needed: 1\nlayers:\n- {widht: 3}", "e.yaml:3: layers[0].widht: unknown key\n    allowed: kind, width\n"
         "    did you mean: width"),
        ("needed: 1\nlayers: [{kind: dens}]", "e.yaml:2: layers[0].kind: found 'dens'\n    allowed: dense, sparse\n"
         "    did you mean: dense"),
        ("needed: 1\nshape: {name: circel}", "e.yaml:2: shape.name: unknown name 'circel'\n    allowed: circle, box\n"
         "    did you mean: circle"),
        ("needed: 1\nshape: {radius: 2}", "e.yaml:2: shape.name: missing; it says of what kind this is\n    allowed: "
         "circle, box"),
        ("needed: 1\nshape: circle", "e.yaml:2: shape: must be keys with values; found 'circle'\n"
         "    allowed: name, radius, sides\n    did you mean: {name: circle}"),
        ("needed: 1\nshape: {name: circle, radius: 0}", "e.yaml:2: shape.radius: must be more than 0; found 0"),
        ("needed: 1\nshape: {name: box, radius: 1}", "e.yaml:2: shape.radius: unknown key\n    allowed: name, sides"),
        ("needed: 1\nshape: {name: box, sides: [1]}", "e.yaml:2: shape.sides[1]: missing; it must be given"),
        ("needed: 1\ntrain: {tags: []}", "e.yaml:2: train.tags: needs 1 or more values; found []"),
        ("needed: 1\ntrain: {tags: [3]}", "e.yaml:2: train.tags[0]: must be text; found 3, which quotation marks make "
         "text"),
        ("needed: 1\ntrain: {epochs: 7}", "e.yaml:2: train.epochs: epochs must be even; found 7"),
        ("needed: 1\ntrain: {epochs: 4}", "e.yaml:2: train.epochs.deep: does not fit\n    allowed: 2"),
        ("needed: 1\neither: 5", "e.yaml:2: either: found 5\n    allowed: text or keys with values"),
        ("needed: 1\ntable: {x: [1]}", "e.yaml:2: table.x: found [1]\n    allowed: true or false or a number"),
    ],
)  # fmt: skip
def test_mistake_in_words(text: str, expected: str) -> None:
    assert [str(problem) for problem in mistakes(text)] == [expected]


def test_long_values_are_cut() -> None:
    (problem,) = mistakes(f"needed: {'x' * 200}")
    assert len(problem.what) < 120
    assert problem.what.endswith("...")


def test_every_mistake_is_told() -> None:
    assert len(mistakes("trian: 1\ntrain: {epoch: 3, tags: 5}\nlayers: [{width: a}, {kind: b}]")) == 6

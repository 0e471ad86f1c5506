"""Names of variants and runs, and the hash that says when two runs are the same run."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from runner.config.experiment import Overrides
from runner.config.validation import models_in

SLUG_LENGTH = 80
BASE = "base"  # the variant of an experiment without a matrix
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
# The encoder in C, which JSONEncoder.encode makes anew for each value: a quarter of its time
_ENCODE = json.encoder.c_make_encoder and json.encoder.c_make_encoder(  # type: ignore[attr-defined]
    None, _ENCODER.default, json.encoder.encode_basestring_ascii, None, ":", ",", True, False, False
)


def as_json(value: Any) -> Any:
    """`value` as JSON values; a number that is not finite, which JSON lacks, becomes the text that pydantic reads."""
    plain_value = to_jsonable_python(value)
    return plain_value if _is_finite(plain_value) else _finite(plain_value)


def _is_finite(value: Any) -> bool:
    kind = value.__class__
    if kind is float:
        return bool(value - value == 0)
    if kind is dict:
        return all(map(_is_finite, value.values()))
    return kind is not list or all(map(_is_finite, value))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def identity(value: Any, dumped: Mapping[str, Any] | None = None) -> Any:
    """What of a parameter model takes part in a run's identity, as JSON values. dumped: `as_json` of it, where known.

    Fields marked `json_schema_extra={"identity": False}` cannot change a result and are left out. Fields marked
    `{"neutral": x}` were added later and are left out where they equal x, so that older runs keep their names.
    """
    if isinstance(value, BaseModel):
        kept: dict[str, Any] = dict(as_json(value) if dumped is None else dumped)
        for name, marks, deep in _looked_into(type(value)):
            if not _takes_part(marks, getattr(value, name)):
                del kept[name]
            elif deep:
                kept[name] = identity(getattr(value, name))
        return kept
    if isinstance(value, dict):
        return {str(key): identity(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [identity(item) for item in value]
    if isinstance(value, (set, frozenset)):  # their order differs between processes
        return sorted((identity(item) for item in value), key=canonical_json)
    return as_json(value)


def _takes_part(marks: Any, value: Any) -> bool:
    if not isinstance(marks, dict):
        return True
    return bool(marks.get("identity", True)) and not ("neutral" in marks and marks["neutral"] == value)


@cache
def _looked_into(model: type[BaseModel]) -> list[tuple[str, Any, bool]]:
    """(field, its marks, whether there are marks below it) where the plain JSON form may not be the identity."""
    deep = {
        name: "set[" in str(field.annotation).lower() or any(map(_marked, models_in(field.annotation)))
        for name, field in model.model_fields.items()
    }
    marks = {name: field.json_schema_extra for name, field in model.model_fields.items()}
    return [(name, marks[name], deep[name]) for name in deep if deep[name] or isinstance(marks[name], dict)]


@cache
def _marked(model: type[BaseModel]) -> bool:
    """Whether anything in `model`, at any depth, needs more than its plain JSON form."""
    seen: set[type[BaseModel]] = set()
    waiting = [model]
    while waiting:
        seen.add(one := waiting.pop())
        for field in one.model_fields.values():
            if isinstance(field.json_schema_extra, dict) or "set[" in str(field.annotation).lower():
                return True
            waiting += [inner for inner in models_in(field.annotation) if inner not in seen]
    return False


def plain(model: type[BaseModel]) -> bool:
    """Whether the identity of a `model` is all of its JSON form."""
    return not _marked(model)


def canonical_json(value: Any) -> str:
    """JSON that is the same for equal values; ValueError for a number that is not finite."""
    return "".join(_ENCODE(value, 0)) if _ENCODE else _ENCODER.encode(value)


def digest(task: str, sections: list[str]) -> str:
    """The hash of a run: its task and its parameters, given as `"name":JSON` a section in alphabetical order."""
    return hashlib.sha256(f'{{"task":"{task}",{",".join(sections)}}}'.encode()).hexdigest()


def value_label(value: Any) -> str:
    """A value as people write it on the command line: `[2, 3]` as `2,3`."""
    if isinstance(value, dict):
        rest = [f"{key}:{value_label(item)}" for key, item in value.items() if key != "name"]
        return "+".join([*([str(value["name"])] if "name" in value else []), *rest])
    if isinstance(value, (list, tuple)):
        return ",".join(value_label(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value)


def short_form(overrides: Mapping[str, Any]) -> str:
    """The values of a point alone: `2,3` or `2,3 0.001`."""
    return " ".join(value_label(value) for value in overrides.values())


def axis_names(keys: list[str]) -> dict[str, str]:
    """The shortest ends of dotted keys that tell them apart: `model.middle_fusion.layers` as `layers`."""
    names = {}
    for key in keys:
        parts = key.split(".")
        for length in range(1, len(parts) + 1):
            end = ".".join(parts[-length:])
            if not any(other != key and (other == end or other.endswith("." + end)) for other in keys):
                break
        names[key] = end
    return names


def variant_label(overrides: Overrides, names: dict[str, str]) -> str:
    """The name of an unnamed variant: `layers=2,3 learning_rate=0.001`; the shared parameters alone are `base`."""
    return " ".join(f"{names[key]}={value_label(value)}" for key, value in overrides.items()) or BASE


def slug(variant: str) -> str:
    """A variant's name as it stands in directory names."""
    text = re.sub(r"[^a-z0-9.]+", "-", variant.lower()).strip("-.") or "run"
    return text[:SLUG_LENGTH].rstrip("-.")


def run_id(variant_slug: str, seed: int, run_digest: str) -> str:
    """The directory name of a run: its variant, its seed, eight digits of its hash."""
    return f"{variant_slug}-s{seed}-{run_digest[:8]}"

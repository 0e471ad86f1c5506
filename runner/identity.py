"""Names of variants and runs, and the hash that says when two runs are the same run."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from runner.experiment import Overrides
from runner.validation import models_in

SLUG_LENGTH = 80
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def identity(value: Any) -> Any:
    """What of a parameter model takes part in a run's identity, as JSON values.

    Fields marked `json_schema_extra={"identity": False}` cannot change a result and are left out. Fields marked
    `{"neutral": x}` were added later and are left out where they equal x, so that older runs keep their names.
    """
    if not isinstance(value, BaseModel) or _plain(type(value)):
        return to_jsonable_python(value)
    kept = {}
    for name, info in type(value).model_fields.items():
        item = getattr(value, name)
        extra = info.json_schema_extra
        marks = extra if isinstance(extra, dict) else {}
        if marks.get("identity", True) and not ("neutral" in marks and marks["neutral"] == item):
            kept[name] = identity(item)
    return kept


@cache
def _plain(model: type[BaseModel]) -> bool:
    """Whether all fields of `model` take part and none is a model itself."""
    return not any(f.json_schema_extra or models_in(f.annotation) for f in model.model_fields.values())


def canonical_json(value: Any) -> str:
    """JSON that is the same for equal values."""
    return _ENCODER.encode(value)


def digest(task: str, sections: list[tuple[str, str]]) -> str:
    """The hash of a run: its task and its parameters, given as canonical JSON a section in alphabetical order."""
    content = ",".join(f'"{name}":{text}' for name, text in sections)
    return hashlib.sha256(f'{{"task":"{task}",{content}}}'.encode()).hexdigest()


def value_label(value: Any) -> str:
    """A value as people write it on the command line: `[2, 3]` as `2,3`."""
    if isinstance(value, dict):
        rest = [f"{key}:{value_label(item)}" for key, item in value.items() if key != "name"]
        return "+".join([*([str(value["name"])] if "name" in value else []), *rest])
    if isinstance(value, (list, tuple)):
        return ",".join(value_label(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value)


def short_form(overrides: Overrides) -> str:
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
    return " ".join(f"{names[key]}={value_label(value)}" for key, value in overrides.items()) or "base"


def run_id(variant: str, seed: int, run_digest: str) -> str:
    """The directory name of a run: its variant, its seed, eight digits of its hash."""
    slug = re.sub(r"[^a-z0-9.]+", "-", variant.lower()).strip("-.") or "run"
    return f"{slug[:SLUG_LENGTH].rstrip('-.')}-s{seed}-{run_digest[:8]}"

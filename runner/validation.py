"""From pydantic's errors to sentences that name the key, what was found, what is allowed and what was meant."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from runner.errors import Problem, nearest
from runner.yaml_source import Key

Report = Callable[..., Problem]  # (key, what, *, allowed=, nearest=) → Problem


def problems(model: type[BaseModel], error: ValidationError, report: Report, prefix: Key = ()) -> list[Problem]:
    """One Problem for each mistake that pydantic found; `prefix` is put before every key."""
    return [_problem(model, details, report, prefix) for details in error.errors(include_url=False)]


def _problem(model: type[BaseModel], details: ErrorDetails, report: Report, prefix: Key) -> Problem:
    kind, found, context = details["type"], details.get("input"), details.get("ctx", {})
    key, owners = _follow(model, details["loc"])
    where = (*prefix, *key)
    if kind == "extra_forbidden":
        names = sorted({name for owner in owners for name in owner.model_fields})
        return report(where, "unknown key", allowed=", ".join(names) or "no keys", nearest=nearest(str(key[-1]), names))
    if kind == "missing":
        return report(where, "missing; it must be given")
    if kind == "union_tag_invalid":
        names = [name.strip("'") for name in context["expected_tags"].split(", ")]
        tag = context["tag"]
        field = (*where, context["discriminator"].strip("'"))
        return report(field, f"unknown name {tag!r}", allowed=", ".join(names), nearest=nearest(tag, names))
    if kind == "union_tag_not_found":
        return report(where, f"needs a {context['discriminator'].strip(chr(39))!r}; found {_short(found)}")
    if kind == "literal_error":
        names = [name.strip("'") for name in context["expected"].replace(" or ", ", ").split(", ")]
        return report(where, f"found {_short(found)}", allowed=", ".join(names), nearest=nearest(str(found), names))
    if kind == "misfit":  # raised by our schemas: parts that do not fit each other
        return report((*where, *context["key"]), context["what"], allowed=context["allowed"])
    if kind == "value_error":
        return report(where, str(context["error"]))
    message = details["msg"][0].lower() + details["msg"][1:]
    return report(where, f"{message.replace('input ', '')}; found {_short(found)}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _follow(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[Key, list[type[BaseModel]]]:
    """The key that pydantic's `location` means in the file, and the models that own its last part.

    Pydantic puts the tag of a discriminated union into the location; the file has no such level.
    """
    key: list[str | int] = []
    owners: list[type[BaseModel]] = [model]
    candidates: list[type[BaseModel]] = [model]
    for position, part in enumerate(location):
        tagged = [c for c in candidates if part in _tags(c)]
        last = position == len(location) - 1
        if tagged and not last and not any(part in c.model_fields for c in candidates):
            candidates = owners = tagged
            continue
        key.append(part)
        owners = candidates
        annotations = [c.model_fields[part].annotation for c in candidates if part in c.model_fields]
        candidates = [found for annotation in annotations for found in models_in(annotation)]
    return tuple(key), owners


def _tags(model: type[BaseModel]) -> set[Any]:
    field = model.model_fields.get("name")
    return set(get_args(field.annotation)) if field and get_origin(field.annotation) is Literal else set()


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The pydantic models that a type annotation names."""
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, BaseModel) else []
    if get_origin(annotation) in (Union, types.UnionType, Annotated, list, tuple, dict):
        return [found for inner in get_args(annotation) for found in models_in(inner)]
    return []

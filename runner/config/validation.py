"""From pydantic's errors to sentences that name the key, what was found, what is allowed and what was meant."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from runner.config.yaml_source import Key
from runner.errors import Problem, nearest

Report = Callable[..., Problem]  # (key, what, *, allowed=, nearest=) → Problem

UNKNOWN_KEY = "unknown key"

_KINDS = {  # pydantic's error types by their first word → what the value should have been
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "dict": "keys with values",
    "model": "keys with values",
    "none": "null",
}
_LABELS = {  # how pydantic names the members of a union
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "dict": "keys with values",
}
_LIMITS = {
    "greater_than_equal": ("ge", "{} or more"),
    "greater_than": ("gt", "more than {}"),
    "less_than_equal": ("le", "{} or less"),
    "less_than": ("lt", "less than {}"),
}


def problems(model: type[BaseModel], error: ValidationError, report: Report, prefix: Key = ()) -> list[Problem]:
    """One Problem for each mistake that pydantic found; `prefix` is put before every key."""
    mistakes: list[Problem] = []
    unions: dict[Key, tuple[Any, list[str]]] = {}  # a value that fits no member of a union: one error a member
    for details in error.errors(include_url=False):
        place = _Place(model, details["loc"])
        if place.label is None:
            mistakes.append(_problem(details, place, report, (*prefix, *place.key)))
        else:
            member = _LABELS.get(place.label.partition("[")[0], "another kind of value")
            unions.setdefault((*prefix, *place.key), (details.get("input"), []))[1].append(member)
    return mistakes + [
        report(key, f"found {_short(value)}", allowed=" or ".join(dict.fromkeys(members)))
        for key, (value, members) in unions.items()
    ]


def _problem(details: ErrorDetails, place: _Place, report: Report, where: Key) -> Problem:
    kind, value, context = details["type"], details.get("input"), details.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(str(where[-1]), place.owners, report, where)
    if kind == "missing":
        return report(where, "missing; it must be given")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        field = context["discriminator"].strip("'")
        names = [tag for model in place.models for tag in tags(model)]
        what, near = "missing; it says of what kind this is", None
        if kind == "union_tag_invalid":
            what, near = f"unknown name {context['tag']!r}", nearest(context["tag"], names)
        elif not isinstance(value, dict):
            what += f"; found {_short(value)}"
            near = f"{{{field}: {value}}}" if isinstance(value, str) else None
        return report((*where, field), what, allowed=", ".join(names), nearest=near)
    if kind == "literal_error":
        names = [name.strip("'") for name in context["expected"].replace(" or ", ", ").split(", ")]
        return report(where, f"found {_short(value)}", allowed=", ".join(names), nearest=nearest(str(value), names))
    if kind == "misfit":  # raised by our schemas: parts that do not fit each other
        return report((*where, *context["key"]), context["what"], allowed=context["allowed"])
    if kind == "value_error":
        return report(where, str(context["error"]))
    fields = list(dict.fromkeys(name for model in place.models for name in model.model_fields))
    what = _plain(kind, value, context, details["msg"])
    return report(where, what, allowed=", ".join(fields) or None, nearest=_meant(kind, value, place.models))


def _meant(kind: str, value: Any, models: list[type[BaseModel]]) -> str | None:
    """What was meant by a value of the wrong kind: a number with its unit, a name alone, one value for a list."""
    wanted = kind.partition("_")[0]
    if wanted in ("int", "float", "finite") and isinstance(value, str):
        if comma := re.fullmatch(r"\s*([-+]?[0-9]+),([0-9]+)\s*", value):
            return f"{comma[1]}.{comma[2]}"
        if unit := re.fullmatch(r"\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*[A-Za-zÅµ%°/]+\s*", value):
            return f"{unit[1]}, without its unit"
    if wanted in ("list", "tuple") and isinstance(value, (str, int, float)):
        return f"[{value}]"
    needed = {name for model in models for name, info in model.model_fields.items() if info.is_required()}
    return f"{{{needed.pop()}: {value}}}" if len(needed) == 1 and isinstance(value, (str, int, float)) else None


def _plain(kind: str, value: Any, context: dict[str, Any], message: str) -> str:
    """The sentence for a value of the wrong type or size."""
    wanted = _KINDS.get(kind.partition("_")[0])
    if kind in _LIMITS:
        name, limit = _LIMITS[kind]
        border = int(context[name]) if float(context[name]).is_integer() else context[name]
        return f"must be {limit.format(border)}; found {_short(value)}"
    if kind == "too_short":
        return f"needs {context['min_length']} or more values; found {_short(value)}"
    if kind == "too_long":
        return f"takes {context['max_length']} values; found {context['actual_length']}"
    if value is None and wanted:
        return f"is empty; write {wanted}, or leave it out"
    if wanted == "text" and isinstance(value, (int, float)):
        return f"must be text; found {value!r}, which quotation marks make text"
    return f"must be {wanted}; found {_short(value)}" if wanted else f"{message}; found {_short(value)}"


def _unknown_key(name: str, owners: list[type[BaseModel]], report: Report, where: Key) -> Problem:
    names = sorted({info.alias or field for owner in owners for field, info in owner.model_fields.items()})
    if slip := _punctuation(name):
        return report(where, f"{UNKNOWN_KEY}; {slip}", nearest=nearest(re.split(r"[^\w.]", name)[0], names))
    guess = nearest(name, names) or " or ".join(dict.fromkeys(_deeper(name, owners))) or None
    return report(where, UNKNOWN_KEY, allowed=", ".join(names) or "no keys", nearest=guess)


def _punctuation(name: str) -> str | None:
    """What was forgotten where YAML took more, or less, than a key for one."""
    if re.fullmatch(r"[\w.]+:\S+", name):
        return "a space is missing behind its ':'"
    return "a ':' is missing before the bracket" if re.match(r"[\w.]+\s*[\[{]", name) else None


def _deeper(name: str, owners: list[type[BaseModel]]) -> Iterator[str]:
    """Where `name` exists one level further down: `epochs` as `train.epochs`."""
    if name.partition(".")[0] in {field for owner in owners for field in owner.model_fields}:
        first, _, rest = name.partition(".")
        yield f"{first}: {{{rest}: …}}"
    for owner in owners:
        for field, info in owner.model_fields.items():
            if any(name in inner.model_fields for inner in models_in(info.annotation)):
                yield f"{field}.{name}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


class _Place:
    """The key that pydantic's `location` means in the file, and what stands there.

    Pydantic puts more into a location than the file has: the tag of a discriminated union, the member of a plain one
    (kept as `label`), "[key]" behind a key that is wrong itself, and tags in brackets that our schemas give to what is
    no mapping.
    """

    def __init__(self, model: type[BaseModel], location: tuple[int | str, ...]) -> None:
        key: list[str | int] = []
        self.label: str | None = None
        self.owners: list[type[BaseModel]] = [model]  # models that have, or should have, the last key
        candidates: list[Any] = [model]
        for position, part in enumerate(location):
            models = models_of(candidates)
            inner = [c.model_fields[part].annotation for c in models if part in c.model_fields]
            tagged = [c for c in models if part in tags(c)]
            items = [item for c in candidates for item in _items(c, part)]
            if isinstance(part, str) and part.startswith("["):
                continue
            if isinstance(part, str) and part.partition("[")[0] in _LABELS and len(candidates) > 1:
                self.label = part
                continue
            if tagged and not inner and position < len(location) - 1:
                candidates = self.owners = list(tagged)
                continue
            key.append(part)
            self.owners = models
            candidates = [member for annotation in inner + items for member in members(annotation)]
        self.key: Key = tuple(key)
        self.models = models_of(candidates)


def _items(annotation: Any, part: int | str) -> list[Any]:
    """The annotations of what stands at `part` of a mapping or list."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (list, tuple) and isinstance(part, int):
        return [one for one in inner if one is not Ellipsis]
    return [inner[1]] if origin is dict and len(inner) == 2 else []


def tags(model: type[BaseModel]) -> tuple[Any, ...]:
    """The names that choose `model` from a union."""
    field = model.model_fields.get("name")
    return get_args(field.annotation) if field and get_origin(field.annotation) is Literal else ()


def members(annotation: Any) -> list[Any]:
    """The kinds of values that an annotation admits, None aside."""
    if get_origin(annotation) is Annotated:
        return members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [one for inner in get_args(annotation) for one in members(inner)]
    return [] if annotation is types.NoneType else [annotation]


def models_of(annotations: list[Any]) -> list[type[BaseModel]]:
    return [one for one in annotations if isinstance(one, type) and issubclass(one, BaseModel)]


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The pydantic models that a type annotation names, at any depth."""
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for inner in get_args(annotation) for model in models_in(inner)]

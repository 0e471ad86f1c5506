"""From shared parameters and a variant's overrides to checked parameters and their hash.

A matrix of 100,000 runs varies few sections a time, so each distinct section is merged, checked and hashed once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from runner.config.dotted import at, merge, selects_another_kind, with_value
from runner.config.experiment import Overrides
from runner.config.validation import Report, problems
from runner.errors import Problem
from runner.matrix.run_id import as_json, canonical_json, digest, identity, plain

# Stand for themselves in a cache key; lists and mappings belong to the file and live as long as the cache, so their
# identity does
_SCALARS = frozenset((bool, int, float, str, type(None)))


@dataclass(frozen=True, slots=True)
class Resolved:
    """Parameters that fit the schema."""

    params: dict[str, Any]  # equal sections of several runs are one object
    digest: str
    model: Any  # the same as an object of the schema


@dataclass(frozen=True, slots=True)
class Misfit:
    """Parameters that do not fit: the errors of single sections, or of the whole."""

    errors: tuple[_Wrong, ...]
    rest: dict[str, Any] | None  # the sections without an error, others at their defaults; None where there are none


@dataclass(frozen=True, slots=True)
class Replaced:
    """A section that a mapping of another kind takes the place of."""

    key: str  # dotted
    before: str  # the kind of `params`
    after: str
    lost: tuple[str, ...]  # options of `params` that the mapping does not give


@dataclass(frozen=True, slots=True)
class _Section:
    model: Any  # the checked section
    dumped: Any
    text: str  # `"name":JSON` of what takes part in the identity


@dataclass(frozen=True)
class _Wrong:
    """A section, or the whole, that pydantic refuses."""

    model: type[BaseModel]
    prefix: tuple[str, ...]
    error: ValidationError

    def problems(self, report: Report) -> list[Problem]:
        return problems(self.model, self.error, report, self.prefix)


@dataclass
class Resolver:
    """Merges, checks and hashes the parameters of a task; equal sections once."""

    schema: type[BaseModel]
    task: str
    base: dict[str, Any]  # what all runs share
    _varied: dict[Any, _Section | _Wrong] = field(default_factory=dict)
    _shared: dict[str, _Section | _Wrong] = field(default_factory=dict)
    _defaults: dict[str, _Section] = field(default_factory=dict)  # of sections that are not given

    def __post_init__(self) -> None:
        self._names = sorted(self.schema.model_fields)
        self._known = frozenset(self._names)
        self._adapters = _adapters(self.schema)
        self._whole_only = not self._adapters or not self.base.keys() <= self._known

    def resolve(self, overrides: Overrides) -> Resolved | Misfit:
        """The checked parameters of one run; shorter keys of `overrides` are set first, longer ones refine them."""
        by_section: dict[str, Overrides] = {}
        for key, value in overrides.items():
            by_section.setdefault(_parts(key)[0], {})[key] = value
        if self._whole_only or not by_section.keys() <= self._known:
            return self._whole(self.merged(overrides))
        given: dict[str, Any] = {}
        wrong: list[_Wrong] = []
        for name in self._names:
            if name in self._adapters:
                section = self._section(name, by_section.get(name))
                if isinstance(section, _Wrong):
                    wrong.append(section)
                elif section is not None:
                    given[name] = section
            elif name in by_section or name in self.base:
                given[name] = self.merged(by_section.get(name, {}))[name]
        return Misfit(tuple(wrong), self._rest(given)) if wrong else self._joined(given)

    def shared_misfits(self) -> list[_Wrong]:
        """The errors of the shared sections as they stand, which overrides may complete or replace."""
        sections = [self._section(name, None) for name in self._adapters]
        return [section for section in sections if isinstance(section, _Wrong)]

    def merged(self, overrides: Overrides) -> dict[str, Any]:
        """The shared parameters with `overrides` set; what no override goes through is shared, not copied."""
        params = self.base
        for key in sorted(overrides, key=lambda key: key.count(".")):
            value = overrides[key]
            if isinstance(value, dict):
                value = merge(at(params, key), value)
            params = with_value(params, _parts(key), value)
        return params

    def _section(self, name: str, overrides: Overrides | None) -> _Section | _Wrong | None:
        """One section, checked; None where nothing is given for it."""
        if not overrides:
            if name not in self.base:
                return None
            if name not in self._shared:
                self._shared[name] = self._checked(name, self.base[name])
            return self._shared[name]
        key = (name, *[(k, type(v), v) if type(v) in _SCALARS else (k, id(v)) for k, v in overrides.items()])
        section = self._varied.get(key)
        if section is None:
            section = self._varied[key] = self._checked(name, self.merged(overrides)[name])
        return section

    def _checked(self, name: str, value: Any) -> _Section | _Wrong:
        model, adapter = self._adapters[name]
        try:
            return _section_of(name, adapter.validate_python(value))
        except ValidationError as error:
            return _Wrong(model, (name,), error)

    def _joined(self, given: dict[str, Any]) -> Resolved | Misfit:
        """The whole made of checked sections, which its own validators may still refuse."""
        try:
            params = self.schema.model_validate(
                {name: section.model if isinstance(section, _Section) else section for name, section in given.items()}
            )
        except ValidationError as error:
            return Misfit((_Wrong(self.schema, (), error),), None)
        return self._resolved(params, given)

    def _whole(self, value: dict[str, Any]) -> Resolved | Misfit:
        """Parameters that cannot be checked a section a time."""
        try:
            return self._resolved(self.schema.model_validate(value), dict.fromkeys(self._names))
        except ValidationError as error:
            return Misfit((_Wrong(self.schema, (), error),), self._rest(self._right_sections(value)))

    def _resolved(self, params: BaseModel, given: dict[str, Any]) -> Resolved:
        dumped, texts = {}, []
        without_effect = getattr(params, "without_effect", None)
        skipped = without_effect() if without_effect else ()
        for name in self._names:
            section = given.get(name)
            if not isinstance(section, _Section):
                section = self._default(name, params) if name not in given else _section_of(name, getattr(params, name))
            dumped[name] = section.dumped
            if name not in skipped:
                texts.append(section.text)
        return Resolved(dumped, digest(self.task, texts), params)

    def _default(self, name: str, params: BaseModel) -> _Section:
        if name not in self._defaults:
            self._defaults[name] = _section_of(name, getattr(params, name))
        return self._defaults[name]

    def _right_sections(self, value: dict[str, Any]) -> dict[str, Any]:
        checked = {name: self._checked(name, value[name]) for name in self._adapters if name in value}
        return {name: section for name, section in checked.items() if isinstance(section, _Section)}

    def _rest(self, given: dict[str, Any]) -> dict[str, Any] | None:
        joined = self._joined(given)
        return joined.params if isinstance(joined, Resolved) else None


def replaced(params: dict[str, Any], key: str, value: Any) -> list[Replaced]:
    """The sections of `params` that `value`, set at the dotted `key`, replaces by another kind."""
    return list(_replaced(key, at(params, key), value))


def _replaced(key: str, section: Any, value: Any) -> Iterator[Replaced]:
    if not (isinstance(section, dict) and isinstance(value, dict)):
        return
    if selects_another_kind(section, value):
        if lost := tuple(name for name in section if name not in value):
            yield Replaced(key, str(section["name"]), str(value["name"]), lost)
        return
    for name, item in value.items():
        yield from _replaced(f"{key}.{name}", section.get(name), item)


def _adapters(schema: type[BaseModel]) -> dict[str, tuple[type[BaseModel], TypeAdapter[Any]]]:
    """The sections of `schema` that can be checked alone; none where it looks at its input before they are checked."""
    decorators = schema.__pydantic_decorators__
    modes = [validator.info.mode for validator in decorators.model_validators.values()]
    modes += [validator.info.mode for validator in decorators.field_validators.values()]  # type: ignore[misc]
    if any(mode != "after" for mode in modes):
        return {}
    if any(info.validation_alias or info.alias for info in schema.model_fields.values()):
        return {}
    return {
        name: (info.annotation, TypeAdapter(info.annotation))
        for name, info in schema.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel) and not info.metadata
    }


def _section_of(name: str, value: Any) -> _Section:
    dumped = as_json(value)
    is_plain = isinstance(value, BaseModel) and plain(type(value))
    identifying = dumped if is_plain else identity(value, dumped)
    return _Section(value, dumped, f'"{name}":{canonical_json(identifying)}')


@cache
def _parts(key: str) -> tuple[str, ...]:
    return tuple(key.split("."))

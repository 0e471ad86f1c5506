"""YAML files read safely, with the line of every key kept for error messages.

Only YAML's plain types are admitted. Numbers are what people of the field write: `1e-3` is a number, `1:30:00` is
text (YAML 1.1 would read 5400), `no` is text, a date is text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from runner.errors import ConfigError, Problem, UserError

MAX_DEPTH = 60
MAX_NODES = 500_000  # aliases are expanded, so a small file could otherwise become endless

Key = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2's plain scalars."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}  # type: ignore[misc]


_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$"), list("-+0123456789")
)
_NUMBER = r"(\.[0-9_]+|[0-9][0-9_]*\.[0-9_]*)([eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.(inf|Inf|INF)"
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(rf"^[-+]?({_NUMBER})$|^\.(nan|NaN|NAN)$"), list("-+.0123456789")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"^<<$"), ["<"])

_PLAIN = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str")}


@dataclass(frozen=True)
class Source:
    """The content of a YAML file and where each key of it stands."""

    path: Path
    text: str
    value: Any
    lines: dict[Key, int]  # path of keys → line, counted from 1

    def line(self, key: Key) -> int | None:
        """The line of `key`, or of the nearest enclosing key that the file has."""
        for length in range(len(key), -1, -1):
            if key[:length] in self.lines:
                return self.lines[key[:length]]
        return None

    def problem(self, key: Key, what: str, **more: Any) -> Problem:
        """A mistake at `key` of this file."""
        return Problem(what, dotted(key) or None, str(self.path), self.line(key), **more)


def dotted(key: Key) -> str:
    """`('matrix', 'axes', 0)` as `matrix.axes[0]`."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else part)
    return text


def read(path: Path) -> Source:
    """Read the mapping in the YAML file `path`; UserError where the file is missing, ConfigError where it is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file", next_command="runner init") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    return parse(text, path)


def parse(text: str, path: Path) -> Source:
    """The mapping that `text` holds; `path` is named in errors."""
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = f"not valid YAML: {error.problem or error.context}"
        raise ConfigError([Problem(what, file=str(path), line=mark.line + 1 if mark else None)]) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError([Problem(f"not valid YAML: {str(error) or 'nested too deeply'}", file=str(path))]) from None
    builder = _Builder(path)
    value = {} if root is None else builder.build(root, ())
    if not builder.problems and not isinstance(value, dict):
        builder.problems.append(Problem(f"holds a {type(value).__name__}, not keys and values", file=str(path), line=1))
    if builder.problems:
        raise ConfigError(builder.problems)
    return Source(path, text, value, builder.lines)


class _Builder:
    """Values from YAML nodes, noting lines and collecting mistakes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[Key, int] = {}
        self.problems: list[Problem] = []
        self.nodes = 0
        self.scalars = _Loader("")

    def wrong(self, node: yaml.Node, key: Key, what: str) -> None:
        self.problems.append(Problem(what, dotted(key) or None, str(self.path), node.start_mark.line + 1))

    def build(self, node: yaml.Node, key: Key) -> Any:
        self.nodes += 1
        self.lines.setdefault(key, node.start_mark.line + 1)
        if self.nodes > MAX_NODES or len(key) > MAX_DEPTH:
            if not self.problems or self.nodes <= MAX_NODES:
                self.wrong(node, key, "too large or nested too deeply")
            return None
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self.mapping(node, key)
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.build(child, (*key, index)) for index, child in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in _PLAIN:
            return self.scalar(node, key)
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        self.wrong(node, key, f"the tag {tag} is not allowed; write plain values")
        return None

    def scalar(self, node: yaml.ScalarNode, key: Key) -> Any:
        try:
            return self.scalars.construct_object(node)
        except (ValueError, KeyError) as error:  # an explicit tag such as !!int on other text
            self.wrong(node, key, f"{node.value!r} does not fit its tag: {error}")
            return None

    def mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        values: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        first: dict[str, int] = {}
        for name_node, value_node in node.value:
            line = name_node.start_mark.line + 1
            if name_node.tag == "tag:yaml.org,2002:merge":
                merged |= self.merge(value_node, key)
                continue
            if not isinstance(name_node, yaml.ScalarNode) or name_node.tag not in _PLAIN:
                self.wrong(name_node, key, "a key must be plain text")
                continue
            name = name_node.value
            child = (*key, name)
            if name in first:
                self.wrong(name_node, child, f"this key stands twice, first in line {first[name]}")
                continue
            first[name] = self.lines[child] = line
            values[name] = self.build(value_node, child)
        return merged | values

    def merge(self, node: yaml.Node, key: Key) -> dict[str, Any]:
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        values: dict[str, Any] = {}
        for part in reversed(parts):
            built = self.build(part, key)
            if not isinstance(built, dict):
                self.wrong(part, key, "'<<' merges mappings only")
                continue
            values |= built
        return values

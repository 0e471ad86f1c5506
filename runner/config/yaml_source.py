"""YAML files read safely, with the line of every key kept for error messages.

Only YAML's plain types are admitted. Numbers are what people of the field write: `1e-3` is a number, `1:30:00` is
text (YAML 1.1 would read 5400), `no` is text, a date is text.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import yaml

from runner.config.quantities import shortened
from runner.config.yaml_syntax import syntax_problem
from runner.errors import ConfigError, Mistakes, Problem, UserError, nearest
from runner.files import read_bytes

MAX_DEPTH = 60
MAX_NODES = 500_000  # aliases are expanded, so a small file could otherwise become endless
SUFFIXES = (".yaml", ".yml")
_LARGEST_INTEGER = 2**63 - 1

Key = tuple[str | int, ...]


class PlainLoader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2's plain scalars."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}  # type: ignore[misc]


_NUMBER = r"(\.[0-9][0-9_]*|[0-9][0-9_]*\.[0-9_]*)([eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.(inf|Inf|INF)"
for _name, _pattern, _first in (
    ("null", r"^(~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F][0-9a-fA-F_]*)$", list("-+0123456789")),
    ("float", rf"^[-+]?({_NUMBER})$|^\.(nan|NaN|NAN)$", list("-+.0123456789")),
    ("merge", r"^<<$", ["<"]),
):
    PlainLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(_pattern), _first)

_PLAIN = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str")}


@dataclass(frozen=True)
class Source:
    """The content of a YAML file and where each key of it stands."""

    path: Path
    text: str
    value: dict[str, Any]
    lines: dict[Key, int]  # path of keys → line, counted from 1
    mistakes: list[Problem] = field(default_factory=list)  # that left a value to check further
    replaced: dict[Key, str] = field(default_factory=dict)  # keys that the command line set → how it did
    base: Source | None = None  # the file that this one extends

    def depth(self, key: Key) -> int:
        """How many parts of `key` the file has; -1 for an empty file."""
        return next((length for length in range(len(key), -1, -1) if key[:length] in self.lines), -1)

    def line(self, key: Key) -> int | None:
        """The line of `key`, or of the nearest enclosing key that the file has."""
        return self.lines.get(key[: max(0, self.depth(key))])

    def problem(self, key: Key, what: str, **more: Any) -> Problem:
        """A mistake at `key` of this file, or of the command line where that has set the key."""
        for length in range(len(key), 0, -1):
            if key[:length] in self.replaced:
                return Problem(what, dotted(key), self.replaced[key[:length]], **more)
        if self.base is not None and self.base.depth(key) > self.depth(key):
            return self.base.problem(key, what, **more)
        if key and key not in self.lines:  # the command line may have made the section
            flag = next((flag for place, flag in self.replaced.items() if place[: len(key)] == key), None)
            if flag is not None:
                return Problem(what, dotted(key), flag, **more)
        return Problem(what, dotted(key) or None, str(self.path), self.line(key), **more)


def dotted(key: Key) -> str:
    """`('matrix', 'axes', 0)` as `matrix.axes[0]`."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else part)
    return text


def read(path: Path, *, strict: bool = True) -> Source:
    """Read the mapping in the YAML file `path`; UserError where the file is missing, ConfigError where it is wrong."""
    try:
        text = read_bytes(path, links=True).decode()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file{_instead(path)}", next_command="runner init") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a directory, not a YAML file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        raise UserError(f"{str(path)!r}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return parse(text, path, strict=strict)


def _instead(path: Path) -> str:
    """What stands where a missing file was looked for."""
    entries = path.parent.iterdir() if path.parent.is_dir() else ()
    files = sorted(entry.name for entry in entries if entry.suffix in SUFFIXES)
    listed = f"\n    there: {shortened(files, 8)}" if files else ""
    guess = nearest(path.name, files)
    return listed + (f"\n    did you mean: {path.parent / guess}" if guess else "")


def parse(text: str, path: Path, *, strict: bool = True) -> Source:
    """The mapping that `text` holds; `path` is named in errors.

    Raises ConfigError. strict: for any mistake; otherwise those that leave a value are in `mistakes` of the result.
    """
    try:
        root = yaml.compose(text, Loader=PlainLoader)
    except yaml.MarkedYAMLError as error:
        raise ConfigError([syntax_problem(error, path, text.splitlines())]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            [
                Problem(
                    f"not valid YAML: the character {text[error.position]!r} is not allowed", file=str(path), line=line
                )
            ]
        ) from None
    except RecursionError:
        raise ConfigError([Problem("not valid YAML: nested too deeply", file=str(path))]) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # such as the escape "\\UFFFFFFFF"
        raise ConfigError([Problem(f"not valid YAML: {error}", file=str(path))]) from None
    builder = _Builder(path)
    value = {} if root is None else builder.build(root, ())
    if not isinstance(value, dict) and not builder.problems:
        kind = "a list" if isinstance(value, list) else f"only the value {value!r}"
        builder.problems.append(Problem(f"holds {kind}, not keys with values", file=str(path), line=builder.lines[()]))
    if strict or not isinstance(value, dict):
        Mistakes(builder.problems).refuse()
    return Source(path, text, value, builder.lines, builder.problems)


class _Builder:
    """Values from YAML nodes, noting lines and collecting mistakes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[Key, int] = {}
        self.problems: list[Problem] = []
        self.nodes = 0
        self.merges = 0  # inside of each other
        self.too_large = False
        self.scalars = PlainLoader("")

    def wrong(self, node: yaml.Node, key: Key, what: str) -> Any:
        """Note a mistake; the value that stands for what is wrong: None."""
        self.problems.append(Problem(what, dotted(key) or None, str(self.path), node.start_mark.line + 1))

    def build(self, node: yaml.Node, key: Key) -> Any:
        if self.too_large:  # said once: an alias inside of itself would come here again and again
            return None
        self.nodes += 1
        self.lines.setdefault(key, node.start_mark.line + 1)
        if self.nodes > MAX_NODES or len(key) > MAX_DEPTH:
            self.too_large = True
            return self.wrong(node, (), "too large or nested too deeply")
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self.mapping(node, key)
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.build(child, (*key, index)) for index, child in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in _PLAIN:
            return self.scalar(node, key)
        return self.wrong(node, key, f"the tag {_short_tag(node)} is not allowed; write plain values")

    def scalar(self, node: yaml.ScalarNode, key: Key) -> Any:
        try:
            value = self.scalars.construct_object(node)
        except (ValueError, LookupError):  # an explicit tag such as !!int on other text
            return self.wrong(node, key, f"{node.value[:40]!r} is no {_short_tag(node)}")
        if isinstance(value, float) and not math.isfinite(value):
            return self.wrong(node, key, f"{node.value[:40]} is not a finite number")
        if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
            return self.wrong(node, key, f"{node.value[:40]} is too large a number")
        if isinstance(value, str) and not _encodable(value):
            return self.wrong(node, key, f"{value[:40]!r} is not Unicode text")
        return value

    def mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        values: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        first: dict[str, int] = {}
        before, previous = key, node
        for name_node, value_node in node.value:
            line = name_node.start_mark.line + 1
            if name_node.tag == "tag:yaml.org,2002:merge":
                merged |= self.merge(value_node, key)
                continue
            name, child = name_node.value, (*key, name_node.value)
            if not isinstance(name_node, yaml.ScalarNode) or name_node.tag not in _PLAIN:
                self.wrong(name_node, key, "a key must be plain text")
            elif not _encodable(name):
                self.wrong(name_node, key, f"the key {name[:40]!r} is not Unicode text")
            elif node.flow_style and name.isdecimal() and _is_empty(value_node) and _is_number(previous):
                number = f"{previous.value},{name}"
                self.wrong(
                    name_node,
                    before,
                    f"found {number}; in braces, a comma ends a value: write {number.replace(',', '.')}",
                )
            else:
                before, previous = child, value_node
                if name in first:
                    self.wrong(name_node, child, f"this key stands twice, first in line {first[name]}")
                else:
                    first[name] = self.lines[child] = line
                    values[name] = self.build(value_node, child)
        return merged | values

    def merge(self, node: yaml.Node, key: Key) -> dict[str, Any]:
        if self.merges >= MAX_DEPTH:
            self.too_large = True
            self.wrong(node, key, "'<<' merges a mapping into itself, or too many into each other")
            return {}
        self.merges += 1
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        values: dict[str, Any] = {}
        for part in reversed(parts):
            built = self.build(part, key)
            if isinstance(built, dict):
                values |= built
            else:
                self.wrong(part, key, "'<<' merges mappings only")
        self.merges -= 1
        return values


def scalar(text: str) -> Any:
    """`text` as a plain value of YAML. What YAML would make another text of stays text: 1_2, of which it drops the
    underscore, and numbers that are not finite or too large.
    """
    loader = PlainLoader("")
    tag = loader.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    if tag not in _PLAIN:
        return text
    value = loader.construct_object(yaml.ScalarNode(tag, text))
    a_number = isinstance(value, int | float) and not isinstance(value, bool)
    return text if a_number and ("_" in text or not abs(value) <= _LARGEST_INTEGER) else value


def _short_tag(node: yaml.Node) -> str:
    return str(node.tag).replace("tag:yaml.org,2002:", "!!")


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.value == ""


def _is_number(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.value.lstrip("-").isdecimal()


def _encodable(text: str) -> bool:
    """Whether `text` can be written to a file: an escape such as "\\ud800" alone cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)

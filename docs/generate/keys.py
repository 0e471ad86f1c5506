"""From a JSON schema to Markdown: a section for every mapping of the file, a row for every key of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from benchmarks.page import table

Node = dict[str, Any]
HEADER = ("key", "meaning", "allowed", "default")
_TYPES = {
    "string": "text", "integer": "a whole number", "number": "a number", "boolean": "true, false", "null": "null",
    "array": "a list", "object": "keys with values",
}  # fmt: skip
_LIMITS = {
    "minimum": "{} or more",
    "exclusiveMinimum": "more than {}",
    "maximum": "{} or less",
    "exclusiveMaximum": "less than {}",
    "minItems": "{} or more",
}


def pages(schema: Node, top: str, prefix: str = "", level: int = 2) -> str:
    """The keys of `schema`, then a section for every key that holds keys of its own; `top` introduces the first."""
    written = [_keys(schema, schema, prefix, top)]
    for title, node in _below(schema, schema, prefix):
        written.append(f"{'#' * level} {title}\n\n{_keys(schema, node, '', sentence(node))}")
    return "\n".join(written)


def missing(schema: Node) -> list[str]:
    """The keys that no comment explains, as `Model.key`."""
    found = {"": schema} | schema.get("$defs", {})
    return [
        f"{owner or schema.get('title')}.{name}"
        for owner, node in found.items()
        for name, field in node.get("properties", {}).items()
        if not _meaning(schema, field) and "const" not in field
    ]


def sentence(node: Node) -> str:
    return str(node.get("description", "")).split("\n\n")[0].replace("\n", " ")


def _keys(schema: Node, node: Node, prefix: str, intro: str) -> str:
    rows = [
        (
            f"`{prefix}{name}`",
            _meaning(schema, field),
            _allowed(schema, field),
            "**required**" if name in node.get("required", ()) else _default(schema, field),
        )
        for name, field in _own(node)
    ]
    return "\n".join(part for part in (f"{intro}\n" if intro else "", table(HEADER, rows) if rows else "") if part)


def _own(node: Node) -> list[tuple[str, Node]]:
    """The keys of a mapping; the `name` that chooses it stands in its title."""
    return [(name, field) for name, field in node.get("properties", {}).items() if "const" not in field]


def _below(schema: Node, node: Node, prefix: str) -> Iterator[tuple[str, Node]]:
    """Title and schema of every mapping below `node`, in the order of the file."""
    for name, field in node.get("properties", {}).items():
        members = _members(schema, field)
        for member in members:
            chosen = next((f["const"] for f in member.get("properties", {}).values() if "const" in f), None)
            title = f"`{prefix}{name}`" if chosen is None else f"`{prefix}{name}: {{name: {chosen}}}`"
            yield title, member
            yield from _below(schema, member, f"{prefix}{name}.")


def _members(schema: Node, field: Node) -> list[Node]:
    """The mappings that may stand at a key."""
    kinds = [*field.get("anyOf", ()), *field.get("oneOf", ()), *field.get("allOf", ())]
    own = [_resolved(schema, field)] if "$ref" in field else []
    return own + [member for kind in kinds for member in _members(schema, kind)]


def _resolved(schema: Node, node: Node) -> Node:
    name = str(node["$ref"]).rpartition("/")[2]
    found: Node = schema["$defs"][name]
    return found


def _meaning(schema: Node, field: Node) -> str:
    members = _members(schema, field)
    return _cell(field.get("description") or (sentence(members[0]) if len(members) == 1 else ""))


def _allowed(schema: Node, field: Node) -> str:
    """What may stand at a key, in words."""
    members = _members(schema, field)
    null = " or null" if any(kind.get("type") == "null" for kind in field.get("anyOf", ())) else ""
    if members:
        names = [f["const"] for member in members for f in member.get("properties", {}).values() if "const" in f]
        return (", ".join(f"`{name}`" for name in names) + ", see below" if names else "keys, see below") + null
    kinds = [kind for kind in field.get("anyOf", [field]) if kind.get("type") != "null"]
    return _cell(" or ".join(dict.fromkeys(_kind(kind) for kind in kinds)) + null)


def _kind(node: Node) -> str:
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    if "examples" in node:
        return "as " + ", ".join(f"`{value}`" for value in node["examples"])
    kind = node.get("type")
    word = _TYPES.get(kind, "any value") if isinstance(kind, str) else "any value"
    if "prefixItems" in node:
        word = f"a list of {len(node['prefixItems'])}"
    elif kind == "array" and _TYPES.get(node.get("items", {}).get("type")):
        word += f" of {_TYPES[node['items']['type']].removeprefix('a ')}".replace("number", "numbers")
    limits = [words.format(node[name]) for name, words in _LIMITS.items() if name in node and "prefixItems" not in node]
    return ", ".join([word, *limits])


def _default(schema: Node, field: Node) -> str:
    if "default" not in field:
        return ""
    value = field["default"]
    if _members(schema, field) and value is not None:
        chosen = value.get("name") if isinstance(value, dict) else None
        return f"`{chosen}`" if chosen else ""
    return f"`{_plain(value)}`" if value != "" else "empty"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

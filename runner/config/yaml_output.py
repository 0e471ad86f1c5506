"""YAML files written so that our reader and YAML 1.1's, which workers use, read the same values."""

from __future__ import annotations

from typing import Any

import yaml

from runner.config.yaml_source import PlainLoader
from runner.terminal import one_line

# five times as fast, where libyaml is there
_BASE: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_BASE):  # type: ignore[misc]
    """Puts quotation marks around text that either reader would take for something else, such as 1e5 and no."""

    def ignore_aliases(self, data: Any) -> bool:
        """Equal parts are written out; anchors would puzzle readers."""
        return True


for _first, _resolvers in PlainLoader.yaml_implicit_resolvers.items():
    for _tag, _pattern in _resolvers:
        _Dumper.add_implicit_resolver(_tag, _pattern, [_first])


def dump(value: Any, *comments: str) -> str:
    """`value`, made of plain types, as YAML below one line per comment; keys keep their order."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return "".join(f"# {one_line(comment)}\n" for comment in comments) + text

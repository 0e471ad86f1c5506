"""The comment that stands behind each field of a class, read from its source: "one comment a field" is the only place
where a key is explained, and from there it reaches the reference and the help in editors."""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from functools import cache
from pathlib import Path


def comments(cls: type) -> dict[str, str]:
    """Field → its comment, those that `cls` inherits included; fields without one, and classes made at run time, have
    none."""
    texts: dict[str, str] = {}
    for ancestor in reversed(cls.__mro__):
        file = getattr(sys.modules.get(ancestor.__module__), "__file__", None)
        if file is not None and file.endswith(".py"):
            texts |= _of_file(Path(file)).get(ancestor.__qualname__, {})
    return texts


@cache
def _of_file(path: Path) -> dict[str, dict[str, str]]:
    """Class → field → comment."""
    text = path.read_text(encoding="utf-8")
    by_line = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT and not token.string.startswith(("# noqa", "# type:", "# fmt:"))
    }
    return {
        node.name: {
            item.target.id.rstrip("_"): comment  # a key that is a word of Python ends in _: from_
            for item in node.body
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
            if (comment := " ".join(filter(None, map(by_line.get, range(item.lineno, (item.end_lineno or 0) + 1)))))
        }
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef)
    }

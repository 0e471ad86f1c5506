"""Which files of a folder a module of it needs: found by reading its imports, nothing is run."""

from __future__ import annotations

import ast
import os
from collections.abc import Collection, Iterator
from pathlib import Path

LEFT_OUT = ("__pycache__", "starters")


def code_of(module: str, folder: Path, without: Collection[str] = ()) -> Iterator[tuple[str, Path]]:
    """Name below `folder` → file, of `module` and of every module and package in `folder` that it imports.

    None where `module` is not there: an installed package is no code that a person is just writing. Packages are taken
    whole. without: top-level names that are left out.
    """
    waiting, seen = [module.partition(".")[0]], set(without)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        package, single = folder / name, folder / f"{name}.py"
        files = [(single.name, single)] if single.is_file() else []
        if any(package.glob("*.py")):  # else a folder of data that is called like an installed package
            files = [*files_of(package)]
        yield from files
        waiting += [other for _, path in files if path.suffix == ".py" for other in _imports(path)]


def _imports(path: Path) -> set[str]:
    """The top-level names that a file imports; none where it is no Python that can be read."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # the run will say so
        return set()
    names = [a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names]
    names += [n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module and not n.level]
    return {name.partition(".")[0] for name in names}


def files_of(package: Path) -> Iterator[tuple[str, Path]]:
    """Name below the folder that holds `package` → every file of it."""
    for folder, names, files in os.walk(package):
        names[:] = sorted(name for name in names if name not in LEFT_OUT)
        for name in sorted(files):
            path = Path(folder) / name
            yield str(path.relative_to(package.parent)), path

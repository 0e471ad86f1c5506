"""How long the code is, in statements of Python's own grammar: layout and comments count nothing.

python -m benchmarks.statements [FOLDER]
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

PRODUCT = ("runner", "jobs", "models", "analysis")
ROOT = Path(__file__).parents[1]


def statements(folder: Path) -> int:
    """Every statement below `folder`, docstrings and imports too."""
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in folder.rglob("*.py"))
    return sum(isinstance(node, ast.stmt) for tree in trees for node in ast.walk(tree))


def main(root: Path) -> None:
    """Print the count of each package, of the product, and of the tests."""
    counts = {name: statements(root / name) for name in PRODUCT}
    for name, count in {**counts, "product": sum(counts.values()), "tests": statements(root / "tests")}.items():
        print(f"{name:10}{count:8,}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)

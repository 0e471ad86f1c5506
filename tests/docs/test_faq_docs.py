"""Every health rule of the code stands in the FAQ, and the FAQ names no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
NAMED_BY_ANOTHER = {  # variables that hold a rule
    "name": {"t_norm", "u_norm"},
    "rule": {
        "ratio_low",
        "ratio_high",
        "fusion_idle",
        "fusion_drowning",
        "guidance_low",
        "guidance_high",
    },  # the last two: as sentiment declares
    "level": set(),
}


def rules() -> set[str]:
    """The second argument of every Finding(…), in the modules of health."""
    found: set[str] = set()
    for path in (REPOSITORY / "runner" / "health").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Finding", "finding", "of_scale"):
                for said in ast.walk(node.args[1]) if len(node.args) > 2 else ():
                    if isinstance(said, ast.Constant) and isinstance(said.value, str):
                        found.add(said.value.rstrip("_"))
                    elif isinstance(said, ast.Name) and said is node.args[1]:
                        found |= NAMED_BY_ANOTHER[said.id]
    return found


def test_faq_has_every_rule_and_no_other() -> None:
    text = (REPOSITORY / "docs" / "faq.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]*`) \|", text, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == rules()


def test_every_heading_is_a_question() -> None:
    text = (REPOSITORY / "docs" / "faq.md").read_text(encoding="utf-8")
    assert [heading for heading in re.findall(r"^## (.*)$", text, re.MULTILINE) if not heading.endswith("?")] == []

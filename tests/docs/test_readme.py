"""README is short, its file works, and README.zh.md says the same in Chinese."""

from __future__ import annotations

import re
from pathlib import Path

from runner_main import run

REPOSITORY = Path(__file__).parents[2]
ENGLISH, CHINESE = ((REPOSITORY / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md"))
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def links(text: str) -> list[str]:
    """Every target outside of code, of a translated page that of the original."""
    return [target.replace(".zh.md", ".md") for target in re.findall(r"\]\(([^)\s]+)\)", _FENCE.sub("", text))]


def test_what_somebody_needs_first_stands_on_the_first_screen() -> None:
    for text in (ENGLISH, CHINESE):
        lines = text.splitlines()
        assert len(lines) <= 120
        assert {"make demo", "make test"} <= set(lines[:24])


def test_file_for_a_script_of_ones_own_has_ten_lines_and_is_right(tmp_path: Path) -> None:
    (shown,) = (text for kind, text in _FENCE.findall(ENGLISH) if kind == "yaml")
    assert len(shown.splitlines()) == 10
    (tmp_path / "search.yaml").write_text(shown)
    assert "12 runs (4 variants × 3 seeds)" in run("expand", tmp_path / "search.yaml", "--root", tmp_path).out


def test_both_languages_have_the_same_commands_files_and_links() -> None:
    assert _FENCE.findall(ENGLISH) == _FENCE.findall(CHINESE)
    assert links(ENGLISH) == links(CHINESE)
    assert len(re.findall(r"^## ", ENGLISH, re.MULTILINE)) == len(re.findall(r"^## ", CHINESE, re.MULTILINE))
    in_text = [re.findall(r"`([^`\n]+)`", _FENCE.sub("", text)) for text in (ENGLISH, CHINESE)]
    assert sorted(in_text[0]) == sorted(in_text[1])

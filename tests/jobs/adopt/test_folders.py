"""Folders that a pattern names, and what their names say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from jobs.adopt.folders import folders


def made(root: Path, *names: str) -> str:
    for name in names:
        (root / name).mkdir(parents=True)
    return str(root)


def values(pattern: str) -> list[dict[str, Any]]:
    return [folder.values for folder in folders(pattern).matching]


def test_names_become_values_as_yaml_reads_them_in_natural_order(tmp_path: Path) -> None:
    root = made(tmp_path, "layers_10_seed1", "layers_2_seed0", "layers_2-3_seed0", "layers_true_seed007")
    assert values(f"{root}/layers_{{layers}}_seed{{seed}}") == [
        {"layers": "2-3", "seed": 0}, {"layers": 2, "seed": 0}, {"layers": 10, "seed": 1}, {"layers": True, "seed": 7},
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["1_2", "1e400", "99999999999999999999", ".nan", "<<"])
def test_what_yaml_would_make_another_value_of_stays_text(tmp_path: Path, text: str) -> None:
    root = made(tmp_path, f"layers-{text}")
    assert values(f"{root}/layers-{{layers}}") == [{"layers": text}]


def test_several_levels_stars_and_a_name_twice(tmp_path: Path) -> None:
    root = made(tmp_path, "gap/lr_0.1_x7/lr0.1", "gap/lr_0.2_x8/lr0.1", "bulk/lr_0.1_x9/lr0.1")
    layout = folders(f"{root}/{{property}}/lr_{{lr}}_*/lr{{lr}}")
    assert [folder.values for folder in layout.matching] == [
        {"property": "bulk", "lr": 0.1}, {"property": "gap", "lr": 0.1},
    ]  # fmt: skip
    assert layout.others == [f"{root}/gap/lr_0.2_x8/lr0.1"]


def test_a_name_that_can_be_read_in_two_ways_is_refused_with_both(tmp_path: Path) -> None:
    root = made(tmp_path, "a_b_c")
    with pytest.raises(ValueError, match=r"'a_b_c' in two ways: x = a, y = b_c, or x = a_b, y = c"):
        folders(f"{root}/{{x}}_{{y}}")


def test_links_files_and_names_that_command_a_terminal_are_not_read(tmp_path: Path) -> None:
    root = made(tmp_path / "runs", "seed0", "seedx", ".seed1", "seed\x1b[2J", "seed\udcff")
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", f"{root}/seed5")
    os.mkfifo(f"{root}/seed6")
    layout = folders(f"{root}/seed{{seed}}")
    assert [folder.values for folder in layout.matching] == [{"seed": 0}]
    assert layout.links == [f"{root}/seed5"]
    assert len(layout.others) == 3


def test_a_tree_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no folder .*/nowhere"):
        folders(f"{tmp_path}/nowhere/seed{{seed}}")

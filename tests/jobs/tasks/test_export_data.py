"""A folder in ALIGNN's convention that other programs read."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from jobs.tasks.crystal.data import export, folder
from jobs.tasks.crystal.data.sources import load

TARGET = "formation_energy_peratom"


@pytest.mark.torch
def test_exported_folder_holds_the_same_crystals(tmp_path: Path) -> None:
    assert export.main(["jarvis_minerals", TARGET, str(tmp_path), "--count", "6"]) == 0
    written = folder.load(tmp_path)
    for ours, theirs in zip(load("jarvis_minerals", TARGET).crystals[:6], written, strict=True):
        assert theirs.material_id == ours.material_id
        assert theirs.formula == ours.formula
        assert theirs.targets == {"target": ours.targets[TARGET]}
        assert theirs.texts["robocrys"] == re.sub(r"^\s+|\s+$", "", ours.texts["robocrys"])
        np.testing.assert_allclose(theirs.lattice, ours.lattice, atol=1e-9)
        order = np.argsort(ours.symbols, kind="stable")
        np.testing.assert_allclose(theirs.fractional, ours.fractional[order], atol=1e-9)


def test_a_folder_that_is_there_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "id_prop.csv").write_text("")
    assert export.main(["jarvis_minerals", TARGET, str(tmp_path)]) == 2
    assert "id_prop.csv exists" in capsys.readouterr().err

"""Descriptions: shipped, computed, cleaned, cached."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from build_log import builds
from jobs.tasks.crystal.data.sources import load
from jobs.tasks.crystal.text import descriptions
from jobs.tasks.crystal.text.descriptions import clean_jarvis, clean_robocrys, describe, describe_jarvis
from runner.errors import ConfigError, UserError


def built(root) -> list[tuple[str, int]]:
    return [(build["kind"], build["items"]) for build in builds(root)]


def test_shipped_descriptions_are_read_not_computed(tmp_path) -> None:
    crystals = load("mp6k", None).crystals[:50]
    texts = describe(crystals, "jarvis", tmp_path)
    assert texts == [it.texts["jarvis"] for it in crystals]
    assert built(tmp_path) == []


@pytest.mark.torch
def test_shipped_descriptions_are_those_that_jarvis_tools_writes() -> None:
    for it in load("mp6k", None).crystals[7::1500]:
        assert describe_jarvis(it) == it.texts["jarvis"]


@pytest.mark.torch
@pytest.mark.slow
def test_descriptions_are_the_same_in_every_process() -> None:
    """jarvis-tools lists Wyckoff letters in the order of a set, which changes with PYTHONHASHSEED."""
    program = (
        "from jobs.tasks.crystal.text.descriptions import describe_jarvis;"
        "from jobs.tasks.crystal.data.sources import load;"
        "print([describe_jarvis(it) for it in load('jarvis_minerals', None).crystals[4:200:60]])"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "3")
    }
    assert len(printed) == 1


@pytest.mark.torch
def test_computed_descriptions_are_cached_by_structure(tmp_path) -> None:
    crystals = load("jarvis_minerals", None).crystals[:3]
    said: list[str] = []
    texts = describe(crystals, "jarvis", tmp_path, said.append)
    assert texts[0].startswith("TiO2 crystallizes in the tetragonal P4_2/mnm spacegroup")
    assert said == ["describing 3 crystals with jarvis"]
    renamed = [replace(it, material_id="other") for it in crystals]
    assert describe(renamed, "jarvis", tmp_path, said.append) == texts
    describe(load("jarvis_minerals", None).crystals[:4], "jarvis", tmp_path)
    assert built(tmp_path) == [("jarvis descriptions", 3), ("jarvis descriptions", 1)]


@pytest.mark.torch
def test_an_interrupted_build_goes_on_where_it_was(tmp_path, monkeypatch) -> None:
    crystals = load("jarvis_minerals", None).crystals[:3]

    def fails_at_the_third(crystal) -> str:
        if crystal is crystals[2]:
            raise KeyboardInterrupt
        return f"text of {crystal.material_id}"

    monkeypatch.setattr(descriptions, "describe_jarvis", fails_at_the_third)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        describe(crystals, "jarvis", tmp_path)
    monkeypatch.setattr(descriptions, "describe_jarvis", lambda crystal: "computed later")
    assert describe(crystals, "jarvis", tmp_path) == ["text of JVASP-5", "text of JVASP-25", "computed later"]


def test_a_text_column_may_have_gaps(tmp_path) -> None:
    first, second = load("jarvis_minerals", None).crystals[:2]
    crystals = [replace(first, texts={"note": "a"}), replace(second, texts={})]
    assert describe(crystals, "note", tmp_path) == ["a", None]


def test_an_unknown_column_names_the_nearest(tmp_path) -> None:
    crystals = load("jarvis_minerals", None).crystals[:2]
    wanted = r"no text column 'robocryst'\s+allowed: jarvis, robocrys\s+did you mean: robocrys"
    with pytest.raises(ConfigError, match=wanted):
        describe(crystals, "robocryst", tmp_path)


def test_a_package_that_is_not_installed_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(descriptions.PACKAGES, "robocrys", "robocrys-that-nobody-installed")
    crystals = [replace(it, texts={}) for it in load("jarvis_minerals", None).crystals[:1]]
    with pytest.raises(
        UserError,
        match=r"needs the package robocrys-that-nobody-installed, which is not installed[\s\S]*describe: jarvis",
    ):
        describe(crystals, "robocrys", tmp_path)


def test_jarvis_texts_are_mended() -> None:
    raw = "with electronegaticities as 1.6 and 'F': 0.667. A-B: 2.01 Å.The lattice 90.0º with Wyckoff symbols i, a, d."
    assert clean_jarvis(raw) == (
        "with electronegativities as 1.6 and F: 0.667. A-B: 2.01 Å. The lattice 90.0° with Wyckoff symbols a, d, i."
    )


def test_robocrys_texts_are_mended() -> None:
    raw = (
        "in the (np.int64(0), np.int64(-1), np.int64(1)) direction. Ar is bonded in a 1-coordinate geometry to  atoms."
    )
    assert clean_robocrys(raw) == (
        "in the (0, -1, 1) direction. Ar is bonded in a 1-coordinate geometry to neighbouring atoms."
    )
    assert clean_robocrys("a mixture of corner and edge-sharing, corner, face, and edge-sharing, edge-sharing") == (
        "a mixture of edge and corner-sharing, face, edge, and corner-sharing, edge-sharing"
    )
    shipped = [it.texts["robocrys"] for it in load("jarvis_minerals", None).crystals]
    assert [clean_robocrys(text) for text in shipped] == shipped


@pytest.mark.torch
@pytest.mark.slow
def test_processes_describe_in_the_same_order(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(descriptions, "WORTH_PROCESSES", 1)
    crystals = [replace(it, texts={}) for it in load("mp6k", None).crystals[40:43]]
    shipped = [it.texts["jarvis"] for it in load("mp6k", None).crystals[40:43]]
    assert describe(crystals, "jarvis", tmp_path, workers=2) == shipped

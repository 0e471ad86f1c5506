"""Crystals and their checks."""

from __future__ import annotations

import numpy as np
import pytest
from jarvis.core.specie import Specie

from jobs.tasks.crystal.data.crystals import ATOMIC_NUMBERS, SYMBOLS, crystal, reduced_formula
from runner.errors import UserError

CUBE = np.eye(3) * 4.0


def test_symbols_are_those_of_jarvis_tools() -> None:
    assert len(SYMBOLS) == 119
    for symbol in ("H", "O", "Fe", "La", "Hf", "Pt", "U"):
        assert ATOMIC_NUMBERS[symbol] == Specie(symbol).Z


def test_cartesian_and_fractional_coordinates_mean_the_same() -> None:
    lattice = CUBE + np.triu(np.ones((3, 3)), 1)
    fractional = crystal("a", lattice, ["Na", "Cl"], [[0, 0, 0], [0.5, 0.25, 0.1]])
    cartesian = crystal("a", lattice, ["Na", "Cl"], fractional.positions, cartesian=True)
    np.testing.assert_allclose(cartesian.fractional, fractional.fractional, atol=1e-15)


def test_formula_is_reduced_and_sorted() -> None:
    assert reduced_formula([22, 22, 8, 8, 8, 8]) == "O2Ti"
    assert crystal("a", CUBE, ["Na", "Cl"], [[0, 0, 0], [0.5] * 3]).formula == "ClNa"


def test_structure_key_sees_structure_only() -> None:
    one = crystal("a", CUBE, ["Na"], [[0, 0, 0]], targets={"e": 1.0}, texts={"t": "x"})
    assert crystal("b", CUBE, ["Na"], [[0, 0, 0]]).structure_key == one.structure_key
    assert crystal("b", CUBE, ["K"], [[0, 0, 0]]).structure_key != one.structure_key
    assert crystal("b", CUBE, ["Na"], [[0, 0, 1e-12]]).structure_key != one.structure_key


@pytest.mark.parametrize(
    ("lattice", "symbols", "coordinates", "message"),
    [
        (CUBE, ["Na"], [[0, 0, float("nan")]], r"'mp-1' in table\.csv: coordinates: a value is not finite"),
        ([[1, 2, "x"], [0, 1, 0], [0, 0, 1]], ["Na"], [[0, 0, 0]], "lattice: not an array of numbers"),
        ([[4, 0, 0], [8, 0, 0], [0, 0, 4]], ["Na"], [[0, 0, 0]], r"volume of 0 Å³ for 1 atoms"),
        (CUBE, ["Na", "Q"], [[0, 0, 0], [0.5] * 3], "unknown element Q; allowed are the symbols from H to Og"),
        (CUBE, ["Na"], [[0, 0, 0], [0.5] * 3], r"1 elements and coordinates of shape \(2, 3\)"),
        (CUBE, [], np.zeros((0, 3)), r"0 elements"),
        (np.eye(2), ["Na"], [[0, 0, 0]], r"three vectors of three numbers; found shape \(2, 2\)"),
    ],
)
def test_what_is_no_crystal_is_refused_by_name(lattice, symbols, coordinates, message) -> None:
    with pytest.raises(UserError, match=message):
        crystal("mp-1", lattice, symbols, coordinates, where="table.csv")


@pytest.mark.parametrize("name", ["", "  ", "a\0b", "a\nb", "\x1b[2J", "a\u202eb"], ids=repr)
def test_an_id_is_a_text_that_can_be_printed(name) -> None:
    with pytest.raises(UserError, match="an id is a text without control characters"):
        crystal(name, np.eye(3) * 3, ["Na"], [[0, 0, 0]])


@pytest.mark.parametrize("edge", [0, 1e-200, 1e200, 1e308])
def test_a_cell_without_a_finite_volume_is_refused(edge) -> None:
    with pytest.raises(UserError, match="the cell has a volume of"):
        crystal("x", np.eye(3) * edge, ["Na"], [[0, 0, 0]])

"""Tables that are readable in a narrow terminal and lose nothing in a wide one or a pipe."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from runner.commands.tables import Column, fitted
from runner.console import PIPE_WIDTH, console


def drawn(columns: list[Column], width: int) -> list[str]:
    out = io.StringIO()
    found = Console(file=out, width=width, highlight=False, markup=False)
    found.print(fitted(columns, width))
    return [line.rstrip() for line in out.getvalue().splitlines()]


COLUMNS = [
    Column("#", ["1", "10"], right=True),
    Column("variant", ["a=1 b=2", "a long name of a variant"], fold=True),
    Column("note", ["", ""]),
    Column("job", ["12_3", ""], keep=20),
    Column("run", ["a-1-b-2-s0-01234567", "a-long-name-of-a-variant-s0-89abcdef"], keep=10),
]


def test_all_columns_stand_where_there_is_room_and_empty_ones_never() -> None:
    assert drawn(COLUMNS, 120) == [
        " #  variant                   job   run",
        " 1  a=1 b=2                   12_3  a-1-b-2-s0-01234567",
        "10  a long name of a variant        a-long-name-of-a-variant-s0-89abcdef",
    ]


def test_the_least_needed_columns_give_way_first() -> None:
    assert drawn(COLUMNS, 40)[0].split() == ["#", "variant", "job"]
    assert drawn(COLUMNS, 15)[0].split() == ["#", "variant"]


@pytest.mark.parametrize("width", [12, 20, 40, 80, 120])
def test_no_line_is_wider_than_the_terminal_and_no_variant_is_cut(width: int) -> None:
    lines = drawn(COLUMNS, width)
    assert max(map(len, lines)) <= width
    assert "alongnameofavariant" in "".join(lines).replace(" ", "").replace("10", "")


def test_markup_in_names_is_only_text() -> None:
    assert drawn([Column("variant", ["[red]x[/red] [0]"])], 80)[1] == "[red]x[/red] [0]"


def test_a_pipe_is_wide_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert console().width == PIPE_WIDTH
    monkeypatch.setenv("COLUMNS", "60")
    assert console().width == 60

"""Text and tables that fit a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppo.core.figures import number
from ppo.core.screen import fold, rows, width


@pytest.mark.parametrize(("told", "taken"), [("132", 132), ("80", 80), ("9", 40), ("", 80)])
def test_the_width_is_that_of_the_terminal_and_80_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch, told: str, taken: int
) -> None:
    monkeypatch.setenv("COLUMNS", told)
    assert width() == taken


def test_a_line_that_is_too_long_goes_on_below_itself_further_in() -> None:
    text = "    try ppo.gamma=0.9 now\nshort"
    assert fold(text, 22) == "    try ppo.gamma=0.9\n      now\nshort"
    assert fold(text, 22, further=0) == "    try ppo.gamma=0.9\n    now\nshort"
    assert fold(text, 80) == text


def test_a_word_that_is_longer_than_a_line_stays_whole() -> None:
    path = "/a/folder-with-hyphens/and-more/run0001"
    assert path in fold(f"files: {path}", 20).split()


FIGURE = st.floats(allow_nan=True, allow_infinity=True).map(number)


@given(
    st.lists(st.tuples(st.text("abc_", max_size=30), FIGURE, FIGURE, FIGURE, FIGURE), min_size=1)
)
def test_a_table_of_any_figures_fits_80_columns_and_none_is_cut(grid: list[tuple]) -> None:
    lines = rows(grid, 80, ["return: mean +- std"] * len(grid))
    assert max(map(len, lines)) <= 80
    for line, row in zip(lines, grid, strict=True):
        assert line.endswith("  return: mean +- std")
        assert line.split()[-8:-4] == list(row[1:])


def test_figures_stand_below_each_other_and_a_long_name_is_marked() -> None:
    lines = rows([["name", "a", "bb"], ["n" * 30, "-1.5", "2"]], 80, ["", "fine"])
    assert lines == [
        "  name                       a    bb",
        "  " + "n" * 19 + "~    -1.5     2  fine",
    ]

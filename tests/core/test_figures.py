"""One form for figures: what a reader sees is near the number, short, and the same everywhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppo.core.figures import compact, duration, number, setting, signed
from ppo.core.metrics import clean

FINITE = st.floats(-1e307, 1e307, allow_subnormal=False)
LETTERS = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (0.5, "0.5"), (0.31416, "0.314"), (0.012, "0.012"), (21.44, "21.4"),
        (214.4, "214"), (999.7, "1,000"), (4812.3, "4,812"), (-781.2, "-781"), (1.234e6, "1.23e6"),
        (1.2e-4, "1.2e-4"), (9.999e-4, "0.001"), (None, "-"), (math.nan, "-"), (-math.inf, "-"),
        (np.float32(0.5), "0.5"), (3, "3"), ("text", "-"),
    ],
)  # fmt: skip
def test_a_figure_has_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (15_360, "15.4k"), (612_345, "612k"), (999_999, "1M"), (1e6, "1M"), (-2e9, "-2G"),
        (9_999.0, "10k"), (9_990.0, "9,990"), (1e15, "1e15"), (-1.234e-10, "-1.2e-10"), (None, "-"),
    ],
)  # fmt: skip
def test_a_narrow_column_has_letters(value: float, text: str) -> None:
    assert compact(value) == text


@given(FINITE)
def test_what_is_shown_is_near_the_value(value: float) -> None:
    near = {"rel": 0.006, "abs": 0.0}
    assert float(number(value).replace(",", "")) == pytest.approx(value, **near)
    assert float(setting(value)) == pytest.approx(value, **near)
    short = compact(value)
    factor = LETTERS.get(short[-1], 1.0)
    read = float(short.rstrip("kMGT").replace(",", "")) * factor
    assert read == pytest.approx(value, rel=0.06 if "e" in short else 0.006, abs=0.0)


@given(FINITE.filter(lambda value: 1e-99 < abs(value) < 1e99))
def test_a_narrow_figure_fits(value: float) -> None:
    assert len(compact(value)) <= 8


@given(FINITE)
def test_a_difference_has_its_sign(value: float) -> None:
    assert signed(value)[0] == ("0" if value == 0 else "+" if value > 0 else "-")
    assert signed(value).lstrip("+") == number(value)


def test_durations() -> None:
    assert [duration(s) for s in (5, 65, 7384, 432_000)] == ["0:05", "1:05", "2:03:04", "5 d"]


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "nan", "3"])
def test_what_is_no_number_is_none(value: object) -> None:
    assert clean(value) is None
    assert clean(np.float64(2.5)) == 2.5

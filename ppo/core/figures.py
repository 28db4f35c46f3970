"""How a figure is written for a reader: one form for the terminal, tables, evidence and pages."""

from __future__ import annotations

from typing import Any

from ppo.core.metrics import clean

DIGITS = 3  # significant ones that a reader takes in
LETTERS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
LETTERS_FROM, LETTERS_TO = 1e4, 1e15


def number(value: float | None) -> str:
    """Three digits, or all those before the point: 0.314, 21.4, 4,812, 1.2e6; `-` for none."""
    value = clean(value)
    if value is None:
        return "-"
    if abs(value) < 1000:
        value = _rounded(value) + 0.0  # no -0
    if value and not 1e-3 <= abs(value) < 1e6:
        return _scientific(value, DIGITS)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{DIGITS}g}"


def signed(value: float | None) -> str:
    """As `number`, a difference: with a plus where there is no minus."""
    return f"+{number(value)}" if (clean(value) or 0.0) > 0 else number(value)


def compact(value: float | None) -> str:
    """As `number` in at most eight characters, for narrow columns: 15.4k, 1M, 214, -1.2e-10."""
    value = clean(value)
    if value is not None and LETTERS_FROM <= abs(_rounded(value)) < LETTERS_TO:
        value = _rounded(value)
        unit, letter = next(pair for pair in LETTERS if abs(value) >= pair[0])
        return f"{value / unit:.{DIGITS}g}{letter}"
    text = number(value)
    return _scientific(value, DIGITS - 1) if value is not None and "e" in text else text


def setting(value: float) -> str:
    """A value to be typed into a configuration: three digits and nothing that groups them."""
    return f"{value:.{DIGITS}g}"


def duration(seconds: float) -> str:
    """1:05, 2:03:04, 5 d."""
    if seconds >= 100 * 3600:
        return f"{compact(seconds / 86_400)} d"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def written(value: Any) -> str:
    """A value of a setting as it is typed: true, false and null are those of YAML."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _scientific(value: float, digits: int) -> str:
    """1.2e6: no trailing zeros."""
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"

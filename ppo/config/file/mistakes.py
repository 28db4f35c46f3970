"""Where a value came from, and the one line that says what is wrong with it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ppo.core.errors import UserError

Path = tuple[str | int, ...]

MAX_SHOWN = 20  # a file of the wrong kind would otherwise print thousands of lines
MAX_VALUE_LENGTH = 60


def one_line(text: str) -> str:
    """`text` with everything escaped that would break the line or steer the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def show(value: Any) -> str:
    """A value as its writer would recognize it, short enough for one line."""
    if value is None:
        text = "null"
    elif isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, float):
        text = {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(repr(value), repr(value))
    elif isinstance(value, int):
        # Python refuses to print integers of more than 4,300 digits.
        text = str(value) if abs(value) < 10**20 else f"an integer of {value.bit_length()} bits"
    elif isinstance(value, str):
        text = repr(value[: MAX_VALUE_LENGTH + 1])
    elif isinstance(value, list | tuple):
        text = "[" + ", ".join(show(item) for item in value[:8]) + (", ...]" if value[8:] else "]")
    elif isinstance(value, dict):
        pairs = [f"{one_line(str(key)[:20])}: {show(value[key])}" for key in list(value)[:4]]
        text = "{" + ", ".join(pairs) + (", ...}" if len(value) > 4 else "}")
    else:
        text = f"a {type(value).__name__}"
    text = one_line(text)
    return text if len(text) <= MAX_VALUE_LENGTH else text[: MAX_VALUE_LENGTH - 3] + "..."


def dotted(path: Path) -> str:
    """("network", "hidden_sizes", 0) -> network.hidden_sizes[0]."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{one_line(str(part)[:80])}"
    return text.removeprefix(".")


@dataclass
class Tree:
    """Settings as read, with the place each of them was written at.

    `places` maps the path of a key to `config.yaml:17` or to `--set ppo.gamma=2`.
    """

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[Path, str] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)

    def report(self, path: Path, text: str) -> None:
        """Notes a mistake at `path`, once."""
        line = self.describe(path, text)
        if line not in self.mistakes:
            self.mistakes.append(line)

    def describe(self, path: Path, text: str) -> str:
        """`text` behind the place and the name of the key."""
        place = self.place(path)
        name = dotted(path)
        if place.startswith("--"):
            return f"{place}: {text}"
        return f"{place} {name}: {text}".lstrip()

    def place(self, path: Path) -> str:
        """The place of the nearest enclosing key that has one, or nothing."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return ""

    def raise_mistakes(self) -> None:
        """Raises one UserError with everything noted so far, if anything was."""
        if self.mistakes:
            raise UserError(*shortened(sorted(self.mistakes, key=_line_number)))


def shortened(lines: list[str]) -> list[str]:
    """The first lines and a count of the rest."""
    if len(lines) <= MAX_SHOWN:
        return lines
    return [*lines[:MAX_SHOWN], f"and {len(lines) - MAX_SHOWN} more mistakes"]


def _line_number(line: str) -> float:
    """Sorts a file's mistakes from top to bottom, those of the command line behind them."""
    found = None if line.startswith("--") else re.match(r".*?:(\d+)[: ]", line)
    return int(found[1]) if found else float("inf")

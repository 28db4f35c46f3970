"""What fits into the user's terminal: its width, sentences cut at spaces, tables of few columns."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

WIDTH = 80  # columns of a display whose size is not known
NARROWEST, WIDEST = 40, 100  # of a display; of sentences, however wide it is
LONGEST_NAME, SHORTEST_NAME = 20, 6  # characters of the first cell of a row
WIDEST_GAP = 4  # spaces between figures


def width() -> int:
    """Columns of the terminal, or those that a user set; 80 where neither is known."""
    return max(shutil.get_terminal_size((WIDTH, 24)).columns, NARROWEST)


def fold(text: str, columns: int | None = None, further: int = 2) -> str:
    """A text whose lines fit; a longer one goes on below itself, `further` columns further in.

    A word that is longer than a line, such as a path, stays whole.
    """
    columns = width() if columns is None else columns
    return "\n".join(
        piece for line in text.split("\n") for piece in _folded(line, columns, further)
    )


def _folded(line: str, columns: int, further: int) -> list[str]:
    if len(line) <= columns:
        return [line]
    indent = len(line) - len(line.lstrip())
    return wrapped(line, columns, "", " " * (indent + further))


def wrapped(text: str, columns: int, first: str, then: str) -> list[str]:
    """Lines of at most so many columns, cut at spaces only; what they begin with is given."""
    return textwrap.wrap(
        text,
        columns,
        initial_indent=first,
        subsequent_indent=then,
        break_on_hyphens=False,
        break_long_words=False,
    )


def rows(grid: Sequence[Sequence[str]], columns: int, words: Sequence[str] = ()) -> list[str]:
    """A table: names at the left, figures at the right below each other, two columns indented.

    Args:
        grid: rows of a name and as many figures each.
        words: what stands behind each row.
    """
    words = list(words) or [""] * len(grid)
    wide = [max(len(row[i]) for row in grid) for i in range(len(grid[0]))]
    behind = max(len(word) + 2 * bool(word) for word in words)
    name, gap = min(wide[0], LONGEST_NAME), WIDEST_GAP
    while gap > 1 and _taken(name, wide, gap, behind) > columns:
        gap -= 1
    over = max(_taken(name, wide, gap, behind) - columns, 0)
    name = max(name - over, min(name, SHORTEST_NAME))
    lines = []
    for row, word in zip(grid, words, strict=True):
        head = row[0] if len(row[0]) <= name else row[0][: name - 1] + "~"
        cells = "".join(f"{cell:>{w + gap}}" for cell, w in zip(row[1:], wide[1:], strict=True))
        lines.append(f"  {head:<{name}}{cells}  {word}".rstrip())
    return lines


def _taken(name: int, wide: Sequence[int], gap: int, behind: int) -> int:
    return 2 + name + sum(w + gap for w in wide[1:]) + behind

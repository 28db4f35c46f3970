"""Remedies in the words of the library that wrote a log."""

from __future__ import annotations

from collections.abc import Sequence

from ppo.core.elsewhere import ELSEWHERE, VALUES

ELSE = "; else "  # between two remedies
PYTHON = frozenset(ELSEWHERE) - {"ml-agents"}  # whose settings are typed as Python's words


def describe(changes: Sequence[tuple[str, str, str]], writer: str) -> str:
    """Changes (key, value, note) as one line; those without a counterpart are left out."""
    parts = [_part(*change, writer) for change in changes]
    told = list(dict.fromkeys(part for part in parts if part))
    return ELSE.join(told or ["look at what reward and observation hold"])


def _part(key: str, value: str, note: str, writer: str) -> str:
    if not key:
        return note
    name = key
    if writer != "ppo":
        names = ELSEWHERE.get(writer)
        common = any(key in words for words in ELSEWHERE.values())  # ours alone are of no use
        name = names.get(key, "") if names else key.rpartition(".")[2] if common else ""
        if not name:
            return ""
    value = VALUES.get((writer, key, value), value)
    if value in ("true", "false") and writer in PYTHON:
        value = value.capitalize()
    what = f"{name}={value}" if value else name
    if "..." in name:
        what = name.replace("...", value)
    elif "=" in name or " in the scene" in name or value == "True" and _is_wrapper(name):
        what = name  # the value is in their words already
    return f"{what} ({note})" if note else what


def _is_wrapper(name: str) -> bool:
    """Whether what is to be true is a class to put around the environment."""
    return name.split()[0].rpartition(".")[2][:1].isupper()

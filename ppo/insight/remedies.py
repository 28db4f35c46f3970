"""Remedies in the words of the library that wrote a log."""

from __future__ import annotations

from collections.abc import Sequence

from ppo.core.elsewhere import ELSEWHERE, VALUES


def describe(changes: Sequence[tuple[str, str, str]], writer: str) -> str:
    """Changes (key, value, note) as one line; those without a counterpart are left out."""
    parts = [_part(*change, writer) for change in changes]
    told = list(dict.fromkeys(part for part in parts if part))
    return "; else ".join(told or ["look at what reward and observation hold"])


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
    what = f"{name}={value}" if value else name
    if "..." in name:
        what = name.replace("...", value.capitalize())
    elif "=" in name or " in the scene" in name:
        what = name  # the value is in their words already
    return f"{what} ({note})" if note else what

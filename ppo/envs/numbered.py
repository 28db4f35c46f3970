"""`{index}` in env.kwargs: the number of the environment, for a port or a file of its own."""

from __future__ import annotations

import re
from typing import Any

from ppo.core.errors import UserError

PLACEHOLDER = re.compile(r"\{\s*index\s*(?:\+\s*(\d+)\s*)?\}")


def filled(value: Any, index: int) -> Any:
    """`value` with `{index}` and `{index+5000}` replaced, in lists and mappings too.

    A placeholder alone is a whole number; inside other text it is text.

    Raises:
        UserError: YAML has read a placeholder as a mapping.
    """
    if isinstance(value, str):
        whole = PLACEHOLDER.fullmatch(value.strip())
        if whole:
            return index + int(whole[1] or 0)
        return PLACEHOLDER.sub(lambda found: str(index + int(found[1] or 0)), value)
    if isinstance(value, dict):
        _refuse_mapping(value)
        return {key: filled(part, index) for key, part in value.items()}
    return [filled(part, index) for part in value] if isinstance(value, list) else value


def is_numbered(value: Any) -> bool:
    """Whether there is a placeholder in it."""
    if isinstance(value, str):
        return PLACEHOLDER.search(value) is not None
    if isinstance(value, dict):
        return any(map(is_numbered, value.values()))
    return isinstance(value, list) and any(map(is_numbered, value))


def refuse_numbered(kwargs: Any, backend: str) -> None:
    """For environments that are all made by one call.

    Raises:
        UserError: there is a placeholder.
    """
    if is_numbered(kwargs):
        raise UserError(
            f"env.kwargs: {{index}} is the number of one environment, and env.backend: {backend} "
            "makes all of them at once; write env.backend: sync, or async"
        )


def _refuse_mapping(value: dict[Any, Any]) -> None:
    for key, part in value.items():
        if part is None and PLACEHOLDER.fullmatch(f"{{{key}}}"):
            raise UserError(
                f'env.kwargs: {{{key}}} without quotes is a mapping to YAML; write "{{{key}}}", on '
                f"a command line --set 'env.kwargs.NAME=\"{{{key}}}\"'"
            )

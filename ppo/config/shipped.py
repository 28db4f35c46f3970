"""Ready configurations that come with the package: configs/ of the repository."""

from __future__ import annotations

import os
from pathlib import Path

from ppo.core.errors import UserError, one_line
from ppo.core.program import checkout
from ppo.core.registry import nearest


def folder() -> Path:
    """Where they lie: in the repository, or in the package of a wheel (see setup.py)."""
    root = checkout()
    return root / "configs" if root else Path(__file__).resolve().parents[1] / "configs"


def names() -> list[str]:
    """What `--config NAME` and `Config.load` take beside files."""
    return sorted(path.stem for path in folder().glob("*.yaml"))


def find(given: str | Path, place: str = "") -> Path:
    """The file of that path, or else the ready configuration of that name.

    Args:
        place: what it was given to, for messages.

    Raises:
        UserError: a single word that is neither, or no path at all.
    """
    if not isinstance(given, str | os.PathLike):
        raise UserError(
            f"{place}an object of type {type(given).__name__} is no path of a configuration file"
            " (nested dictionaries: Config.from_dict)"
        )
    path = Path(given)
    if path.suffix or len(path.parts) != 1 or os.path.exists(path):  # whatever its name
        return path
    name, known = str(given), names()
    if name in known:
        return folder() / f"{name}.yaml"
    raise UserError(
        f"{place}{one_line(name)}: no such file, and no ready configuration of that name"
        f"{nearest(name, known)} (ready ones: {', '.join(known)})"
    )

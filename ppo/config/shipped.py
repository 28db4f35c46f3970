"""Ready configurations that come with the package: configs/ of the repository."""

from __future__ import annotations

from pathlib import Path

from ppo.core.errors import UserError
from ppo.core.program import checkout
from ppo.core.registry import nearest


def folder() -> Path:
    """Where they lie: in the repository, or in the package of a wheel (see setup.py)."""
    root = checkout()
    return root / "configs" if root else Path(__file__).resolve().parents[1] / "configs"


def names() -> list[str]:
    """What `--config NAME` takes beside files."""
    return sorted(path.stem for path in folder().glob("*.yaml"))


def find(given: str) -> Path:
    """The file of that path, or else the ready configuration of that name.

    Raises:
        UserError: a single word that is neither.
    """
    path = Path(given)
    if path.exists() or path.suffix or len(path.parts) != 1:
        return path
    if given in names():
        return folder() / f"{given}.yaml"
    known = names()
    raise UserError(
        f"--config {given}: no such file, and no ready configuration of that name"
        f"{nearest(given, known)} (ready ones: {', '.join(known)})"
    )

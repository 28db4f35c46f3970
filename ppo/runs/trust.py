"""Which code the configuration of a run folder may import.

A configuration that the user names may import what it likes. One that lies in a run folder may come
from somebody else, so what it names is imported only where a run of this user's has used it: the
user's state folder holds a line for each import path with the SHA-256 of its sources.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ppo.config import Config
from ppo.config.words import named_code
from ppo.core.errors import UserError
from ppo.core.imports import digest, sources
from ppo.runs import files
from ppo.runs.folder import RunFolder

FILE = "known_code.jsonl"
_granted: set[tuple[str, str]] = set()  # for this process alone


def state_folder() -> Path | None:
    """Where this user's programs keep what they remember; None: the user has no home."""
    place = os.environ.get("XDG_STATE_HOME")
    if place and Path(place).is_absolute():
        return Path(place) / "ppo"
    try:
        return Path.home() / ".local" / "state" / "ppo"
    except RuntimeError:
        return None


def fingerprints(config: Config) -> dict[str, str | None]:
    """SHA-256 of the sources of all code that a configuration names, by import path."""
    return {path: digest(path) for path in dict.fromkeys(path for _, path in named_code(config))}


def remember(config: Config) -> dict[str, str | None]:
    """From now on run folders may import what this configuration names; its fingerprints."""
    found = fingerprints(config)
    known = _known()
    new = [_line(path, sha) for path, sha in found.items() if sha and (path, sha) not in known]
    vouch(config)
    folder = state_folder()
    if new and folder is not None:
        with contextlib.suppress(OSError):  # a home that cannot be written stops no run
            files.append_lines(folder / FILE, new)
    return found


def vouch(config: Config) -> None:
    """For this process, run folders may import what this configuration names."""
    _granted.update((path, sha) for path, sha in fingerprints(config).items() if sha)


def check(config: Config, folder: RunFolder, trust: bool = False) -> list[str]:
    """A note for each import whose source has changed since the run.

    Args:
        config: of the folder.
        trust: the user vouches for it.

    Raises:
        UserError: it names code that is not known; nothing was imported.
    """
    named = named_code(config)
    if not named:
        return []
    now = fingerprints(config)
    if not trust:
        known = _known()
        refused = [
            _refusal(folder.name, key, path)
            for key, path in named
            if now[path] is None or not known & {(path, now[path]), (path, _place(path))}
        ]
        if refused:
            raise UserError(*refused)
    then = _recorded(folder)
    return [
        f"{folder.name}: {key}: {path} has changed since the run was trained"
        for key, path in named
        if then.get(path) not in (None, now[path])
    ]


def _refusal(run: str, key: str, path: str) -> str:
    module = path.partition(":")[0]
    if not sources(module):
        return (
            f"{run}: {key}: {path}: the module {module} cannot be found; start where it can be "
            "imported from the working directory"
        )
    return (
        f"{run}: {key}: {path}: the module {module} was not imported, because no run of yours has "
        "used it with this source; if you trust it, write --trust (trust=True in Python)"
    )


def _recorded(folder: RunFolder) -> dict[str, Any]:
    """The fingerprints that a run was trained with."""
    with contextlib.suppress(UserError):
        found = folder.read_json("provenance.json")
        code = found.get("code") if isinstance(found, dict) else None
        return code if isinstance(code, dict) else {}
    return {}


def _line(path: str, sha: str) -> str:
    return json.dumps({"path": path, "sha256": sha, "file": _place(path)})


def _place(path: str) -> str:
    """The absolute file of a module: a run goes on with it after its owner has edited it."""
    found = sources(path.partition(":")[0])
    return os.path.abspath(found[-1]) if found else ""


def _known() -> set[tuple[str, str | None]]:
    """Import paths with a digest of their sources, and with the file that they were in."""
    folder = state_folder()
    found: set[tuple[str, str | None]] = set(_granted)
    if folder is None:
        return found
    for entry in _entries(folder / FILE):
        if isinstance(entry, dict) and isinstance(entry.get("path"), str):
            found |= {(entry["path"], str(entry.get(name))) for name in ("sha256", "file")}
    return found


def _entries(path: Path) -> Iterable[Any]:
    try:
        lines = files.read_bytes(path).splitlines()
    except OSError:
        return
    for line in lines:
        with contextlib.suppress(ValueError):
            yield json.loads(line)

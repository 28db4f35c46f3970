"""A copy of the code with one change in it, and whether tests notice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
IGNORED = shutil.ignore_patterns("__pycache__", "test_mutations.py", "test_removed_guards.py")
NEEDED = ("ppo", "tests", "pyproject.toml", "config.yaml")
MISSING_ERRNO = ("import json\n", "import errno\nimport json\n")


def places_of(code: str, file: str = "", root: Path = ROOT) -> list[Path]:
    """The modules in which `code` stands, once for each time.

    Args:
        file: the only one to look into, below ppo/; "" for the whole package.
    """
    paths = [root / "ppo" / file] if file else (root / "ppo").rglob("*.py")
    return [path for path in paths for _ in range(path.read_text().count(code))]


def change(folder: Path, code: str, replacement: str, file: str = "") -> None:
    """Copies the tree to `folder`, with `code` replaced in the one place where it stands."""
    for name in NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=IGNORED)
        else:
            shutil.copy(ROOT / name, folder)
    (place,) = places_of(code, file, folder)
    text = place.read_text().replace(code, replacement)
    if "errno." in replacement and "import errno" not in text:
        text = text.replace(*MISSING_ERRNO, 1)
    place.write_text(text)


def run_tests(folder: Path, *arguments: str) -> int:
    """Exit status of pytest in the copy: 1 where a test fails, 0 where none does."""
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    # No pipe: a process that a mutation leaves behind would hold it open for ever.
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return done.returncode

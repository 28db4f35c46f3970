"""How this program was started and installed: for messages that name a command to type."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

DISTRIBUTION = "ppo-stable-values"  # on PyPI the name `ppo` belongs to another package
_ROOT = Path(__file__).resolve().parents[2]


def checkout() -> Path | None:
    """The repository in which this package lies; None where it was installed from a wheel."""
    files = ("pyproject.toml", "train_cli.py", "config.yaml")
    return _ROOT if all((_ROOT / name).is_file() for name in files) else None


def started_as() -> str:
    """What was typed to start this program, or what starts it here."""
    script = Path(sys.argv[0])
    if script.name == "train_cli.py":
        return "python train_cli.py"
    if script.stem == "ppo":
        return "ppo"
    if script.name == "__main__.py" and script.parent.name == "ppo":
        return "python -m ppo"
    return "python train_cli.py" if checkout() else "ppo"


def command(*words: str) -> str:
    """A command to type next: `command("train")` is `ppo --mode train` where that works."""
    mode, *rest = words
    return " ".join([started_as(), "--mode", mode, *rest])


def install(extra: str = "") -> str:
    """The command that adds an extra to this installation, or installs what every run needs."""
    if not extra:
        return "pip install -e ." if checkout() else f"pip install {DISTRIBUTION}"
    if checkout():
        return f'pip install -e ".[{extra}]"'
    return f'pip install "{DISTRIBUTION}[{extra}]"'


def version() -> str:
    """Name and version of the distribution."""
    import ppo

    return f"{DISTRIBUTION} {ppo.__version__}"


def clash() -> str | None:
    """One line where the other package of the name `ppo` is installed as well."""
    try:
        other = importlib.metadata.version("ppo")
    except importlib.metadata.PackageNotFoundError:
        return None
    return (
        f"the package ppo {other} is installed beside {DISTRIBUTION}, and both install the module "
        f"`ppo`; run: pip uninstall -y ppo {DISTRIBUTION} && pip install {DISTRIBUTION}"
    )

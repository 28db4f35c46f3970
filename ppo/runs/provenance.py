"""Where a run comes from: versions, commit, device, machine, command. For provenance.json."""

from __future__ import annotations

import datetime
import functools
import os
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGES = (
    "ppo-stable-values", "torch", "gymnasium", "numpy", "safetensors", "pydantic", "mujoco",
    "ale-py",
)  # fmt: skip
GIT_TIMEOUT = 5.0  # seconds: a repository on a network disk must not hold up the start


def collect(
    torch: ModuleType | None = None,
    device: Any = None,
    folder: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Everything that decides whether a run can be repeated bit by bit.

    Args:
        torch: the module, where the caller has it: adds threads, device name and CUDA versions.
        device: where the training runs.
        folder: whose git repository to ask; the working directory by default.
    """
    return {
        "command": shlex.join(sys.argv),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": versions(),
        "git": git_state(Path.cwd() if folder is None else Path(folder)),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "device": "cpu" if device is None else str(device),
        **(_torch_state(torch, device) if torch is not None else {}),
    }


@functools.cache
def versions() -> dict[str, str]:
    """Version of each package that is installed, without importing any."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_state(folder: Path) -> dict[str, Any] | None:
    """The commit of a working tree and whether tracked files differ; None outside a repository."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    # Neither programs named in the repository's own settings nor its locks are touched.
    safe = ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]
    try:
        done = subprocess.run(
            ["git", *safe, *arguments],
            cwd=folder,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GIT_TIMEOUT,
            check=True,
            text=True,
            errors="replace",
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _torch_state(torch: ModuleType, device: Any) -> dict[str, Any]:
    state: dict[str, Any] = {
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "cuda": torch.version.cuda,
    }
    if device is not None and str(device).startswith("cuda"):
        state["device_name"] = torch.cuda.get_device_name(device)
        state["cudnn"] = torch.backends.cudnn.version()
    return state

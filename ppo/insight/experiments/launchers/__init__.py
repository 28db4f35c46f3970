"""Where the jobs of an experiment run: one file for each launcher, found by its name."""

from __future__ import annotations

from ppo.core.errors import UserError
from ppo.insight.experiments.launchers.base import Launcher


def make(name: str, address: str = "auto", gpus: float = 0.0) -> Launcher:
    """The launcher of a name.

    Args:
        address: address of the Ray cluster. gpus: GPUs of a job; Ray takes fractions.

    Raises:
        UserError: it cannot be used here; with the remedy.
    """
    if gpus < 0:
        raise UserError(f"--gpus-per-job: {gpus:g}; allowed: 0 or more")
    if name == "ray":
        from ppo.insight.experiments.launchers.ray import RayLauncher

        return RayLauncher(address, gpus)
    if name == "slurm":
        from ppo.insight.experiments.launchers.slurm import SlurmLauncher

        return SlurmLauncher(gpus)
    if gpus:
        raise UserError(
            f"--gpus-per-job: {gpus:g}: --launcher local hands out no GPUs; set "
            "CUDA_VISIBLE_DEVICES, or use --launcher ray"
        )
    from ppo.insight.experiments.launchers.local import LocalLauncher

    return LocalLauncher()

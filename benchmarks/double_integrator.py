"""Return, success and final error of reference policies in DoubleIntegrator-v0.

python benchmarks/double_integrator.py [--run RUN ...]     # and of trained ones
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from ppo.envs.native.double_integrator import (  # noqa: E402
    DoubleIntegrator,
    optimal_control,
    optimal_plan,
)
from ppo.envs.tasks.double_integrator import MAX_CONTROL, NUM_STEPS  # noqa: E402
from ppo.envs.torch_env import TorchEnvironments  # noqa: E402
from ppo.policies.policy import load_policy  # noqa: E402

EPISODES = 4000


def measure(name: str, policy: Callable[[Tensor, int], Tensor]) -> str:
    """One line of the table; `policy` takes observations [N, 5] and the number of the step."""
    envs = TorchEnvironments(DoubleIntegrator(), EPISODES, run_seed=1, device="cpu")
    obs = envs.reset()
    total, largest = torch.zeros(EPISODES), 0.0
    for number in range(NUM_STEPS):
        control = policy(obs, number).clamp(-MAX_CONTROL, MAX_CONTROL)
        largest = max(largest, float(control.abs().max()))
        step = envs.step(control)
        obs, total = step.obs, total + step.rewards.sum(1)
    error = torch.hypot(step.final_obs[:, 2], step.final_obs[:, 3]).mean()
    return (
        f"{name:32}{total.mean():8.0f}{total.std():8.0f}{step.success.mean():9.1%}"
        f"{error:13.4f}{largest:13.2f}"
    )


def learned(run: str) -> Callable[[Tensor, int], Tensor]:
    """The deterministic policy of a finished run."""
    policy = load_policy(run, which="latest")
    return lambda obs, _: policy.act(obs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", nargs="+", default=[], help="run folders")
    args = parser.parse_args()
    first = TorchEnvironments(DoubleIntegrator(), EPISODES, run_seed=1, device="cpu").reset()
    plan = optimal_plan(first, NUM_STEPS)
    generator = torch.Generator().manual_seed(0)

    def noise(scale: float) -> Callable[[Tensor, int], Tensor]:
        return lambda obs, _: scale * torch.randn(len(obs), 1, generator=generator)

    columns = f"{'return':>6}{'(std)':>8}{'success':>9}{'final error':>13}{'largest |u|':>13}"
    print(f"{'policy':34}{columns}")
    print(measure("optimal, anew in each step", lambda obs, _: optimal_control(obs)))
    print(measure("optimal, planned at the start", lambda _, t: plan[:, t : t + 1]))
    print(
        measure("optimal + noise of 0.5 m/s^2", lambda o, t: optimal_control(o) + noise(0.5)(o, t))
    )
    print(measure("no control", lambda obs, _: torch.zeros(len(obs), 1)))
    for run in args.run:
        print(measure(Path(run).name, learned(run)))
    print(measure("noise of 8 m/s^2 (untrained)", noise(MAX_CONTROL)))


if __name__ == "__main__":
    main()

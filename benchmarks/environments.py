"""Seconds of CPU that a rollout takes in each form of an environment, beside the usual one.

python benchmarks/environments.py [gymnax] [envpool] [simulator]

CPU seconds of the whole process, all its threads, so that other programs on the machine matter
little. Rollouts of both take turns, and the ratio is the median of the rounds' ratios, after those
in which a policy step is called so often that it is recorded. No graph is compiled by torch.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import torch

from ppo.algorithm import build
from ppo.config import Config
from ppo.envs.native import REGISTRY
from ppo.envs.torch_env import TorchEnvironments

N, T, WARM = 64, 128, 9
ROUNDS = {"simulator": 41, "gymnax": 21, "envpool": 5}  # as long as they take


class Simulator:
    """The native environments as a simulator from outside."""

    def __init__(self, num_envs: int, env_id: str) -> None:
        self.envs = TorchEnvironments(REGISTRY.get(env_id)(), num_envs, 1, "cpu")
        self.num_envs, self.device = num_envs, "cpu"
        self.single_observation_space = self.envs.observation_space
        self.single_action_space = self.envs.action_space

    def reset(self, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        return self.envs.reset(), {}

    def step(self, actions: torch.Tensor) -> tuple[Any, ...]:
        step = self.envs.step(actions)
        info = {"final_obs": step.final_obs}
        return step.obs, step.rewards[:, 0], step.terminated, step.truncated, info


def collector(env: Any, *settings: str) -> Any:
    """Rollouts of N environments, T steps each."""
    common = [f"env.num_envs={N}", f"ppo.num_steps={T}", "system.compile=never", "system.threads=1",
              "system.device=cpu", "env.calibration_steps=0"]  # fmt: skip
    config = Config.load(overrides=[*common, *settings])
    device = build.prepare_torch(config)
    learner = build.build_learner(config, build.build_environments(config, device, env=env), device)
    learner.collector.reset()
    return learner.collector


def native(env_id: str) -> Any:
    return collector(None, f"env.id={env_id}", "env.backend=torch")


def packaged(path: str, env_id: str) -> Any:
    return collector(None, f"env.id=ppo.envs.simulators.{path}", f"env.kwargs={{env_id: {env_id}}}")


PAIRS = {
    "simulator": lambda: (collector(Simulator(N, "Pendulum-v1")), native("Pendulum-v1")),
    "gymnax": lambda: (packaged("gymnax:Gymnax", "CartPole-v1"), native("CartPole-v1")),
    "envpool": lambda: (
        packaged("envpool:EnvPool", "HalfCheetah-v4"),
        collector(None, "env.id=HalfCheetah-v4", "env.backend=sync"),
    ),
}


def seconds(play: Any, batch: int) -> float:
    started = time.process_time()
    play(batch)
    return time.process_time() - started


def main(names: list[str]) -> None:
    for name in names or list(PAIRS):
        forms = PAIRS[name]()
        rounds = [[seconds(play, batch) for play in forms] for batch in range(WARM + ROUNDS[name])]
        rounds = rounds[WARM:]
        ratio = statistics.median(usual / own for own, usual in rounds)
        speeds = [N * T / statistics.median(column) for column in zip(*rounds, strict=True)]
        print(
            f"{name}: {speeds[0]:,.0f} steps per CPU second, the usual form {speeds[1]:,.0f}: "
            f"{ratio:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])

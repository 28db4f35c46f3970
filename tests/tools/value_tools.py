"""Small learners, environments with known scales, and what two runs are compared by."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ppo.algorithm import build
from ppo.algorithm.laws.whole_runs import digest
from ppo.config import Config
from ppo.envs.torch_env import TorchEnvironment, TorchEnvironments

CPU = torch.device("cpu")
SMALL = [
    "system.device=cpu",
    "system.compile=never",
    "env.num_envs=8",
    "env.calibration_steps=16",
    "ppo.num_steps=30",
    "ppo.num_epochs=2",
    "ppo.num_minibatches=3",
    "network.hidden_sizes=[16, 16]",
]
# In reward units; all others must not see the scale of rewards.
IN_REWARD_UNITS = ("return_mean", "return_std", "return_min", "return_max")
OF_THE_MACHINE = ("wall_time_s", "steps_per_second", "events")


class ThreeScales(TorchEnvironment):
    """Three reward components whose sizes differ by 10^6, each times a factor of its own.

    A point drifts on a line and is pushed left or right; the components pay for its position, for
    being near the middle, and for the push.
    """

    component_names = ("large", "plain", "small")
    max_episode_steps = 12
    num_uniforms = 2

    def __init__(self, factors: tuple[float, ...] = (1.0, 1.0, 1.0)) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.sizes = torch.tensor([1e3, 1.0, 1e-3]) * torch.tensor(factors)

    def initial(self, uniforms: Tensor) -> Tensor:
        return uniforms * 2 - 1

    def dynamics(self, state: Tensor, actions: Tensor) -> Tensor:
        position, drift = state.unbind(1)
        return torch.stack((position + 0.1 * drift + 0.2 * actions[:, 0], drift), 1)

    def observe(self, state: Tensor) -> Tensor:
        return state

    def rewards(self, state: Tensor, actions: Tensor, next_state: Tensor, ends: Tensor) -> Tensor:
        position = next_state[:, 0]
        parts = (position, (-position.square()).exp(), -actions[:, 0].square())
        return torch.stack(parts, 1) * self.sizes

    def terminal(self, next_state: Tensor) -> Tensor:
        return next_state[:, 0].abs() > 3.0


def make_learner(*overrides: str, env: TorchEnvironment | None = None, small: bool = True) -> Any:
    """A learner on `env`, or on the environment that the settings name."""
    base = SMALL if small else SMALL[:2]
    config = Config.from_dict({}, [*base, *overrides])
    if env is None:
        envs = build.build_environments(config, CPU)
    else:
        envs = TorchEnvironments(env, config.env.num_envs, config.system.seed, CPU, 0)
    learner = build.build_learner(config, envs, CPU)
    learner.start()
    return learner


def history(learner: Any, num_batches: int, scale: float) -> list[dict[str, Any]]:
    """Of each batch the digest and every field, those in reward units divided by `scale`."""
    found = []
    for _ in range(num_batches):
        record = learner.step()
        kept = {name: v for name, v in record.items() if name not in OF_THE_MACHINE}
        for name in IN_REWARD_UNITS:
            kept[name] = None if kept[name] is None else kept[name] / scale
        found.append({"digest": digest(learner), **kept})
    return found


def first_difference(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> str:
    """The first batch and its fields that differ; empty where the two histories are equal."""
    for batch, (x, y) in enumerate(zip(a, b, strict=True)):
        fields = [name for name in x if x[name] != y[name]]
        if fields:
            return f"batch {batch}: {', '.join(fields)}"
    return ""

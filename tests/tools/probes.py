"""Andy Jones' five probe environments, whose values are known.

See andyljones.com/posts/rl-debugging.html.
"""

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ppo.envs.torch_env import TorchEnvironment

GAMMA = 0.9


class Probe(TorchEnvironment):
    """State [N, 2]: sign drawn at the start, steps taken. One step an episode, observing zero."""

    num_uniforms = 1
    length = 1
    fixed_length: int | None = 1

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-2.0, 2.0, (1,), np.float32)
        self.action_space = spaces.Discrete(2)

    def initial(self, uniforms: Tensor) -> Tensor:
        sign = torch.where(uniforms[:, 0] < 0.5, -1.0, 1.0)
        return torch.stack((sign, torch.zeros_like(sign)), 1)

    def dynamics(self, state: Tensor, actions: Tensor) -> Tensor:
        return torch.stack((state[:, 0], state[:, 1] + 1), 1)

    def observe(self, state: Tensor) -> Tensor:
        return torch.zeros_like(state[:, :1])

    def terminal(self, next_state: Tensor) -> Tensor:
        return next_state[:, 1] > self.length - 0.5

    def rewards(self, state: Tensor, actions: Tensor, next_state: Tensor, ends: Tensor) -> Tensor:
        return self.paid(state[:, 0], 2.0 * actions.flatten() - 1.0, ends).unsqueeze(-1)

    def paid(self, sign: Tensor, action: Tensor, ends: Tensor) -> Tensor:
        """Reward [N] of a step."""
        return torch.ones_like(sign)

    def states(self) -> tuple[Tensor, Tensor]:
        """Observations [S, 1] and the values [S] that an optimal policy has there."""
        return torch.zeros(1, 1), torch.ones(1)


class ConstantReward(Probe):
    """The value is 1: anything else is a loss or an optimizer that does not work."""


class RewardIsObservation(Probe):
    """The value is the observation."""

    def observe(self, state: Tensor) -> Tensor:
        return state[:, :1]

    def paid(self, sign: Tensor, action: Tensor, ends: Tensor) -> Tensor:
        return sign

    def states(self) -> tuple[Tensor, Tensor]:
        return torch.tensor([[-1.0], [1.0]]), torch.tensor([-1.0, 1.0])


class LateReward(Probe):
    """Two steps, paid at the end: the first value is the discount."""

    length = 2
    fixed_length = 2

    def observe(self, state: Tensor) -> Tensor:
        return state[:, 1:]

    def paid(self, sign: Tensor, action: Tensor, ends: Tensor) -> Tensor:
        return ends.float()

    def states(self) -> tuple[Tensor, Tensor]:
        return torch.tensor([[0.0], [1.0]]), torch.tensor([GAMMA, 1.0])


class RewardIsAction(Probe):
    """Paid for one of two actions: the value is 1 once the policy has learned it."""

    def paid(self, sign: Tensor, action: Tensor, ends: Tensor) -> Tensor:
        return action


class RewardIsActionTimesObservation(Probe):
    """Paid for the action that the observation asks for."""

    def observe(self, state: Tensor) -> Tensor:
        return state[:, :1]

    def paid(self, sign: Tensor, action: Tensor, ends: Tensor) -> Tensor:
        return sign * action

    def states(self) -> tuple[Tensor, Tensor]:
        return torch.tensor([[-1.0], [1.0]]), torch.tensor([1.0, 1.0])


PROBES = (
    ConstantReward,
    RewardIsObservation,
    LateReward,
    RewardIsAction,
    RewardIsActionTimesObservation,
)

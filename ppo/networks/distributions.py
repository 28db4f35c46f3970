"""Action distributions as pure functions of network outputs and of noise drawn beforehand.

Sampling takes its noise as an argument: the trainer draws the noise of a whole rollout from one
counted generator, so that a policy step has no hidden state and compiles into one graph.
Formulas agree with torch.distributions (tests/networks/test_distributions.py).
"""

from __future__ import annotations

import math

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

from ppo.core.errors import UserError

LOG_2PI = math.log(2.0 * math.pi)
LOG_STD_RANGE = (-6.0, 2.0)  # of a state-dependent standard deviation


class Distribution(nn.Module):
    """Interface of every kind; `params` is [B, P], actions are [B, A]."""

    num_params: int  # P
    num_noise: int  # entries of noise per sample
    num_actions: int  # A
    normal_noise: bool  # standard normal noise, else uniform in [0, 1)
    discrete: bool = True
    max_entropy: float | None = None  # of the uniform policy; None where it is not bounded

    def sample(self, params: Tensor, noise: Tensor) -> Tensor:
        raise NotImplementedError

    def mode(self, params: Tensor) -> Tensor:
        raise NotImplementedError

    def log_prob(self, params: Tensor, actions: Tensor) -> Tensor:
        raise NotImplementedError

    def entropy(self, params: Tensor) -> Tensor:
        raise NotImplementedError

    def to_env(self, actions: Tensor) -> Tensor:
        """Actions in the environment's own units and dtype, [B, *space.shape]."""
        raise NotImplementedError

    def mean_std(self) -> Tensor | None:
        """Mean standard deviation; None for discrete or state-dependent policies."""
        return None


class Gaussian(Distribution):
    """Diagonal normal in normalized action units.

    The log standard deviation is a parameter; with `state_dependent` the second half of the
    network's outputs is added to it (Andrychowicz et al. 2021, decision C59).

    Bounded actions are worked in units where the bounds are -1 and 1. With `squash="clip"` the
    environment gets the clipped action and the density is that of the unclipped one (Andrychowicz
    et al. 2021, decision C63); with `squash="tanh"` the density is of the squashed action. The
    entropy is that of the normal before squashing.
    """

    discrete = False
    normal_noise = True

    center: Tensor  # [A] of the bounds, in the environment's units
    half_range: Tensor  # [A]
    low: Tensor  # [A] bounds in normalized units
    high: Tensor  # [A]
    bounded: Tensor  # [A] 1 where both bounds are finite

    def __init__(
        self, space: gym.spaces.Box, squash: str, initial_log_std: float, state_dependent: bool
    ) -> None:
        super().__init__()
        low, high = np.broadcast_arrays(space.low, space.high)
        bounded = np.isfinite(low) & np.isfinite(high)
        finite_low, finite_high = (
            np.where(bounded, side, 0.0).astype(float) for side in (low, high)
        )
        center = (finite_high + finite_low) / 2
        half = np.where(bounded, (finite_high - finite_low) / 2, 1.0)
        self.num_actions = int(np.prod(space.shape))
        self.num_params = self.num_noise = self.num_actions
        self.state_dependent = state_dependent
        if state_dependent:
            self.num_params *= 2
            low_std, high_std = LOG_STD_RANGE
            if not low_std <= initial_log_std <= high_std:
                raise UserError(
                    f"network.initial_log_std: {initial_log_std}: with "
                    f"network.state_dependent_std it must be from {low_std} to {high_std}"
                )
        self.shape = tuple(space.shape)
        self.squash = squash
        self.log_std = nn.Parameter(torch.full((self.num_actions,), float(initial_log_std)))
        self._keep("center", center)
        self._keep("half_range", half)
        self._keep("low", np.where(bounded, -1.0, np.where(np.isfinite(low), low, -np.inf)))
        self._keep("high", np.where(bounded, 1.0, np.where(np.isfinite(high), high, np.inf)))
        self._keep("bounded", bounded.astype(np.float32))

    def _keep(self, name: str, value: np.ndarray) -> None:
        flat = torch.as_tensor(value, dtype=torch.float32).reshape(-1).clone()
        self.register_buffer(name, flat, persistent=False)

    def sample(self, params: Tensor, noise: Tensor) -> Tensor:
        mean, log_std = self._parts(params)
        return mean + log_std.exp() * noise

    def _parts(self, params: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation, [B, A] or [A]."""
        if not self.state_dependent:
            return params, self.log_std
        mean, change = params.chunk(2, -1)
        return mean, (self.log_std + change).clamp(*LOG_STD_RANGE)

    def mode(self, params: Tensor) -> Tensor:
        return self._parts(params)[0]

    def log_prob(self, params: Tensor, actions: Tensor) -> Tensor:
        mean, log_std = self._parts(params)
        scaled = (actions - mean) * (-log_std).exp()
        density = -0.5 * scaled.square() - log_std - 0.5 * LOG_2PI
        if self.squash == "tanh":
            # log(1 - tanh(u)^2), written so that it does not underflow.
            slope = 2.0 * (math.log(2.0) - actions - nn.functional.softplus(-2.0 * actions))
            density = density - slope * self.bounded
        return density.sum(-1)

    def entropy(self, params: Tensor) -> Tensor:
        log_std = self._parts(params)[1]
        return (log_std + 0.5 * (1.0 + LOG_2PI)).sum(-1).expand(params.shape[0])

    def to_env(self, actions: Tensor) -> Tensor:
        if self.squash == "tanh":
            squashed = torch.where(self.bounded > 0, actions.tanh(), actions)
        else:
            squashed = actions
        limited = torch.minimum(torch.maximum(squashed, self.low), self.high)
        return (self.center + self.half_range * limited).reshape(-1, *self.shape)

    def mean_std(self) -> Tensor | None:
        return None if self.state_dependent else self.log_std.detach().exp().mean()

    def std_of_entropy(self, entropy: float) -> float:
        """Geometric mean of the standard deviations (states, actions) with this mean entropy."""
        return math.exp(entropy / self.num_actions - 0.5 * (1.0 + LOG_2PI))


class Categorical(Distribution):
    """One or several independent choices; sampled by the Gumbel-max trick."""

    normal_noise = False

    start: Tensor  # [A] the smallest number of each choice

    def __init__(self, sizes: list[int], start: np.ndarray, single: bool) -> None:
        super().__init__()
        self.sizes = sizes
        self.single = single
        self.num_actions = len(sizes)
        self.num_params = self.num_noise = sum(sizes)
        self.max_entropy = sum(math.log(size) for size in sizes)
        offsets = torch.as_tensor(np.asarray(start), dtype=torch.int64).reshape(-1)
        self.register_buffer("start", offsets.clone(), persistent=False)

    def _choices(self, params: Tensor) -> list[Tensor]:
        return [params] if len(self.sizes) == 1 else list(params.split(self.sizes, -1))

    def sample(self, params: Tensor, noise: Tensor) -> Tensor:
        return self.mode(params - (-noise.log()).log())

    def mode(self, params: Tensor) -> Tensor:
        return torch.stack([logits.argmax(-1) for logits in self._choices(params)], -1)

    def log_prob(self, params: Tensor, actions: Tensor) -> Tensor:
        terms = [
            logits.log_softmax(-1).gather(-1, actions[..., i : i + 1]).squeeze(-1)
            for i, logits in enumerate(self._choices(params))
        ]
        return terms[0] if len(terms) == 1 else torch.stack(terms).sum(0)

    def entropy(self, params: Tensor) -> Tensor:
        terms = []
        for logits in self._choices(params):
            log_probs = logits.log_softmax(-1)
            terms.append(-(log_probs.exp() * log_probs).sum(-1))
        return terms[0] if len(terms) == 1 else torch.stack(terms).sum(0)

    def to_env(self, actions: Tensor) -> Tensor:
        moved = actions + self.start
        return moved[:, 0] if self.single else moved


class Bernoulli(Distribution):
    """Independent bits."""

    normal_noise = False

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.num_params = self.num_noise = self.num_actions = int(np.prod(shape))
        self.max_entropy = self.num_actions * math.log(2.0)

    def sample(self, params: Tensor, noise: Tensor) -> Tensor:
        return (noise < params.sigmoid()).long()

    def mode(self, params: Tensor) -> Tensor:
        return (params > 0).long()

    def log_prob(self, params: Tensor, actions: Tensor) -> Tensor:
        return nn.functional.logsigmoid(torch.where(actions > 0, params, -params)).sum(-1)

    def entropy(self, params: Tensor) -> Tensor:
        on = params.sigmoid()
        bits = on * nn.functional.logsigmoid(params) + (1 - on) * nn.functional.logsigmoid(-params)
        return -bits.sum(-1)

    def to_env(self, actions: Tensor) -> Tensor:
        return actions.reshape(-1, *self.shape)


def distribution_for(
    space: gym.Space,
    squash: str = "clip",
    initial_log_std: float = 0.0,
    state_dependent_std: bool = False,
) -> Distribution:
    """The distribution for an action space.

    Raises:
        UserError: the space is not supported.
    """
    if isinstance(space, gym.spaces.Box):
        return Gaussian(space, squash, initial_log_std, state_dependent_std)
    if isinstance(space, gym.spaces.Discrete):
        return Categorical([int(space.n)], np.asarray([space.start]), single=True)
    if isinstance(space, gym.spaces.MultiDiscrete):
        sizes = [int(size) for size in space.nvec.reshape(-1)]
        return Categorical(sizes, np.asarray(space.start), single=False)
    if isinstance(space, gym.spaces.MultiBinary):
        return Bernoulli(tuple(space.shape))
    raise UserError(
        f"env.id: the action space {space} is not supported "
        "(supported: Box, Discrete, MultiDiscrete, MultiBinary; "
        "gymnasium.wrappers.TransformAction can map another space to one of these)"
    )

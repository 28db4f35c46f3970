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


class Distribution(nn.Module):
    """Interface of every kind; `params` is [B, P], actions are [B, A]."""

    num_params: int  # P, and entries of noise per sample
    num_actions: int  # A
    normal_noise: bool  # standard normal noise, else uniform in [0, 1)
    discrete: bool = True
    max_entropy: float | None = None  # entropy of the uniform policy; None where it is not bounded

    def sample(self, params: Tensor, noise: Tensor) -> Tensor:
        """Actions drawn by noise [B, P]."""
        return self.draw(params, self.ready(noise))

    def ready(self, noise: Tensor) -> Tensor:
        """What of sampling needs no `params`: noise [..., P], of a whole rollout at once."""
        return noise

    def draw(self, params: Tensor, ready: Tensor) -> Tensor:
        """Samples from noise that went through `ready`."""
        raise NotImplementedError

    def mode(self, params: Tensor) -> Tensor:
        """The likeliest actions; of a normal distribution its mean."""
        raise NotImplementedError

    def log_prob(self, params: Tensor, actions: Tensor) -> Tensor:
        """Logarithm of the probability, or of the density, of actions, in nats: [B]."""
        raise NotImplementedError

    def entropy(self, params: Tensor) -> Tensor:
        """In nats, [B]."""
        raise NotImplementedError

    def to_env(self, actions: Tensor) -> Tensor:
        """In the environment's own units, [B, *space.shape]: float32 for Box, else int64."""
        raise NotImplementedError

    def mean_std(self) -> Tensor | None:
        """Mean standard deviation of the policy; None where it has none."""
        return None


class Gaussian(Distribution):
    """Diagonal normal in normalized action units.

    Its log standard deviation is a parameter of its own, the same for all states (Andrychowicz et
    al. 2021, decision C59).

    Bounded actions are worked in units where the bounds are -1 and 1. With `squash="clip"` the
    environment gets the clipped action and the density is that of the unclipped one (Andrychowicz
    et al. 2021, decision C63); with `squash="tanh"` the density is of the squashed action. The
    entropy is that of the normal before squashing.
    """

    discrete = False
    normal_noise = True

    center: Tensor  # [A] of the bounds, in the environment's units; without both the nearest to 0
    half_range: Tensor  # [A]
    low: Tensor  # [A] bounds in normalized units
    high: Tensor  # [A]
    bounded: Tensor  # [A] 1 where both bounds are finite
    env_low: Tensor  # [A] bounds in the environment's units, rounded inwards to float32
    env_high: Tensor  # [A]

    def __init__(self, space: gym.spaces.Box, squash: str, initial_log_std: float) -> None:
        super().__init__()
        low, high = np.broadcast_arrays(space.low, space.high)
        # Whole numbers have no infinity: the space remembers where the largest is no bound.
        measured = space.bounded_below & space.bounded_above
        bounded = measured & _is_bound(low, space.dtype) & _is_bound(high, space.dtype)
        finite_low, finite_high = (
            np.where(bounded, side, 0.0).astype(float) for side in (low, high)
        )
        # One bound alone that 0 lies beyond would hold every action fast.
        center = np.where(bounded, (finite_high + finite_low) / 2, np.clip(0.0, low, high))
        half = np.where(bounded, (finite_high - finite_low) / 2, 1.0)
        self.num_actions = int(np.prod(space.shape))
        self.num_params = self.num_actions
        self.shape = tuple(space.shape)
        self.squash = squash
        self.log_std = nn.Parameter(torch.full((self.num_actions,), float(initial_log_std)))
        self._keep("center", center)
        self._keep("half_range", half)
        self._keep("low", np.where(bounded, -1.0, low - center))
        self._keep("high", np.where(bounded, 1.0, high - center))
        self._keep("bounded", bounded.astype(np.float32))
        self.integral = space.dtype is not None and space.dtype.kind in "iu"
        env_low, env_high = _inside(space.low, 1), _inside(space.high, -1)
        self._keep("env_low", np.broadcast_to(env_low, space.shape).copy())
        self._keep("env_high", np.broadcast_to(env_high, space.shape).copy())

    def _keep(self, name: str, value: np.ndarray) -> None:
        flat = torch.as_tensor(value, dtype=torch.float32).reshape(-1).clone()
        self.register_buffer(name, flat, persistent=False)

    def ready(self, noise: Tensor) -> Tensor:
        return self.log_std.exp() * noise

    def draw(self, params: Tensor, ready: Tensor) -> Tensor:
        return params + ready

    def mode(self, params: Tensor) -> Tensor:
        return params

    def log_prob(self, params: Tensor, actions: Tensor) -> Tensor:
        scaled = (actions - params) * (-self.log_std).exp()
        density = -0.5 * scaled.square() - self.log_std - 0.5 * LOG_2PI
        if self.squash == "tanh":
            # log(1 - tanh(u)^2), written so that it does not underflow.
            slope = 2.0 * (math.log(2.0) - actions - nn.functional.softplus(-2.0 * actions))
            density = density - slope * self.bounded
        return density.sum(-1)

    def entropy(self, params: Tensor) -> Tensor:
        return (self.log_std + 0.5 * (1.0 + LOG_2PI)).sum(-1).expand(params.shape[0])

    def to_env(self, actions: Tensor) -> Tensor:
        if self.squash == "tanh":
            actions = torch.where(self.bounded > 0, actions.tanh(), actions)
        limited = torch.clamp(actions, self.low, self.high)
        scaled = self.center + self.half_range * limited
        if self.integral:
            scaled = scaled.round()
        # Center and half range are rounded, so that their sum may lie a rounding step outside.
        inside = torch.clamp(scaled, self.env_low, self.env_high)
        return inside.reshape(-1, *self.shape)

    def mean_std(self) -> Tensor | None:
        return self.log_std.detach().exp().mean()


def _is_bound(side: np.ndarray, dtype: np.dtype | None) -> np.ndarray:
    """Whether a range can be measured by it: the largest float stands for no bound."""
    largest = float(np.finfo(np.float32).max)
    if dtype is not None and dtype.kind == "f":
        largest = min(largest, float(np.finfo(dtype).max))
    return np.isfinite(side) & (np.abs(side.astype(np.float64)) < largest)


def _inside(bound: np.ndarray, inwards: int) -> np.ndarray:
    """The bound as float32, or the next number `inwards` (1 up, -1 down) where that is outside."""
    with np.errstate(over="ignore"):
        near = bound.astype(np.float32)
    exact, rounded = bound.astype(np.longdouble), near.astype(np.longdouble)
    outside = exact > rounded if inwards > 0 else exact < rounded
    return np.where(outside, np.nextafter(near, np.float32(inwards * np.inf)), near)


class Categorical(Distribution):
    """One or several independent choices; sampled by the Gumbel-max trick."""

    normal_noise = False

    start: Tensor  # [A] the smallest number of each choice

    def __init__(self, sizes: list[int], start: np.ndarray, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.sizes = sizes
        self.shape = shape
        self.num_actions = len(sizes)
        self.num_params = sum(sizes)
        self.max_entropy = sum(math.log(size) for size in sizes)
        offsets = torch.as_tensor(np.asarray(start), dtype=torch.int64).reshape(-1)
        self.register_buffer("start", offsets.clone(), persistent=False)

    def _choices(self, params: Tensor) -> list[Tensor]:
        return [params] if len(self.sizes) == 1 else list(params.split(self.sizes, -1))

    def ready(self, noise: Tensor) -> Tensor:
        # A draw of exactly 0 would rule its choice out, and a masked one might win.
        drawn = noise.clamp(min=torch.finfo(noise.dtype).tiny)
        return (-drawn.log()).log()

    def draw(self, params: Tensor, ready: Tensor) -> Tensor:
        return self.mode(params - ready)

    def mode(self, params: Tensor) -> Tensor:
        choices = [logits.argmax(-1, keepdim=True) for logits in self._choices(params)]
        return choices[0] if len(choices) == 1 else torch.cat(choices, -1)

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
        return (actions + self.start).reshape(-1, *self.shape)


class Bernoulli(Distribution):
    """Independent bits."""

    normal_noise = False

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.num_params = self.num_actions = int(np.prod(shape))
        self.max_entropy = self.num_actions * math.log(2.0)

    def draw(self, params: Tensor, ready: Tensor) -> Tensor:
        return (ready < params.sigmoid()).long()

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
    space: gym.Space, squash: str = "clip", initial_log_std: float = 0.0
) -> Distribution:
    """The distribution for an action space.

    Raises:
        UserError: the space is not supported.
    """
    if isinstance(space, gym.spaces.Box):
        return Gaussian(space, squash, initial_log_std)
    if isinstance(space, gym.spaces.Discrete):
        return Categorical([int(space.n)], np.asarray([space.start]), ())
    if isinstance(space, gym.spaces.MultiDiscrete):
        sizes = [int(size) for size in space.nvec.reshape(-1)]
        return Categorical(sizes, np.asarray(space.start), tuple(space.shape))
    if isinstance(space, gym.spaces.MultiBinary):
        return Bernoulli(tuple(space.shape))
    raise UserError(
        f"env.id: the action space {space} is not supported "
        "(supported: Box, Discrete, MultiDiscrete, MultiBinary; "
        "gymnasium.wrappers.TransformAction can map another space to one of these)"
    )

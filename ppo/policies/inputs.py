"""The inputs of an exported policy: rows of numbers, or one input for each entry by its name."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from ppo.envs.entries import Leaf, choices, name_of
from ppo.envs.host import masks
from ppo.envs.observations import ObservationEncoder
from ppo.envs.simulator_rows import numbers_of, remainders_of
from ppo.networks.groups import groups_of
from ppo.policies.policy import Policy

# Of numpy and of ONNX; another type is given as float32.
DTYPES = ("float32", "float64", "float16", "uint8", "int8", "int16", "int32", "int64")


class Input(NamedTuple):
    """One input, with a first axis [N] before its shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} [{', '.join(['N', *map(str, self.shape)])}]"


class Inputs:
    """What a policy is given, as the environment shows it.

    One input is one entry of a Dict or a Tuple that the actor sees, by its name (`outer.inner` of
    nested ones; `observations` of one alone), raw: images as images, a choice as its number. Masks
    are an input of their own. A row of numbers without any, and an image of bytes, are as they are.

    Attributes:
        named: whether entries have names.
        all: the inputs in the order of the file.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy, self.layout = policy, policy.agent.layout
        space, keys = policy.observation_space, policy.config.network.actor_keys
        precise = [name for name, _ in self.layout.precise]
        env_id, num_mask = policy.config.env.id, self.layout.num_mask
        is_row = isinstance(space, spaces.Box | spaces.MultiBinary) and len(space.shape) == 1
        plain = (is_row or self.layout.is_plain_image) and not num_mask
        self.named = not plain or self.layout.is_packed or bool(precise)
        self.leaves = ObservationEncoder(space, env_id, num_mask).entries
        self.encoder = ObservationEncoder(space, env_id, num_mask, keys, precise)
        self.precise = set(precise)
        rows = Input("observations", self.layout.dtype, self.layout.shape)
        self.all = self._named() if self.named else (rows,)

    def _named(self) -> tuple[Input, ...]:
        space, num_mask = self.policy.observation_space, self.layout.num_mask
        seen = {name_of(leaf): leaf for leaf in self.encoder.entries}
        if num_mask and masks.in_observation(space, self.policy.action_space):
            seen[masks.KEY] = next(leaf for leaf in self.leaves if name_of(leaf) == masks.KEY)
        found = [
            Input(name, _dtype(leaf.space, name in self.precise), tuple(leaf.space.shape or ()))
            for name, leaf in seen.items()
        ]
        if num_mask and masks.KEY not in seen:
            found.append(Input(masks.KEY, "int8", (num_mask,)))
        return tuple(sorted(found))

    def free(self, name: str) -> str:
        """A name for something else in the file, which no entry has."""
        return f"policy_{name}" if name in {one.name for one in self.all} else name

    def rows(self, samples: dict[str, Tensor]) -> Tensor:
        """Rows [N, ...] of the samples, by the code that reads an environment."""
        if not self.named:
            return samples["observations"]
        arrays = {name: value.numpy() for name, value in samples.items()}
        count, num_mask = len(next(iter(arrays.values()))), self.layout.num_mask
        found = []
        for i in range(count):
            mask = arrays[masks.KEY][i].reshape(-1)[-num_mask:] if num_mask else None
            observation = _nested(self.policy.observation_space, (), arrays, i)
            found.append(self.encoder.encode(observation, mask))
        return torch.from_numpy(np.stack(found))


class Decoded(nn.Module):
    """Named inputs as decoded rows (see ppo/networks/packing.py); what nobody sees is 0."""

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        self.names = {one.name for one in inputs.all}
        self.leaves, self.num_mask = inputs.leaves, inputs.layout.num_mask
        self.precise = inputs.precise

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        first = next(iter(observations.values()))
        parts: list[Tensor] = []
        images: list[Tensor] = []
        remainders: list[Tensor] = []
        for leaf in self.leaves:
            name = name_of(leaf)
            nothing = torch.zeros(first.shape[0], leaf.size, device=first.device)
            found = observations[name] if name in self.names else nothing
            if name in self.precise:  # by way of float64, as in rows
                found = found.double()
                remainders.append(remainders_of(found))
            numbers = numbers_of(leaf.space, found) if name in self.names else nothing
            (parts if leaf.stop else images).append(numbers)
        parts += [*remainders, *images]
        if self.num_mask:
            parts.append(observations[masks.KEY].flatten(1)[:, -self.num_mask :].float())
        return torch.cat(parts, -1)


def _dtype(space: gym.Space, is_precise: bool) -> str:
    name = np.dtype(space.dtype).name
    return name if name in DTYPES else "float64" if is_precise else "float32"


def _nested(space: gym.Space, path: tuple[Any, ...], arrays: dict[str, Any], i: int) -> Any:
    """Observation i of the samples; what is not among them is left out."""
    if isinstance(space, spaces.Dict):
        return {key: _nested(part, (*path, key), arrays, i) for key, part in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_nested(part, (*path, j), arrays, i) for j, part in enumerate(space))
    values = arrays.get(".".join(map(str, path)) or "observations")
    return None if values is None else values[i]


# ---- samples


def random_samples(inputs: Inputs, count: int) -> dict[str, Tensor]:
    """Inputs [N, ...] as spread as those that the policy was trained on, and some far ones."""
    source = torch.Generator().manual_seed(0)
    numbers = _random_numbers(inputs, count, source)
    layout, found = inputs.layout, {}
    for leaf in inputs.leaves:
        found[name_of(leaf)] = _random(leaf, numbers[:, leaf.start : leaf.stop], source)
    if layout.num_mask:
        mask = _random_masks(inputs, count, source)
        # An entry of stacked masks holds earlier ones before that of now.
        shown = found.setdefault(masks.KEY, mask).reshape(count, -1)
        shown[:, -layout.num_mask :] = mask
    if inputs.named:
        return {one.name: found[one.name].to(getattr(torch, one.dtype)) for one in inputs.all}
    if layout.is_plain_image:
        return {"observations": next(iter(found.values()))}
    rows = [numbers, found[masks.KEY].float()] if layout.num_mask else [numbers]
    return {"observations": torch.cat(rows, -1)}


def _random_numbers(inputs: Inputs, count: int, source: torch.Generator) -> Tensor:
    """[N, F] by the statistics of those that are seen."""
    agent, network = inputs.policy.agent, inputs.policy.config.network
    known: Any = agent.normalizer
    read = groups_of(inputs.layout, network.actor_keys, network.critic_keys).read
    size = read.layout.num_floats
    noise = torch.randn(count, size, generator=source)
    noise[: count // 8] *= 20.0
    moments = known.exact_mean[:size], known.exact_variance[:size].sqrt()
    mean, std = moments if inputs.precise else (part.float() for part in moments)
    seen = mean + std * noise
    if known.squash == "symlog":
        seen = seen.sign() * seen.abs().expm1()
    rows = torch.zeros(count, inputs.layout.num_floats, dtype=seen.dtype)
    start = 0
    for first, last in read.spans or ((0, size),):
        width = min(last, rows.shape[1]) - first
        if width > 0:
            rows[:, first : first + width] = seen[:, start : start + width]
            start += width
    return rows


def _random(leaf: Leaf, numbers: Tensor, source: torch.Generator) -> Tensor:
    """[N, *shape] values of one entry."""
    space: Any = leaf.space
    shape = (numbers.shape[0], *space.shape)
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        sizes, starts = map(torch.tensor, choices(space))
        drawn = torch.rand(len(numbers), len(sizes), generator=source, dtype=torch.float64)
        return ((drawn * sizes).long() + starts).reshape(shape)
    if isinstance(space, spaces.MultiBinary):
        return torch.randint(0, 2, shape, generator=source)
    if space.dtype == np.uint8:
        return torch.randint(0, 256, shape, generator=source).to(torch.uint8)
    values = numbers.reshape(shape)
    if space.dtype.kind == "f":
        return values
    least, most = (float(side) for side in (np.iinfo(space.dtype).min, np.iinfo(space.dtype).max))
    # The largest that float32, or float64, and the integers both hold.
    wide = (2.0**31, 128) if values.dtype == torch.float32 else (2.0**63, 1024)
    return values.round().clamp(max(least, -wide[0]), min(most, wide[0] - wide[1]))


def _random_masks(inputs: Inputs, count: int, source: torch.Generator) -> Tensor:
    """[N, M] of 0 and 1; each choice has a valid action."""
    mask = torch.rand(count, inputs.layout.num_mask, generator=source) < 0.5
    return (mask | (mask.sum(-1, keepdim=True) == 0)).to(torch.int8)

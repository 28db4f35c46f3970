"""Observations and actions of a simulator, as tensors: to rows of the layout, and into the space.

What `ObservationEncoder` and `ActionDecoder` do with arrays, for all environments at once.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import gymnasium as gym
import torch
from gymnasium import spaces
from torch import Tensor

from ppo.core.errors import UserError
from ppo.envs.entries import Leaf, choices, name_of
from ppo.envs.observations import ObservationEncoder, entry_at


class RowMaker:
    """Observations [N, ...] of a space as rows [N, *row].

    Args:
        num_mask: M, entries of the mask of valid actions that follows an observation.
        precise: names of entries whose remainders are kept too.
    """

    def __init__(
        self,
        space: gym.Space,
        env_id: str,
        num_envs: int,
        device: torch.device,
        num_mask: int = 0,
        precise: Collection[str] = (),
    ) -> None:
        self.encoder = ObservationEncoder(space, env_id, num_mask, precise=precise)
        self.layout = self.encoder.layout
        self._env_id, self._device = env_id, device
        self._num_envs = num_envs
        self._images = self.encoder.image_leaves
        numbers = [leaf for leaf in self.encoder.leaves if leaf.path or not self._images]
        self._numbers = numbers
        self._precise_paths = {leaf.path for leaf in numbers if name_of(leaf) in precise}
        self._limited = [
            (leaf, limits)
            for leaf in (*numbers, *self._images)
            if device.type == "cpu" and (limits := _limits(leaf.space)) is not None
        ]
        plain = isinstance(space, spaces.Box) and not (self._images or num_mask or precise)
        self._plain_shape = (num_envs, *(space.shape or ())) if plain else None

    def __call__(self, obs: Any, mask: Tensor | None = None) -> Tensor:
        """Rows of new memory; without a mask every action is valid."""
        if self._is_usual(obs):
            return obs.clone() if obs.dim() == 2 else obs.reshape(self._num_envs, -1).clone()
        images = [self._at(obs, leaf).to(torch.uint8) for leaf in self._images]
        if self.layout.is_plain_image:
            return images[0].clone()
        parts, remainders = [], []
        for leaf in self._numbers:
            found = self._at(obs, leaf)
            if leaf.path in self._precise_paths:
                found = found.double()  # as the host's encoder has it
                remainders.append(remainders_of(found))
            parts.append(numbers_of(leaf.space, found))
        parts += remainders
        if images and parts:
            parts = [torch.cat(parts, -1).view(torch.uint8)]
        whole = [*parts, *(image.flatten(1) for image in images)]
        if self.layout.num_mask:
            whole.append(self._mask(mask, whole[0].dtype))
        missing = self.layout.shape[0] - sum(part.shape[1] for part in whole)
        if missing:
            padding = torch.zeros((), dtype=whole[0].dtype, device=self._device)
            whole.append(padding.expand(self._num_envs, missing))
        return torch.cat(whole, -1)

    def _is_usual(self, obs: Any) -> bool:
        """Whether it can be taken as it is: the commonest form."""
        return (
            isinstance(obs, Tensor)
            and obs.dtype == torch.float32
            and obs.shape == self._plain_shape
            and obs.device == self._device
        )

    def _mask(self, mask: Tensor | None, dtype: torch.dtype) -> Tensor:
        shape = (self._num_envs, self.layout.num_mask)
        if mask is None:
            return torch.ones(shape, dtype=dtype, device=self._device)
        return (mask != 0).to(dtype)

    def _at(self, obs: Any, leaf: Leaf) -> Tensor:
        """[N, *shape] the entry of an observation.

        Raises:
            UserError: it is missing, or no tensor of this shape and kind.
        """
        try:
            found = entry_at(obs, leaf.path)
        except ValueError:
            found = None
        shape = [self._num_envs, *(leaf.space.shape or ())]
        fits = isinstance(found, Tensor) and list(found.shape) in (shape, [*shape, 1])
        if not fits or (_limits(leaf.space) is not None and found.is_floating_point()):
            raise UserError(
                f"env.id: {self._env_id}: {_words(leaf)} must be a tensor of {leaf.space.dtype} "
                f"and shape {shape} on {self._device}, got {form_of(found)}"
            )
        if not is_on(found, self._device):
            raise UserError(
                f"env.id: {self._env_id}: an observation is on {found.device}, and the simulator's "
                f"device is {self._device}"
            )
        return found.reshape(shape)

    def refuse_outside(self, obs: Any) -> None:
        """
        Raises:
            UserError: a choice is none of its space, or a byte cannot hold a pixel. Looked for on
                the host alone: on a device it would mean waiting.
        """
        for leaf, (low, high) in self._limited:
            found = self._at(obs, leaf)
            outside = (found < low) | (found > high)
            if outside.any():
                raise UserError(
                    f"env.id: {self._env_id}: {_words(leaf)} is declared {leaf.space}, but holds "
                    f"{found[outside][0]}"
                )


def _words(leaf: Leaf) -> str:
    return f"the observation's entry {name_of(leaf)!r}" if leaf.path else "the observation"


def _limits(space: gym.Space) -> tuple[Tensor, Tensor] | None:
    """The smallest and the largest whole numbers that an entry can be; None: any are taken."""
    sizes, starts = choices(space)
    if sizes:
        low, count = (torch.tensor(side).reshape(space.shape or ()) for side in (starts, sizes))
        return low, low + count - 1
    return (torch.tensor(0), torch.tensor(255)) if space.dtype == "uint8" else None


def is_on(tensor: Tensor, device: torch.device) -> bool:
    """Whether it lies there; `cuda` stands for any of them."""
    return tensor.device.type == device.type and device.index in (None, tensor.device.index)


def form_of(found: Any) -> str:
    """What it is, for a message."""
    if isinstance(found, Tensor):
        return f"{found.dtype} of shape {list(found.shape)} on {found.device}"
    return "nothing" if found is None else f"an object of type {type(found).__name__}"


def numbers_of(space: gym.Space, values: Tensor) -> Tensor:
    """[N, D] float32 of values [N, ...] of a space, as `ObservationEncoder` writes them.

    Choices are one-hot.
    """
    flat = values.reshape(values.shape[0], -1)
    sizes, starts = choices(space)
    if not sizes:
        return flat.float()
    one_hot = [
        column.unsqueeze(-1) == torch.arange(start, start + size, device=values.device)
        for column, size, start in zip(flat.long().unbind(-1), sizes, starts, strict=True)
    ]
    return torch.cat(one_hot, -1).float()


def remainders_of(values: Tensor) -> Tensor:
    """[N, D] what float32 leaves of numbers [N, ...]."""
    exact = values.reshape(values.shape[0], -1)
    return (exact - exact.float()).float()


class ActionCaster:
    """Actions in the dtype of their space and inside its bounds, as tensors of their own."""

    def __init__(self, space: gym.Space, device: torch.device) -> None:
        self._device = device
        self._dtype = torch.int64
        self._bounds: tuple[Tensor, Tensor] | None = None
        if isinstance(space, spaces.Box):
            low, high = (torch.as_tensor(side, device=device) for side in (space.low, space.high))
            self._bounds, self._dtype = (low, high), low.dtype

    def __call__(self, actions: Tensor) -> Tensor:
        """A copy, which the simulator may keep or change."""
        if self._bounds is None:
            return actions.detach().to(self._device, self._dtype, copy=True)
        low, high = self._bounds
        if self._dtype == actions.dtype == torch.float32 and actions.device == self._device:
            return torch.clamp(actions, low, high)
        actions = actions.detach().to(self._device)
        if not self._dtype.is_floating_point:
            actions = actions.double().round()
            return torch.minimum(torch.maximum(actions, low), high).to(self._dtype)
        actions = actions.to(self._dtype, copy=True)
        return torch.minimum(torch.maximum(actions, low), high)

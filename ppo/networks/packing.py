"""Reading rows of observations by their layout (ppo/core/layout.py). Pure, for any leading axes."""

from __future__ import annotations

import torch
from torch import Tensor

from ppo.core.layout import Layout


def floats(obs: Tensor, layout: Layout) -> Tensor:
    """[..., F] float32: the numbers, without images and mask."""
    if not layout.images:
        return _numbers(obs, layout)
    if not layout.num_floats:
        return torch.zeros(*_leading(obs, layout), 0, device=obs.device)
    return obs[..., : 4 * layout.num_floats].contiguous().view(torch.float32)


def images(obs: Tensor, layout: Layout) -> list[Tensor]:
    """uint8 [..., *shape] each."""
    if layout.is_plain_image:
        return [obs]
    return [
        obs[..., image.start : image.start + image.size].unflatten(-1, image.shape)
        for image in layout.images
    ]


def everything(obs: Tensor, layout: Layout) -> Tensor:
    """[..., F + pixels] float32: numbers, then the images entry by entry; no mask.

    Rows that are float32 already are returned as they are.
    """
    if not layout.images or obs.dtype != torch.uint8:
        return _numbers(obs, layout)
    if layout.is_plain_image:
        return obs.flatten(-3).float()
    pixels = obs[..., 4 * layout.num_floats : layout.mask_start].float()
    return torch.cat([floats(obs, layout), pixels], -1)


def mask(obs: Tensor, layout: Layout) -> Tensor | None:
    """[..., M] bool: the valid actions; None where the rows hold no mask."""
    if not layout.num_mask or obs.shape[-1] != layout.shape[-1]:
        return None
    return obs[..., layout.mask_start : layout.mask_start + layout.num_mask] > 0


def _numbers(obs: Tensor, layout: Layout) -> Tensor:
    if layout.num_mask and obs.shape[-1] == layout.shape[-1] and not layout.images:
        obs = obs[..., : layout.num_floats]
    return obs.float()


def _leading(obs: Tensor, layout: Layout) -> tuple[int, ...]:
    return tuple(obs.shape[: -len(layout.shape)])

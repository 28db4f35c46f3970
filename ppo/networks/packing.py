"""Reading rows of observations by their layout (ppo/core/layout.py). Pure, for any leading axes.

A row of bytes may also come decoded, as float32: its numbers, remainders, images entry by entry and
mask. So demonstrations hold them, and exported files.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ppo.core.layout import Layout, Span


def floats(obs: Tensor, layout: Layout) -> Tensor:
    """[..., F] float32: the numbers, without images of bytes and mask."""
    if not layout.is_bytes or obs.dtype != torch.uint8:
        return _first(obs, layout.num_floats)
    if not layout.num_floats:
        return torch.zeros(*obs.shape[: -len(layout.shape)], 0, device=obs.device)
    return obs[..., : 4 * layout.num_floats].contiguous().view(torch.float32)


def images(obs: Tensor, layout: Layout) -> list[Tensor]:
    """[..., *shape] each: the images of bytes, as uint8; of decoded rows float32."""
    whole = layout.whole or layout
    if whole.is_plain_image and obs.dtype == torch.uint8:
        return [obs] if layout.images else []
    # A number is four bytes, and one entry of a decoded row.
    shift = 0 if obs.dtype == torch.uint8 else 3 * whole.num_stored
    return [
        obs[..., image.start - shift : image.start - shift + image.size].unflatten(-1, image.shape)
        for image in layout.byte_images
    ]


def float_images(numbers: Tensor, layout: Layout) -> list[Tensor]:
    """[..., *shape] each: the images of floats, of numbers [..., F]."""
    return [
        numbers[..., image.start : image.start + image.size].unflatten(-1, image.shape)
        for image in layout.float_images
    ]


def vectors(numbers: Tensor, layout: Layout) -> Tensor:
    """[..., V]: the numbers that belong to no image, of numbers [..., F]."""
    return select(numbers, layout.vector_spans) if layout.float_images else numbers


def select(entries: Tensor, spans: tuple[Span, ...]) -> Tensor:
    """The entries [..., D] of these spans, side by side."""
    parts = [entries[..., start:stop] for start, stop in spans]
    if len(parts) == 1:
        return parts[0]
    return torch.cat(parts, -1) if parts else entries[..., :0]


def everything(obs: Tensor, layout: Layout) -> Tensor:
    """[..., F + pixels] float32: numbers, then the images of bytes entry by entry; no mask."""
    if layout.is_plain_image and obs.dtype == torch.uint8:
        return obs.flatten(-3).float()
    if not layout.is_bytes or (obs.dtype != torch.uint8 and not layout.precise):
        return _first(obs, layout.num_entries)
    width, end = 4 * layout.num_stored, layout.mask_start
    if obs.dtype != torch.uint8:
        width, end = layout.num_stored, layout.num_stored + layout.num_pixels
    return torch.cat([floats(obs, layout), obs[..., width:end].float()], -1)


def exact(entries: Tensor, obs: Tensor, layout: Layout) -> Tensor:
    """[..., D] float64: entries of numbers, then perhaps pixels, with the remainders in the rows.

    Args:
        entries: [..., D] as `floats` or `everything` read them of `obs`.
    """
    if obs.dtype == torch.uint8:
        stored = obs[..., : 4 * layout.num_stored].contiguous().view(torch.float32)
    else:
        stored = obs[..., : layout.num_stored]
    parts, done, place = [], 0, layout.num_floats
    for _, (start, stop) in layout.precise:
        remainders = stored[..., place : place + stop - start].double()
        parts += [entries[..., done:start].double(), entries[..., start:stop].double() + remainders]
        done, place = stop, place + stop - start
    return torch.cat([*parts, entries[..., done:].double()], -1)


def mask(obs: Tensor, layout: Layout) -> Tensor | None:
    """[..., M] bool: the valid actions; None where the rows hold no mask."""
    decoded = layout.is_bytes and obs.dtype != torch.uint8
    start = layout.num_stored + layout.num_pixels if decoded else layout.mask_start
    width = start + layout.num_mask if decoded else layout.shape[-1]
    if not layout.num_mask or obs.shape[-1] != width:
        return None
    return obs[..., start : start + layout.num_mask] > 0


def _first(obs: Tensor, count: int) -> Tensor:
    """The first entries, float32; rows that are these alone are returned as they are."""
    return (obs if obs.shape[-1] == count else obs[..., :count]).float()

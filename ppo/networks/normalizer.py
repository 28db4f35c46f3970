"""Running statistics of observations, saved with the policy and frozen while a batch is used."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ppo.core.layout import Image
from ppo.functional.moments import masked_moments, merge_moments, merge_over_ranks

# Shares of the mean up to which a standard deviation is that of rounding.
ROUNDING = 1e-6  # of float32, 16 of its steps
PRECISE_ROUNDING = 1e-13  # of numbers with their remainders, 50 steps of 2^-49


class ObservationNormalizer(nn.Module):
    """`clip((squash(obs) - mean) / scale, -limit, limit)`, per entry.

    Statistics are float64 and cumulative; `mean` and `inverse_std` are their float32 copies for
    the hot path. An entry that has never varied gives 0.

    With `tails` the scale is the larger of the standard deviation and `sqrt(E d^4 / (3 E d^2))`, d
    being the distance from the mean. The two are equal for a normal entry. An entry that is nonzero
    only in a share p of the samples, such as a contact force, has a standard deviation of `sqrt(p)`
    times its size, so dividing by it maps a contact to `1 / sqrt(p)`; the second scale maps it to
    sqrt(3).

    The pixels of an image have the mean and the standard deviation of their channel in common, so
    that what lies next to each other stays comparable.

    Args:
        size: D, entries that `read` returns.
        tails: whether rare large values raise the scale.
        read: rows of observations [..., *row] -> the numbers in them [..., D] (float32, or float64
            with `precise`).
        images: of floats, among the entries.
        precise: [D] bool, entries that hold more than float32; the others were rounded to it. Then
            the mean is subtracted in float64, and what is left is rounded.
    """

    count: Tensor  # [1] float64
    exact_mean: Tensor  # [D] float64
    exact_variance: Tensor  # [D] float64
    exact_fourth: Tensor  # [D] float64, fourth moment about the running mean; with `tails`
    mean: Tensor  # [D]
    inverse_std: Tensor  # [D]
    noise: float | Tensor  # [D] share of the mean up to which a standard deviation is rounding

    def __init__(
        self,
        size: int,
        enabled: bool,
        limit: float,
        squash: str,
        tails: bool,
        read: Callable[[Tensor], Tensor],
        images: tuple[Image, ...] = (),
        precise: Tensor | None = None,
    ) -> None:
        super().__init__()
        dtype = torch.float32 if precise is None else torch.float64
        self.read, self.images = read, images
        self.enabled, self.limit, self.squash = enabled and size > 0, limit, squash
        # [1], not a scalar: compiled code on a CPU loses what it writes into a tensor of no axes.
        self.register_buffer("count", torch.zeros(1, dtype=torch.float64))
        self.register_buffer("exact_mean", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("exact_variance", torch.ones(size, dtype=torch.float64))
        self.tails = tails
        if tails:
            self.register_buffer("exact_fourth", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(size, dtype=dtype))
        self.register_buffer("inverse_std", torch.ones(size, dtype=dtype))
        if precise is None:
            self.noise = ROUNDING
        else:
            noise = torch.where(precise, PRECISE_ROUNDING, ROUNDING).double()
            self.register_buffer("noise", noise, persistent=False)

    def squashed(self, obs: Tensor) -> Tensor:
        """The numbers [..., D] in rows [..., *row], after the optional symlog for heavy tails."""
        obs = self.read(obs)
        return obs.sign() * obs.abs().log1p() if self.squash == "symlog" else obs

    def forward(self, obs: Tensor) -> Tensor:
        obs = self.squashed(obs)
        if not self.enabled:
            return obs.float()
        return ((obs - self.mean) * self.inverse_std).clamp(-self.limit, self.limit).float()

    @torch.no_grad()
    def update(self, obs: Tensor, weights: Tensor) -> None:
        """Learn from rows of observations [B, *row] with weights [B] of 0 and 1, over all ranks."""
        if not self.enabled:
            return
        obs = self.squashed(obs)
        seen = merge_over_ranks(*masked_moments(obs, weights))
        # To 0 a first variance of any size is added without a loss of digits, and not to 1.
        known = self.exact_variance * (self.count > 0)
        count, mean, variance = merge_moments(self.count, self.exact_mean, known, *seen)
        self.count.copy_(count)
        self.exact_mean.copy_(mean)
        self.exact_variance.copy_(variance)
        std = variance.sqrt()
        varies = _varies(mean, std, self.noise)
        if self.tails:
            powers = (obs.double() - mean) ** 4
            added, fourth, _ = merge_over_ranks(*masked_moments(powers, weights))
            self.exact_fourth.lerp_(fourth, added / count)
            tail = (self.exact_fourth / (3.0 * variance)).sqrt()
            std = torch.where(varies, torch.maximum(std, tail), std)
        inverse_std = torch.where(varies, 1.0 / std, torch.zeros_like(std))
        for image in self.images:
            part = slice(image.start, image.start + image.size)
            mean, inverse_std = mean.clone(), inverse_std.clone()
            mean[part], inverse_std[part] = _of_channels(mean[part], variance[part], image)
        self.mean.copy_(mean)
        self.inverse_std.copy_(inverse_std)


def _varies(mean: Tensor, std: Tensor, noise: float | Tensor = ROUNDING) -> Tensor:
    """Where an entry is no constant, whose rounding noise must not be blown up to unit variance."""
    return std > noise * mean.abs().clamp(min=1e-6)


def _of_channels(mean: Tensor, variance: Tensor, image: Image) -> tuple[Tensor, Tensor]:
    """Mean and inverse standard deviation of each pixel's channel, from those of the pixels."""
    mean, variance = (x.unflatten(0, image.shape) for x in (mean, variance))
    axes = (1, 2) if image.channels_first else (0, 1)
    center = mean.mean(axes, keepdim=True)
    spread = variance.mean(axes, keepdim=True) + (mean - center).square().mean(axes, keepdim=True)
    std = spread.sqrt()
    inverse = torch.where(_varies(center, std), 1.0 / std, torch.zeros_like(std))
    return center.expand_as(mean).flatten(), inverse.expand_as(mean).flatten()

"""Interface of every value scale: the critic's frame, one per reward component."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ppo.core import parallel
from ppo.functional.moments import masked_moments, merge_over_ranks
from ppo.functional.popart import relative_floor

RECENT = 3  # batches that agree before all that came before is forgotten
SHRUNK = 16.0  # times the variance of each of them, that the statistics hold


class OutputLayer(NamedTuple):
    """The critic's last layer, where its values are linear in it."""

    weight: Tensor  # [K * O, F]
    bias: Tensor  # [K * O]
    gain: float  # network units per unit of its output


class ValueScale(nn.Module):
    """The frame `V = offset + size * n` between reward units V and network units n, per component.

    Statistics of the returns are kept in float64 whether or not the frame uses them, because clips
    and metrics measure in standard deviations of the return. Nothing here has an absolute epsilon
    or an absolute first value: before the first nonzero return a component is not `ready`, its
    values are 0 and it is not trained.

    Args:
        num_components: K.
        return_scale: standard deviation given to standardized returns.
        horizon: batches that the statistics remember.
    """

    unit: float  # standard deviation of the targets, in network units
    preserves_outputs = False  # whether a move of the frame leaves predictions unchanged
    exact = True  # whether scaling rewards by 2^k changes no bit of the learned parameters
    affine = True  # whether network units are an affine map of reward units
    support: float | None = 8.0  # standard deviations that bins cover; None: no known bound
    carries_back = True  # whether values return to reward units before they meet rewards

    mean: Tensor  # [K] float64 of the returns
    variance: Tensor  # [K] float64 of the returns
    std: Tensor  # [K] float64 of the returns, floored relative to their size; 0 until ready
    seen: Tensor  # [K] batches learned from, since the statistics began anew
    recent: Tensor  # [2, RECENT, K] float64: mean and variance of the newest batches, newest first
    ready: Tensor  # [K] bool
    offset: Tensor  # [K] float32 reward units
    size: Tensor  # [K] float32 reward units per network unit

    def __init__(self, num_components: int, return_scale: float, horizon: float) -> None:
        super().__init__()
        self.return_scale, self.horizon = return_scale, horizon
        self.unit = return_scale
        self.register_buffer("mean", torch.zeros(num_components, dtype=torch.float64))
        self.register_buffer("std", torch.zeros(num_components, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(num_components, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros(num_components, dtype=torch.float64))
        recent = torch.zeros(2, RECENT, num_components, dtype=torch.float64)
        self.register_buffer("recent", recent)
        self.register_buffer("ready", torch.zeros(num_components, dtype=torch.bool))
        self.register_buffer("offset", torch.zeros(num_components))
        self.register_buffer("size", torch.ones(num_components))

    def from_norm(self, values_norm: Tensor) -> Tensor:
        """Network units to reward units, [..., K]."""
        return self.offset + self.size * values_norm

    def to_norm(self, values: Tensor) -> Tensor:
        """Reward units to network units, [..., K]."""
        return (values - self.offset) / self.size

    def frame(self, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        """Offset and size [K] float64, from the statistics."""
        raise NotImplementedError

    def memory(self, seen: Tensor) -> Tensor:
        """Share [K] of the newest batch in the statistics."""
        return 1.0 / torch.clamp(seen, max=self.horizon)

    def correct(
        self,
        layer: OutputLayer,
        changed: Tensor,
        before: tuple[Tensor, Tensor],
        after: tuple[Tensor, Tensor],
    ) -> OutputLayer:
        """The output layer that fits a frame that moved; by default it is left alone.

        Args:
            changed: [K] bool, the components whose frame moved from `before` to `after`, each an
                offset [K] and a size [K].
        """
        return layer

    @torch.no_grad()
    def update(
        self,
        returns: Tensor,
        weights: Tensor,
        layer: OutputLayer | None = None,
        values: Tensor | None = None,
    ) -> tuple[Tensor, OutputLayer | None]:
        """Learn from the returns of a batch, reduced over ranks first.

        Args:
            returns: [B, K] reward units. weights: [B] of 0 and 1.
            layer: the critic's output layer; None where values are not linear in it.
            values: [B, K] reward units, predicted before; None: not known.

        Returns:
            [K] bool: the components whose frame was set for the first time, or anew. Their
            predictions jumped, so values predicted before are no center for a clip.
            And the output layer that the critic must have from now on.
        """
        count, batch_mean, batch_variance = merge_over_ranks(*masked_moments(returns, weights))
        largest = parallel.max_((returns * weights.unsqueeze(-1)).abs().amax(0).double())
        usable = (largest > 0) & (count > 0)
        seen = self.seen + usable.double()
        share = torch.where(usable, self.memory(seen.clamp(min=1.0)), torch.zeros_like(seen))
        delta = batch_mean - self.mean
        # Centered exponential moving moments: no difference of large squares.
        moved_mean = self.mean + share * delta
        moved_variance = (
            self.variance
            + share * (batch_variance - self.variance)
            + share * (1.0 - share) * delta.square()
        )
        first = usable & ~self.ready
        mean = torch.where(first, batch_mean, moved_mean)
        variance = torch.where(first, batch_variance, moved_variance)
        recent = torch.stack([batch_mean, batch_variance]).unsqueeze(1)
        recent = torch.where(usable, torch.cat([recent, self.recent[:, :-1]], 1), self.recent)
        shrunk, recent_mean, recent_variance = _shrunk(recent, variance, seen)
        shrunk &= usable
        mean = torch.where(shrunk, recent_mean, mean)
        variance = torch.where(shrunk, recent_variance, variance)
        seen = torch.where(shrunk, RECENT, seen)
        std = torch.where(usable, relative_floor(variance.sqrt(), mean, largest), self.std)
        mean = torch.where(usable, mean, self.mean)
        before = self.frame(self.mean, self.std)
        after = self.frame(mean, std)
        # Values that are far off in the new size are not worth keeping: they shrink with the frame.
        moves = (after[0] != before[0]) | (after[1] != before[1])
        first |= shrunk & moves & self._misses(returns, weights, values, batch_variance)
        if layer is not None:
            layer = self.correct(layer, usable & ~first, before, after)
        self.mean.copy_(mean)
        self.variance.copy_(torch.where(usable, variance, self.variance))
        self.std.copy_(std)
        self.seen.copy_(seen)
        self.recent.copy_(recent)
        self.ready.logical_or_(usable)
        self.offset.copy_(after[0])
        self.size.copy_(after[1])
        return first, layer

    def _misses(
        self, returns: Tensor, weights: Tensor, values: Tensor | None, variance: Tensor
    ) -> Tensor:
        """[K] bool: whether the values explain nothing of the returns of this variance [K]."""
        if values is None:
            return torch.zeros_like(self.ready)
        _, bias, residual = merge_over_ranks(*masked_moments(returns - values, weights))
        return residual + bias.square() > variance


def _shrunk(recent: Tensor, variance: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Whether returns have become smaller for good, and the moments of the newest batch.

    A moving variance follows a growth at once and a fall by a thousand only as fast as it forgets,
    over a hundred batches. So where all of the newest batches, taken together, vary far less than
    the statistics hold, these begin anew from them. A batch without returns other than 0 is none
    of them: it has no scale.

    Args:
        recent: [2, RECENT, K] means and variances. variance: [K] of the statistics. seen: [K].

    Returns:
        [K] bool, and the mean and variance [K] of the newest batch.
    """
    means, variances = recent
    mean = means.mean(0)
    spread = variances + (means - mean).square()
    enough = (seen > RECENT) & (spread.amin(0) > 0)
    return enough & (spread.amax(0) * SHRUNK < variance), means[0], variances[0]

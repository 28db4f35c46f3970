"""Interface of every balancer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

BOUND = 100.0  # largest ratio of the weights of two losses


class Balancer(nn.Module):
    """Weighs J losses; policy loss and entropy bonus are not among them.

    State is in buffers, so it is saved and resumed with the objective. `forward` may be compiled,
    so a balancer learns its statistics in `observe`, once per batch.

    Args:
        names: names of the J losses (value and auxiliary ones).
        weights: [J] preferences from the configuration; they multiply the balancer's weights.
        num_outputs: [J] outputs that each loss is a mean over.
        options: the section `balancing` of the configuration; of a balancer of the user's
            `balancing.kind_kwargs`.
    """

    exact = True  # whether unit-free losses in give unit-free losses out
    reads_gradients = False  # whether `observe_gradients` must be called before each update
    base: Tensor  # [J]
    num_outputs: Tensor  # [J]

    def __init__(
        self, names: list[str], weights: list[float], num_outputs: list[int], **options: float
    ) -> None:
        super().__init__()
        self.names = names
        self.register_buffer("base", torch.tensor(weights, dtype=torch.float32), persistent=False)
        outputs = torch.tensor(num_outputs, dtype=torch.float32)
        self.register_buffer("num_outputs", outputs, persistent=False)

    def weights(self, losses: Tensor) -> Tensor:
        """[J] constants that multiply the losses; no gradient passes through them."""
        return self.base

    def forward(self, losses: Tensor) -> tuple[Tensor, Tensor]:
        """Total (scalar) and the weights [J] in force.

        Args:
            losses: [J], each a mean over its active elements.
        """
        weights = self.weights(losses.detach())
        return (weights * losses).sum(), weights

    @torch.no_grad()
    def observe(self, losses: Tensor, variances: Tensor, progress: float) -> None:
        """Learn from a finished batch.

        Args:
            losses: [J] means over the batch. variances: [J] of each loss's targets, NaN if unknown.
            progress: batches finished.
        """

    def observe_gradients(self, norms: Tensor) -> None:
        """Learn from the gradients at the start of an update.

        Args:
            norms: [J] of the unweighted losses' gradients on the parameters that they share.
        """


class Smoothed(Balancer):
    """A balancer that goes by a moving mean of a size of each loss.

    Args:
        momentum: share of the mean that stays at each batch.
    """

    mean: Tensor  # [J]; 0: not seen yet

    def __init__(
        self,
        names: list[str],
        weights: list[float],
        num_outputs: list[int],
        momentum: float = 0.95,
        **options: float,
    ) -> None:
        super().__init__(names, weights, num_outputs)
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(len(names)))

    def moved(self, size: Tensor) -> Tensor:
        """[J] the mean after this size; the size itself where it is the first one."""
        moved = self.momentum * self.mean + (1.0 - self.momentum) * size
        return torch.where(self.mean > 0, moved, size)

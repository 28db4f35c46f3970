"""Adam on one flat buffer.

All parameters are views of one vector, so that clipping, the finiteness check and Adam are a few
operations whatever the number of layers, all ranks reduce one tensor, and a whole gradient step
compiles into one graph.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

BETA1, BETA2 = 0.9, 0.999
EPSILON = 1e-5  # gradients have no unit here, so it does not break the invariance to reward scale


class FlatParameters:
    """The parameters of a module, re-homed as views of `theta` [P]."""

    def __init__(self, module: nn.Module) -> None:
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        self.names = [name for name, _ in named]
        self.parameters = [p for _, p in named]
        self.shapes = [p.shape for p in self.parameters]
        self.sizes = [p.numel() for p in self.parameters]
        self.theta = torch.cat([p.detach().reshape(-1) for p in self.parameters])
        for p, part in zip(self.parameters, self.theta.split(self.sizes), strict=True):
            p.data = part.view(p.shape)

    def unflatten(self, theta: Tensor) -> dict[str, Tensor]:
        """Parameters by name, as views of `theta`."""
        parts = theta.split(self.sizes)
        return {
            name: part.view(shape)
            for name, part, shape in zip(self.names, parts, self.shapes, strict=True)
        }

    def mask(self, belongs: Callable[[str], bool]) -> Tensor:
        """[P] float: 1 for the entries of parameters whose name `belongs` accepts."""
        chosen = [
            torch.full((size,), float(belongs(name)))
            for name, size in zip(self.names, self.sizes, strict=True)
        ]
        return torch.cat(chosen).to(self.theta.device)


class Adam(nn.Module):
    """Kingma and Ba 2015 (arXiv 1412.6980, algorithm 1) with gradient clipping by norm.

    State: first and second moments [P] and the step count [1], all on the device. The parameters
    themselves are a buffer here that is not saved: the objective saves them by name.

    Args:
        flat: the parameters.
        max_grad_norm: gradients are scaled down to this norm.
        rates: [P] multiples of the learning rate, or None for 1.
        groups: [P] masks that are clipped one by one; None clips the joint norm.
    """

    theta: Tensor  # [P]
    first: Tensor  # [P]
    second: Tensor  # [P]
    steps: Tensor  # [1]

    def __init__(
        self,
        flat: FlatParameters,
        max_grad_norm: float,
        rates: Tensor | None = None,
        groups: list[Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.flat, self.max_grad_norm = flat, max_grad_norm
        self.rates, self.groups = rates, groups
        self.register_buffer("theta", flat.theta, persistent=False)
        self.register_buffer("first", torch.zeros_like(flat.theta))
        self.register_buffer("second", torch.zeros_like(flat.theta))
        # [1], not a scalar: compiled code on a CPU loses what it writes into a tensor of no axes.
        self.register_buffer("steps", torch.zeros(1, device=flat.theta.device))
        self.register_load_state_dict_pre_hook(self._fit_steps)

    def step(self, grad: Tensor, learning_rate: Tensor, go: Tensor) -> tuple[Tensor, Tensor]:
        """Clip, check and apply one gradient; nothing leaves the device.

        Args:
            grad: [P]. learning_rate: scalar. go: bool [1]; False leaves all as it was.

        Returns:
            Norms before clipping, [1], or where groups are clipped [2] with the largest of theirs;
            and a bool [1] that says whether the step was taken.
        """
        norm = torch.linalg.vector_norm(grad)
        taken = go & torch.isfinite(norm)
        clipped, norms = self._clip(grad, norm)
        # A non-finite gradient must not reach the moments.
        clipped = torch.where(taken, clipped, 0.0)
        keep = taken.to(grad.dtype)
        self.steps.add_(keep)
        self.first.lerp_(clipped, (1.0 - BETA1) * keep)
        self.second.lerp_(clipped.square(), (1.0 - BETA2) * keep)
        first = self.first / self._weight_seen(BETA1)
        second = self.second / self._weight_seen(BETA2)
        change = first / (second.sqrt() + EPSILON)
        if self.rates is not None:
            change = change * self.rates
        self.flat.theta.sub_(learning_rate * keep * change)
        return norms, taken

    def _weight_seen(self, beta: float) -> Tensor:
        """[1] weight that the gradients so far have in a moment; the rest is its zero."""
        return 1.0 - beta ** self.steps.clamp(min=1.0)

    def _clip(self, grad: Tensor, norm: Tensor) -> tuple[Tensor, Tensor]:
        """The clipped gradient, and the norms as `step` returns them."""
        if self.groups is None:
            return grad * self._factor(norm), norm.unsqueeze(0)
        parts = [grad * mask for mask in self.groups]
        norms = torch.stack([torch.linalg.vector_norm(part) for part in parts])
        clipped = torch.stack(
            [part * self._factor(own) for part, own in zip(parts, norms.unbind(), strict=True)]
        )
        return clipped.sum(0), torch.stack([norm, norms.amax()])

    def _factor(self, norm: Tensor) -> Tensor:
        return torch.where(norm > self.max_grad_norm, self.max_grad_norm / norm, 1.0)

    def _fit_steps(
        self, _: nn.Module, state: dict[str, Tensor], prefix: str, *unused: object
    ) -> None:
        """Earlier versions counted the steps of the critic alone beside the others."""
        name = f"{prefix}steps"
        if name in state:
            state[name] = state[name][:1]

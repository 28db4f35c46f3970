"""How long each loss's gradient is on the parameters that several losses share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ppo.algorithm.optimizer import FlatParameters

CRITIC_ENCODERS = ("agent.encoder.", "agent.critic_encoder.")


def shared_parameters(flat: FlatParameters) -> list[Tensor]:
    """Parameters of the encoder whose features the critic and all auxiliary heads read."""
    return [
        parameter
        for name, parameter in zip(flat.names, flat.parameters, strict=True)
        if name.startswith(CRITIC_ENCODERS)
    ]


def norm_of(loss: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """Norm of the gradient of `loss`; its graph is kept for the next loss."""
    grads = torch.autograd.grad(
        loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return torch.cat([grad.reshape(-1) for grad in grads]).norm()

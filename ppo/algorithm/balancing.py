"""What balancers learn of a batch: gradient norms before its update, losses after it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ppo.algorithm.health import PROBE_SAMPLES
from ppo.algorithm.optimizer import FlatParameters
from ppo.algorithm.update import UpdateTable
from ppo.core import parallel
from ppo.core.data import Batch
from ppo.functional.quantiles import spread_index
from ppo.losses.base import Knobs
from ppo.losses.objective import Objective

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


def show_gradients(objective: Objective, flat: FlatParameters, batch: Batch, knobs: Knobs) -> None:
    """Let a balancer that goes by gradient norms learn those of a batch, before its update.

    They are those of the unweighted balanced losses, measured on a probe of the batch.
    """
    if not objective.balancer.reads_gradients:
        return
    parameters = shared_parameters(flat)
    limit = max(1, PROBE_SAMPLES // batch.length)  # with memory, whole sequences
    few = batch.select(spread_index(batch.num_sequences, limit, batch.obs.device))
    losses, _ = objective.terms(few, knobs)
    norms = [norm_of(losses[loss.name], parameters) for loss in objective.balanced_losses]
    objective.balancer.observe_gradients(parallel.mean_(torch.stack(norms)))


@torch.no_grad()
def show_losses(objective: Objective, batch: Batch, table: UpdateTable, finished: int) -> Tensor:
    """Show the balancer a batch's losses, after its update; the variances of their targets [J].

    Args:
        finished: batches, this one included.
    """
    losses = table.mean_losses([part.name for part in objective.balanced_losses])
    losses = parallel.mean_(losses)
    variances = parallel.mean_(objective.target_variances(batch))
    if bool(torch.isfinite(losses).all()):
        objective.balancer.observe(losses, variances, float(finished))
    return variances

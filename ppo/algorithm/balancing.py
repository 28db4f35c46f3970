"""What balancers learn of a batch: gradient norms before its update, losses after it."""

from __future__ import annotations

import torch
from torch import Tensor

from ppo.algorithm.gradients import norm_of, shared_parameters
from ppo.algorithm.health import PROBE_SAMPLES, probe_index
from ppo.algorithm.optimizer import FlatParameters
from ppo.algorithm.update import UpdateTable
from ppo.core import parallel
from ppo.core.data import Batch
from ppo.losses.base import Knobs
from ppo.losses.objective import Objective


def balanced_norms(
    objective: Objective, flat: FlatParameters, batch: Batch, knobs: Knobs
) -> Tensor:
    """[J] gradient norms of the unweighted balanced losses, measured on a probe of the batch."""
    parameters = shared_parameters(flat)
    limit = max(1, PROBE_SAMPLES // batch.length)  # with memory, whole sequences
    few = batch.select(probe_index(batch.num_sequences, batch.obs.device, limit))
    losses, _ = objective.terms(few, knobs)
    return torch.stack(
        [norm_of(losses[loss.name], parameters) for loss in objective.balanced_losses]
    )


def show_gradients(objective: Objective, flat: FlatParameters, batch: Batch, knobs: Knobs) -> None:
    """Let a balancer that goes by gradient norms learn those of a batch, before its update."""
    if objective.balancer.reads_gradients:
        norms = parallel.mean_(balanced_norms(objective, flat, batch, knobs))
        objective.balancer.observe_gradients(norms)


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

"""After the update: the health of critic and network, and the observation statistics' lesson.

One function of whole tensors, compiled where `system.compile` asks for it, and else recorded.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ppo.algorithm import health
from ppo.algorithm.health import Numbers
from ppo.algorithm.optimizer import FlatParameters
from ppo.algorithm.update import UpdateTable
from ppo.core import parallel
from ppo.core.compiling import keep
from ppo.core.data import Batch
from ppo.core.recording import faster
from ppo.losses.base import Knobs
from ppo.losses.objective import Objective


class Examine:
    """Measures, then updates the observation normalizer: a batch uses one set of statistics.

    The gradients that reach a shared encoder are those before the update: `remember` takes them.
    """

    def __init__(self, objective: Objective, flat: FlatParameters) -> None:
        self.objective, self.flat = objective, flat
        self.shared = health.SharedGradients(objective, flat)
        self._shares = torch.full((2,), torch.nan, device=flat.theta.device)

    def run_as(self, graphs: bool, batches: float) -> None:
        """From now on by compiled graphs, or eagerly and recorded in so many batches of the run."""
        make, alone = faster(graphs, self.flat.theta.device, batches), not parallel.is_active()
        self._examine = make(self.examine) if alone else self.examine
        self._measure = make(self.shared.measure)

    def remember(self, batch: Batch, knobs: Knobs) -> None:
        """Call it before the update."""
        if not self.shared.applies:
            return
        few = health.probe(batch, health.GRADIENT_SAMPLES)
        self._shares = keep(self._measure(self.flat.theta, few, knobs)).detach()

    @torch.no_grad()
    def __call__(
        self, batch: Batch, knobs: Knobs, table: UpdateTable, batch_number: int
    ) -> Numbers:
        """The numbers of a batch that are known after its update."""
        # A fill, since a GPU waits for a number that is sent.
        steps = torch.full((), float(table.rows.shape[0]), device=self.flat.theta.device)
        found = keep(self._examine(batch, knobs.learning_rate, steps, self._shares))
        if batch_number % health.RANK_INTERVAL == 0:
            rank = health.effective_rank(self.objective, batch).double().reshape(1)
            found = Numbers((*found.names, "effective_rank"), torch.cat([found.values, rank]))
        return found

    def examine(
        self, batch: Batch, learning_rate: Tensor, steps: Tensor, shares: Tensor
    ) -> Numbers:
        agent, scale = self.objective.agent, self.objective.value_scale
        found = health.after_update(self.objective, batch, steps, learning_rate)
        found["value_gradient_share"], found["value_to_policy_gradient"] = shares.unbind()
        std = agent.distribution.mean_std()
        if std is not None:
            found["policy_std"] = std
        # The summed value moves by as much as its heads together; one without a scale stands still.
        found["scale_size"] = (scale.size.double() * scale.ready).sum() * agent.value_head.gain
        found["finite"] = torch.isfinite(self.flat.theta).all()
        agent.normalizer.update(batch.obs, batch.valid)
        return Numbers.of(found)

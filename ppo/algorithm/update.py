"""A batch -> epochs of minibatch steps, on the device, without a word to the host."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value

from ppo.algorithm.optimizer import Adam
from ppo.config import PPOConfig
from ppo.core import parallel
from ppo.core.arguments import settled
from ppo.core.compiling import fix_addresses, keep
from ppo.core.data import Batch
from ppo.core.randomness import generator
from ppo.core.recording import faster
from ppo.core.signals import Grace
from ppo.losses.base import Knobs
from ppo.losses.objective import Objective

KL_STOP_FACTOR = 1.5  # times target_kl, as in Stable-Baselines3


class UpdateTable(NamedTuple):
    """One row of metrics per minibatch."""

    names: list[str]
    rows: Tensor  # [S, M] on the device
    steps_per_epoch: int

    def mean_losses(self, losses: list[str]) -> Tensor:
        """[J] means of these losses over the minibatches whose step was taken."""
        columns = [self.names.index(f"loss/{name}") for name in losses]
        used = self.rows[:, self.names.index("taken")] > 0
        return torch.where(used.unsqueeze(-1), self.rows[:, columns], torch.nan).nanmean(0)


class Update:
    """Moves an objective's parameters by Adam on shuffled minibatches."""

    def __init__(
        self, objective: Objective, optimizer: Adam, config: PPOConfig, run_seed: int
    ) -> None:
        self.objective, self.optimizer, self.config = objective, optimizer, config
        self.run_seed = run_seed
        self.names: list[str] = []  # names of a step's figures
        self.poll = Grace()  # polled between minibatches
        device = optimizer.flat.theta.device
        self.running = torch.ones(1, dtype=torch.bool, device=device)
        # A rate that follows the target needs no stop; and a stop would hide from it what it did.
        follows = config.learning_rate_schedule == "kl"
        limit = None if follows else config.target_kl
        self.stops = limit is not None
        self.kl_limit = torch.tensor(
            torch.inf if limit is None else KL_STOP_FACTOR * limit, device=device
        )
        fix_addresses(*optimizer.buffers(), self.running)

    def run_as(self, graphs: bool, batches: float) -> None:
        """From now on the whole gradient step (losses, gradient, clipping, Adam) is one compiled
        graph, or it is eager and recorded in so many batches of the run."""
        self.compiles = graphs
        device = self.optimizer.flat.theta.device
        steps = batches * self.config.num_epochs * self.config.num_minibatches
        make: Any = faster(graphs, device, steps)
        # Gradients that ranks must average leave the graph half way; one process fuses it all.
        alone = not parallel.is_active()
        self._gradient = self.gradient if alone else make(self.gradient)
        self._step = make(self.step) if alone else self.step

    @torch.enable_grad()  # an environment with a network of its own may have turned it off
    def __call__(
        self,
        batch: Batch,
        knobs: Knobs,
        batch_number: int,
        attempt: int,
    ) -> UpdateTable:
        """Every epoch over `batch`; minibatches are drawn from a counted generator."""
        size = batch.num_sequences
        minibatch = size // self.config.num_minibatches
        self.running.fill_(True)
        counters = batch_number, attempt, parallel.rank()
        source = generator(batch.obs.device, self.run_seed, "minibatches", *counters)
        self._name_metrics(batch, knobs)
        rows = []
        step = None
        for _ in range(self.config.num_epochs):
            order = torch.randperm(size, generator=source, device=batch.obs.device)
            for index in order.split(minibatch):
                self.poll()
                step = step or settled(self._step, batch, index, knobs)
                rows.append(keep(step(batch, index, knobs)))
            # Only on a CPU: on a GPU the answer would cost a wait.
            if self.stops and self.running.device.type == "cpu" and not self.running:
                break
        return UpdateTable(self.names, torch.stack(rows), self.config.num_minibatches)

    def step(self, batch: Batch, index: Tensor, knobs: Knobs) -> Tensor:
        """One gradient step on the sequences of `index`; its metrics as one vector [M]."""
        grad, metrics = self._gradient(self.optimizer.flat.theta, batch.select(index), knobs)
        row = torch.stack([metrics[name] for name in sorted(metrics)])
        return self.advance(grad, row, knobs)

    def advance(self, grad: Tensor, row: Tensor, knobs: Knobs) -> Tensor:
        """Moves the parameters by a gradient [P]; its metrics and what became of it as one row."""
        parallel.mean_(grad)
        kl = parallel.mean_(row[self.names.index("approx_kl")])
        # A NaN is not above the limit: it must not end the update unseen.
        self.running.logical_and_(~(kl > self.kl_limit))
        norms, taken = self.optimizer.step(grad, knobs.learning_rate, self.running)
        return torch.cat([row, norms, taken.to(row.dtype), self.running.to(row.dtype)])

    def gradient(
        self,
        theta: Tensor,
        minibatch: Batch,
        knobs: Knobs,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Gradient [P] and metrics: by autograd, or as a pure function of `theta`, which compiles
        into one graph."""
        flat, what = self.optimizer.flat, (minibatch, knobs)
        if not self.compiles:
            total, metrics = self.objective(*what)
            parts = torch.autograd.grad(
                total, flat.parameters, allow_unused=True, materialize_grads=True
            )
            return torch.cat([part.reshape(-1) for part in parts]), metrics

        def total_of(theta: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            return functional_call(self.objective, flat.unflatten(theta), what)

        grad, (_, metrics) = grad_and_value(total_of, has_aux=True)(theta)
        return grad, metrics

    def _name_metrics(self, batch: Batch, knobs: Knobs) -> None:
        if self.names:
            return
        with torch.no_grad():
            few = torch.arange(min(2, batch.obs.shape[0]), device=batch.obs.device)
            metrics = self.objective(batch.alone(few), knobs)[1]
        norms = ["grad_norm"] if self.optimizer.groups is None else ["grad_norm", "largest_norm"]
        self.names = [*sorted(metrics), *norms, "taken", "running"]

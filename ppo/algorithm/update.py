"""A batch -> epochs of minibatch steps, on the device, without a word to the host."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value

from ppo.algorithm import pieces
from ppo.algorithm.optimizer import Adam
from ppo.config import PPOConfig
from ppo.core import parallel
from ppo.core.compiling import compiled, fix_addresses, keep, settled
from ppo.core.data import Batch
from ppo.core.randomness import generator
from ppo.core.signals import Grace
from ppo.losses.base import Knobs
from ppo.losses.objective import Objective

KL_STOP_FACTOR = 1.5  # of target_kl, as in Stable-Baselines3


class UpdateTable(NamedTuple):
    """One row of metrics per minibatch."""

    names: list[str]
    rows: Tensor  # [S, M] on the device
    steps_per_epoch: int


class Update:
    """Moves an objective's parameters by Adam on shuffled minibatches.

    Args:
        compile_it: compile the whole gradient step (losses, gradient, clipping, Adam) as one graph.
    """

    def __init__(
        self,
        objective: Objective,
        optimizer: Adam,
        config: PPOConfig,
        run_seed: int,
        compile_it: bool,
    ) -> None:
        self.objective, self.optimizer, self.config = objective, optimizer, config
        self.run_seed = run_seed
        self.metrics: list[str] = []  # of a gradient
        self.names: list[str] = []  # of a step
        self.poll = Grace()  # asked between minibatches
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
        # Gradients that ranks must average leave the graph half way; one process fuses it all.
        self.compiles = compile_it
        self.fused = compile_it and not parallel.is_active()
        build = functools.partial(compiled, device=device)
        self._gradient = build(self.gradient) if compile_it else self.gradient
        self._step = build(self.step) if self.fused else self.step
        self._value_step = build(self.value_step) if self.fused else self.value_step
        # What fills the cache of a processor's core; a GPU wants as many samples as there are.
        self.cuts = device.type == "cpu" and objective.separable
        self._open = build(self.open) if compile_it else self.open
        self._piece = build(self.piece) if compile_it else self.piece
        self._close = build(self.close) if self.fused else self.close

    def __call__(
        self,
        batch: Batch,
        knobs: Knobs,
        batch_number: int,
        attempt: int,
        refresh: Callable[[Batch], Batch] | None = None,
    ) -> UpdateTable:
        """Every epoch over `batch`; minibatches are drawn from a counted generator.

        Args:
            refresh: gives the batch of each epoch but the first.
        """
        size = batch.num_sequences
        minibatch = size // self.config.num_minibatches
        cuts = self.cuts and batch.length == 1
        parts = pieces.number_of_pieces(minibatch) if cuts else 1
        self.running.fill_(True)
        source = generator(
            torch.device("cpu"),
            self.run_seed,
            "minibatches",
            batch_number,
            attempt,
            parallel.rank(),
        )
        self._name_metrics(batch, knobs)
        rows = []
        orders = self._orders(size, source, batch.obs.device)
        step = None
        for epoch in range(self.config.num_epochs):
            if refresh is not None and epoch > 0:
                batch = refresh(batch)
            for index in next(orders).split(minibatch):
                self.poll()
                if parts > 1:
                    rows.append(self.in_pieces(batch, index, knobs, parts))
                else:
                    step = step or settled(self._step, batch, index, knobs)
                    rows.append(keep(step(batch, index, knobs)))
            if self._stopped_on_host():
                break
        for _ in range(self.config.value_epochs):
            for index in next(orders).split(minibatch):
                self.poll()
                if parts > 1:
                    self.in_pieces(batch, index, knobs, parts, value_only=True)
                else:
                    self._value_step(batch, index, knobs)
        return UpdateTable(self.names, torch.stack(rows), self.config.num_minibatches)

    def _orders(self, size: int, source: torch.Generator, device: torch.device) -> Iterator[Tensor]:
        """The sequences in the order of each epoch, drawn on the host and sent without a wait."""
        while True:
            order = torch.randperm(size, generator=source)
            if device.type == "cuda":
                order = order.pin_memory()
            yield order.to(device, non_blocking=True)

    def step(self, batch: Batch, index: Tensor, knobs: Knobs) -> Tensor:
        """One gradient step on the sequences of `index`; its metrics as one vector [M]."""
        gradient = self.gradient if self.fused else self._gradient
        grad, metrics = gradient(self.optimizer.flat.theta, batch.select(index), knobs)
        return self.advance(grad, in_order(metrics), knobs)

    def value_step(self, batch: Batch, index: Tensor, knobs: Knobs) -> None:
        """One gradient step of the critic alone (value error explains most of PPO's gain over
        plain policy gradients: arXiv 2505.19247)."""
        gradient = self.gradient if self.fused else self._gradient
        grad, _ = gradient(self.optimizer.flat.theta, batch.select(index), knobs, True)
        self.advance_value(grad, knobs)

    def advance(self, grad: Tensor, row: Tensor, knobs: Knobs) -> Tensor:
        """Moves the parameters by a gradient [P]; its metrics and what became of it as one row."""
        parallel.mean_(grad)
        kl = parallel.mean_(row[self.names.index("approx_kl")])
        self.running.logical_and_(kl <= self.kl_limit)
        norm, taken = self.optimizer.step(grad, knobs.learning_rate, self.running)
        became = [norm, *taken.to(norm.dtype), *self.running.to(norm.dtype)]
        return torch.cat([row, torch.stack(became)])

    def advance_value(self, grad: Tensor, knobs: Knobs) -> None:
        parallel.mean_(grad)
        go = torch.ones_like(self.running)
        self.optimizer.step(grad, knobs.learning_rate, go, critic_alone=True)

    def in_pieces(
        self, batch: Batch, index: Tensor, knobs: Knobs, parts: int, value_only: bool = False
    ) -> Tensor:
        """What `step` (or `value_step`) does, for a minibatch that the cache cannot hold."""
        theta = self.optimizer.flat.theta
        minibatch, share = self._open(batch, index, parts)
        found = [
            self._piece(theta, piece, knobs, value_only) for piece in pieces.cut(minibatch, parts)
        ]
        grads, rows = (torch.stack(several) for several in zip(*found, strict=True))
        return self._close(grads, rows, share, knobs, value_only)

    def open(self, batch: Batch, index: Tensor, parts: int) -> tuple[Batch, Tensor]:
        """A minibatch as its pieces need it, and the share of each [n]."""
        minibatch = self.objective.whole(batch.select(index))
        return minibatch, pieces.shares(minibatch.valid, parts)

    def piece(
        self, theta: Tensor, piece: Batch, knobs: Knobs, value_only: bool
    ) -> tuple[Tensor, Tensor]:
        """Gradient [P] and metrics [M] of a piece."""
        grad, metrics = self.gradient(theta, piece, knobs, value_only, True)
        return grad, in_order(metrics)

    def close(
        self, grads: Tensor, rows: Tensor, share: Tensor, knobs: Knobs, value_only: bool
    ) -> Tensor:
        """One step by the gradients [n, P] and metrics [n, M] of all pieces."""
        grad = (grads * share.unsqueeze(-1)).sum(0)
        row = pieces.merge(rows, share, [self.objective.is_peak(name) for name in self.metrics])
        if not value_only:
            return self.advance(grad, row, knobs)
        self.advance_value(grad, knobs)
        return row

    def gradient(
        self,
        theta: Tensor,
        minibatch: Batch,
        knobs: Knobs,
        value_only: bool = False,
        piece: bool = False,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Gradient [P] and metrics: by autograd, or as a pure function of `theta`, which compiles
        into one graph."""
        flat, what = self.optimizer.flat, (minibatch, knobs, value_only, piece)
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
        self.metrics = sorted(metrics)
        self.names = [*self.metrics, "grad_norm", "taken", "running"]

    def _stopped_on_host(self) -> bool:
        """Whether to leave early. Only the CPU asks: on a GPU the answer would cost a wait."""
        if not self.stops or self.running.device.type != "cpu":
            return False
        return not bool(self.running)


def in_order(metrics: dict[str, Tensor]) -> Tensor:
    """[M] sorted by name."""
    return torch.stack([metrics[name] for name in sorted(metrics)])

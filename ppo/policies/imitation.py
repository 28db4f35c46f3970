"""Imitation: the actor learns from demonstrations before PPO goes on from it.

`loss = balancer(errors of actions, errors of trajectories)`. The second term lets the actions that
the policy would take at the demonstrated observations act on the environment's own differentiable
dynamics, so it sees what small errors add up to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ppo.algorithm.balancing import norm_of
from ppo.algorithm.build import BALANCER_RATE, build_agent
from ppo.algorithm.eyes import encoder_kind
from ppo.config import Config
from ppo.core.errors import UserError
from ppo.core.layout import Layout
from ppo.core.randomness import generator
from ppo.envs.torch_env import TorchEnvironment
from ppo.functional.moments import masked_moments
from ppo.losses import balancers
from ppo.policies.action_frame import ActionFrame
from ppo.policies.demonstrations import Demonstrations, episodes

LAST_RATE = 0.1  # share of the learning rate at the end
MIN_POLICY_STD = 0.1  # normalized action units, so that PPO has something to explore with


class Segments(NamedTuple):
    """S pieces of episodes of at most H steps."""

    obs: Tensor  # [S, H, D]
    actions: Tensor  # [S, H, A]
    mask: Tensor  # [S, H] float: 1 for steps that are there

    def select(self, index: Tensor) -> Segments:
        return Segments(*(field[index] for field in self))


def cut(demonstrations: Demonstrations, horizon: int) -> list[Segments]:
    """Each episode as segments of `horizon` steps, the last one filled up."""
    found = []
    for steps in episodes(demonstrations):
        obs, actions = demonstrations.obs[steps], demonstrations.actions[steps]
        length = len(obs)
        fill = -length % horizon
        rows = np.arange(length + fill).clip(max=length - 1)
        mask = (np.arange(length + fill) < length).astype(np.float32)
        pieces = (torch.as_tensor(array) for array in (obs[rows], actions[rows], mask))
        found.append(Segments(*(piece.unflatten(0, (-1, horizon)) for piece in pieces)))
    return found


def joined(parts: list[Segments]) -> Segments:
    return Segments(*(torch.cat(fields) for fields in zip(*parts, strict=True)))


class Imitator:
    """Trains an agent's actor on demonstrations.

    Args:
        config: `network`, `balancing` and `imitation` are used.
        demonstrations: read for this environment.
        num_components: reward components, which size the critic that PPO will train.
        dynamics: the environment as pure functions, for errors of trajectories; or None.
        layout: of the environment's rows; None: the demonstrations' observations are numbers.

    Raises:
        UserError: trajectories are asked for where the environment has no dynamics to ask, or
            the network has memory or convolutions, which are not trained here.
    """

    def __init__(
        self,
        config: Config,
        demonstrations: Demonstrations,
        action_space: Any,
        num_components: int,
        dynamics: TorchEnvironment | None,
        layout: Layout | None = None,
    ) -> None:
        self.config, self.settings = config, config.imitation
        self.dynamics = dynamics
        self.uses_trajectories = self.settings.trajectory_weight > 0
        if self.uses_trajectories:
            self._check_dynamics(demonstrations, action_space)
        layout = layout or Layout(int(demonstrations.obs[0].size))
        _check_network(config, layout)
        self.agent, _ = build_agent(config, layout, action_space, num_components)
        obs = torch.as_tensor(demonstrations.obs).flatten(1).float()
        normalizer: Any = self.agent.normalizer
        normalizer.update(obs, torch.ones(len(obs)))
        self.frame = ActionFrame(self.agent.distribution, self._own(demonstrations.actions))
        self.learning, self.validation = self._split(demonstrations)
        self.obs_unit = self._obs_unit(obs)
        names, weights, outputs = ["actions"], [1.0], [self.agent.distribution.num_actions]
        if self.uses_trajectories:
            names.append("trajectory")
            weights.append(self.settings.trajectory_weight)
            # It has no head of its own: both terms reach the encoder through the same actions.
            outputs.append(self.agent.distribution.num_actions)
        self.balancer = balancers.balancer_for(config.balancing, names, weights, outputs)
        self.names = names
        self.records: list[dict[str, Any]] = []
        self.optimizer = torch.optim.Adam(
            [
                {"params": self.parameters(), "factor": 1.0},
                {"params": list(self.balancer.parameters()), "factor": BALANCER_RATE},
            ],
            lr=self.settings.learning_rate,
        )

    def _check_dynamics(self, demonstrations: Demonstrations, action_space: Any) -> None:
        state = None
        if self.dynamics is not None and hasattr(action_space, "low"):
            state = self.dynamics.state_of(torch.as_tensor(demonstrations.obs[:1]))
        if state is None:
            raise UserError(
                f"imitation.trajectory_weight: {self.config.env.id} has no differentiable dynamics "
                "that start from an observation; write 0"
            )

    def _own(self, actions: np.ndarray) -> Tensor:
        """Actions as the distribution counts them, [B, A]."""
        start = getattr(self.agent.distribution, "start", None)
        found: Tensor = torch.as_tensor(actions)
        return found if start is None else found - start

    def _obs_unit(self, obs: Tensor) -> Tensor:
        if self.settings.unit == "raw":
            return torch.ones(obs.shape[1])
        std = obs.std(0, correction=0)
        return torch.where(std > 0, std, torch.ones_like(std))

    def _split(self, demonstrations: Demonstrations) -> tuple[Segments, Segments]:
        horizon = self.settings.trajectory_horizon if self.uses_trajectories else 1
        actions = self._own(demonstrations.actions).numpy()
        parts = cut(demonstrations._replace(actions=actions), horizon)
        source = generator(torch.device("cpu"), self.config.system.seed, "probe")
        order = torch.randperm(len(parts), generator=source).tolist()
        held = int(len(parts) * self.settings.validation_share)
        learned = [parts[i] for i in order[held:]]
        return joined(learned), joined([parts[i] for i in order[:held]] or learned)

    def parameters(self) -> list[nn.Parameter]:
        """Those of the actor, which are all that is trained."""
        agent = self.agent
        encoder = agent.encoder if agent.shared else agent.actor_encoder
        return [*encoder.parameters(), *agent.actor.parameters()]

    # ---- losses

    def losses(self, batch: Segments) -> Tensor:
        """[J] means over the steps that are there."""
        output = self.agent.policy_params(batch.obs.flatten(0, 1).flatten(1))
        mask = batch.mask
        if self.frame.discrete:
            log_prob = self.agent.distribution.log_prob(output, batch.actions.flatten(0, 1))
            return (-(log_prob * mask.flatten()).sum() / mask.sum()).unsqueeze(0)
        actions = self.frame.to_env(output).unflatten(0, mask.shape)
        error = (actions - batch.actions) / self.action_unit()
        losses = [_masked(error.square(), mask)]
        if self.uses_trajectories:
            error = (
                self._unroll(batch, actions) - self._unroll(batch, batch.actions)
            ) / self.obs_unit
            losses.append(_masked(error.square(), mask))
        return torch.stack(losses)

    def action_unit(self) -> Tensor:
        """[A] what errors of actions are counted in."""
        unit = self.frame.deviation
        return unit if self.settings.unit == "deviation" else torch.ones_like(unit)

    def _unroll(self, batch: Segments, actions: Tensor) -> Tensor:
        """Observations [S, H, D] that these actions lead to from the first observation."""
        assert self.dynamics is not None
        state = self.dynamics.state_of(batch.obs[:, 0])
        assert state is not None
        reached = []
        for action in actions.unbind(1):
            state = self.dynamics.dynamics(state, action)
            reached.append(self.dynamics.observe(state))
        return torch.stack(reached, 1)

    @torch.no_grad()
    def target_variances(self) -> Tensor:
        """[J] losses of predicting the means; NaN for choices."""
        if self.frame.discrete:
            return torch.full((1,), torch.nan)
        batch, found = self.learning, []
        weights = batch.mask.flatten()
        columns = [batch.actions / self.action_unit()]
        if self.uses_trajectories:
            columns.append(self._unroll(batch, batch.actions) / self.obs_unit)
        for column in columns:
            _, _, variance = masked_moments(column.flatten(0, 1), weights)
            found.append(variance.mean())
        return torch.stack(found).float()

    # ---- learning

    def train(self, tell: Any = None) -> list[dict[str, Any]]:
        """Every epoch; then the statistics of actions move into the output layer.

        Args:
            tell: called with the record of each epoch.
        """
        variances = self.target_variances()
        for epoch in range(self.settings.epochs):
            record = self.epoch(epoch)
            losses = torch.tensor([record["losses"][name] for name in self.names])
            if not torch.isfinite(losses).all():
                raise UserError(
                    f"imitation: the loss is not finite in epoch {epoch}; "
                    f"try imitation.learning_rate {self.settings.learning_rate / 10:g}"
                )
            self.balancer.observe(losses, variances, float(epoch + 1))
            self.records.append(record)
            if tell is not None:
                tell(record)
        self._finish()
        return self.records

    def epoch(self, number: int) -> dict[str, Any]:
        """One pass over the demonstrations; returns its means."""
        done = number / max(1, self.settings.epochs)
        for group in self.optimizer.param_groups:
            rate = 1.0 - (1.0 - LAST_RATE) * done
            group["lr"] = self.settings.learning_rate * rate * group["factor"]
        rows: list[Tensor] = []
        for index in self._minibatches(number):
            batch = self.learning.select(index)
            if self.balancer.reads_gradients and not rows:
                terms = self.losses(batch).unbind()
                self.balancer.observe_gradients(self.gradient_norms(terms))
            losses = self.losses(batch)
            total, weights = self.balancer(losses)
            self.optimizer.zero_grad()
            total.backward()
            norm = nn.utils.clip_grad_norm_(self.parameters(), self.settings.max_grad_norm)
            self.optimizer.step()
            rows.append(
                torch.cat([losses.detach(), weights.detach() * losses.detach(), norm[None]])
            )
        return self._record(number, torch.stack(rows).mean(0))

    def gradient_norms(self, terms: Any) -> Tensor:
        """[J] of the unweighted losses on the actor's parameters."""
        return torch.stack([norm_of(term, self.parameters()) for term in terms])

    def _minibatches(self, epoch: int) -> Iterator[Tensor]:
        size, horizon = self.learning.mask.shape
        source = generator(torch.device("cpu"), self.config.system.seed, "minibatches", epoch)
        order = torch.randperm(size, generator=source)
        yield from order.split(max(1, self.settings.batch_size // horizon))

    def _record(self, number: int, means: Tensor) -> dict[str, Any]:
        with torch.no_grad():
            held = self.losses(self.validation).tolist()
        losses, weighted = means[:-1].chunk(2)
        total = float(weighted.sum())
        return {
            "epoch": number,
            "losses": dict(zip(self.names, losses.tolist(), strict=True)),
            "validation": dict(zip(self.names, held, strict=True)),
            "weights": dict(zip(self.names, (weighted / losses).tolist(), strict=True)),
            "shares": {
                name: value / total if total else None
                for name, value in zip(self.names, weighted.tolist(), strict=True)
            },
            "grad_norm": float(means[-1]),
            "grad_clip_factor": float(means[-1]) / self.settings.max_grad_norm,
        }

    @torch.no_grad()
    def _finish(self) -> None:
        self.frame.fold(self.agent.actor)
        if self.frame.discrete:
            return
        batch, distribution = self.validation, self.agent.distribution
        params = self.agent.policy_params(batch.obs.flatten(0, 1).flatten(1))
        error = distribution.mode(params) - self.frame.inner(batch.actions.flatten(0, 1))
        size = (error.square() * batch.mask.reshape(-1, 1)).sum(0) / batch.mask.sum()
        distribution.log_std.copy_(size.sqrt().clamp(min=MIN_POLICY_STD).log())


def _check_network(config: Config, layout: Layout) -> None:
    if config.network.memory != "none":
        raise UserError(
            f"network.memory: {config.network.memory}: imitation learns from single steps, so it "
            "trains no memory; write none"
        )
    kind = encoder_kind(config.network, layout)
    if kind != "mlp" or layout.is_packed:
        raise UserError(
            f"network.encoder: {kind}: imitation learns from numbers only, and these observations "
            "hold images"
        )


def _masked(errors: Tensor, mask: Tensor) -> Tensor:
    """Mean over steps that are there and entries, of [S, H, E] with mask [S, H]."""
    return (errors * mask.unsqueeze(-1)).sum() / (mask.sum() * errors.shape[-1])

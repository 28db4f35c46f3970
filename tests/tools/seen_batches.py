"""What is seen of the batches of a run from outside, as numpy: for numbers computed anew.

`Walk` and `cut_env:Cut-v0` have between them every kind of row, of end and of success.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from learner_tools import learner
from torch import Tensor
from value_tools import make_learner

from ppo.envs.torch_env import TorchEnvironment

POISONED = (1, 1)  # batch and gradient step whose gradient is made NaN
GAMMAS, WEIGHTS = np.array([0.9, 0.5]), np.array([1.0, 2.0])


class Walk(TorchEnvironment):
    """A point on a line that pays for its place and, a thousand times less, for effort.

    It ends beyond 1 or after 9 steps; left of the middle it does not say whether it succeeded.
    """

    component_names = ("place", "effort")
    max_episode_steps = 9
    num_uniforms = 2
    observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float32)
    action_space = spaces.Box(np.float32([-1, -np.inf]), np.float32([1, np.inf]))

    def initial(self, uniforms: Tensor) -> Tensor:
        return uniforms * 2 - 1

    def dynamics(self, state: Tensor, actions: Tensor) -> Tensor:
        position, drift = state.unbind(1)
        return torch.stack((position + 0.2 * drift + 0.1 * actions.sum(1), drift), 1)

    def observe(self, state: Tensor) -> Tensor:
        position, drift = state.unbind(1)
        return torch.stack(
            (position, 30 * drift, 7.0 * (position.abs() < 0.02), torch.ones_like(drift)), 1
        )

    def rewards(self, state: Tensor, actions: Tensor, next_state: Tensor, ends: Tensor) -> Tensor:
        place = (next_state[:, 0] * 4).round() + 30 * ends * (state[:, 1] > 0.9)
        return torch.stack((place, -1e-3 * (actions.square().sum(1) - 1).relu()), 1)

    def terminal(self, next_state: Tensor) -> Tensor:
        return next_state[:, 0] > 1

    def success(self, next_state: Tensor) -> Tensor:
        place = next_state[:, 0]
        return torch.where(place < 0, torch.nan, (place > 0.5).float())


def walk() -> Any:
    made = make_learner(
        "ppo.component_gammas={effort: 0.5}", "ppo.component_weights={effort: 2.0}",
        "ppo.gamma=0.9", "ppo.gae_lambda=0.8", "env.reward_scale=2.0", "ppo.noise=pink",
        "ppo.learning_rate=0.02", "ppo.learning_rate_schedule=linear",
        "train.total_timesteps=2400", "ppo.return_horizon=2.0", "ppo.clip_epsilon=0.1",
        "ppo.entropy_coefficient=0.01", "ppo.max_grad_norm=0.7", "ppo.value_clip_epsilon=0.05",
        "ppo.value_loss_weight=0.3", "ppo.return_scale=4.0", "env.observation_clip=20.0",
        "env.calibration_steps=1",
        env=Walk(),
    )  # fmt: skip
    with torch.no_grad():
        made.objective.agent.encoder[-2].bias[0] = 30.0  # a unit that is always 1
    return made


def cut() -> Any:
    """Discrete actions, one reward, and rows that are no steps."""
    return learner(
        "cut_env:Cut-v0", env__on_error="restart", ppo__num_steps=20, ppo__num_epochs=2,
        ppo__learning_rate=0.05, ppo__gamma=0.9, ppo__gae_lambda=0.8, ppo__clip_epsilon=0.1,
        ppo__entropy_coefficient=0.01, ppo__max_grad_norm=0.1, ppo__value_clip_epsilon=0.05,
        train__total_timesteps=800,
    )  # fmt: skip


def plain(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy().astype(np.float64)


class Seen:
    """One batch, and what is left of those before it."""

    def __init__(self, run: Any, before: Seen | None) -> None:
        self.run, self.before, self.number = run, before, run.counters["batch"]
        self.agent, self.ppo = run.objective.agent, run.config.ppo
        self.steps: list[dict[str, Any]] = []
        self.inputs_of = plain(self.agent.normalizer.mean), plain(self.agent.normalizer.inverse_std)

    def predict(self, batch: Any) -> dict[str, np.ndarray]:
        with torch.no_grad():
            found = self.run.objective.predict(batch)
        more = {} if self.discrete else {"log_std": plain(self.agent.distribution.log_std)}
        fields = ("policy", "values_norm", "features")
        return {name: plain(getattr(found, name)) for name in fields} | more

    @property
    def discrete(self) -> bool:
        return bool(self.agent.distribution.discrete)

    def play(self) -> dict[str, Any]:
        """The record of the batch."""
        run, update = self.run, self.run.update
        collect, step, gradient = run._collect, update._step, update._gradient
        examine = run.examine._examine

        def collected(attempt: int) -> Any:
            rollout, episodes = collect(attempt)
            for name in ("obs", "actions", "log_probs", "values", "next_values", "rewards",
                         "success"):  # fmt: skip
                setattr(self, name, plain(getattr(rollout, name)))
            for name in ("terminated", "truncated", "valid"):
                setattr(self, name, getattr(rollout, name).numpy().copy())
            self.targets()
            return rollout, episodes

        def stepped(batch: Any, index: Tensor, knobs: Any) -> Tensor:
            if not self.steps:
                self.gradients(batch)
            self.steps.append({"rows": index.numpy(), **self.predict(batch)})
            return step(batch, index, knobs)

        def graded(*given: Any) -> Any:
            grad, metrics = gradient(*given)
            if (self.number, len(self.steps) - 1) == POISONED:
                grad = grad * math.nan
            self.steps[-1]["norm"] = float(plain(grad @ grad)) ** 0.5
            return grad, metrics

        def examined(batch: Any, *given: Any) -> Any:
            self.after = self.predict(batch)
            return examine(batch, *given)

        run._collect, update._step, update._gradient = collected, stepped, graded
        run.examine._examine, started = examined, time.perf_counter()
        self.record = run.step()
        self.elapsed = time.perf_counter() - started
        run._collect, update._step, update._gradient = collect, step, gradient
        run.examine._examine = examine
        flat = torch.from_numpy(self.obs).float().flatten(0, 1)
        with torch.no_grad():
            self.last_features = plain(self.agent.encoder(self.agent.normalizer(flat), flat))
        return self.record

    def targets(self) -> None:
        """Returns by a loop, the critic's frame, and one advantage."""
        count = self.rewards.shape[2]
        gammas, weights = (GAMMAS, WEIGHTS) if count > 1 else (np.array([0.9]), np.ones(1))
        sums, advantages = np.zeros_like(self.values[0]), np.zeros_like(self.values)
        self.ended = self.terminated | self.truncated
        for t in reversed(range(len(self.rewards))):
            alive, on = ~self.terminated[t][:, None], ~self.ended[t][:, None]
            delta = self.rewards[t] + gammas * alive * self.next_values[t] - self.values[t]
            sums = (delta + 0.8 * gammas * on * sums) * self.valid[t][:, None]
            advantages[t] = sums
        self.gamma, self.real = gammas.max(), self.valid.ravel()
        self.returns = (advantages + self.values).reshape(-1, count)
        self.old = self.values.reshape(-1, count)
        flat, real = advantages.reshape(-1, count), self.real
        if count > 1:
            flat = standard(flat, real)
        self.advantages = (flat * weights).sum(-1)
        mean, variance = self.returns[real].mean(0), self.returns[real].var(0)
        self.batch_mean, self.center = mean, mean
        if self.before:
            share = 1 / min(self.number + 1, self.ppo.return_horizon)
            old, delta = self.before, mean - self.before.center
            self.center = old.center + share * delta
            variance = (
                (1 - share) * old.variance + share * variance + share * (1 - share) * delta**2
            )
            self.clip_center = self.old
        else:  # nothing was predicted yet
            self.clip_center = np.broadcast_to(mean, self.old.shape)
        self.variance = variance
        largest = np.abs(self.returns[real]).max(0)
        self.std = np.maximum(variance**0.5, 1e-3 * np.maximum(np.abs(self.center), largest))
        self.size = self.std / self.ppo.return_scale
        self.goals = (self.returns - self.center) / self.size

    def gradients(self, batch: Any) -> None:
        """Norms of the two losses' gradients on the encoder, by autograd, before the update."""
        found = self.run.objective.predict(batch)
        real, shared = batch.valid, list(self.agent.encoder.parameters())
        distribution = self.agent.distribution
        log_prob = distribution.log_prob(found.policy, batch.actions)
        advantages = torch.from_numpy(standard(self.advantages[:, None], self.real)[:, 0])
        gain = (log_prob - log_prob.detach()).exp() * advantages
        gain = gain + self.ppo.entropy_coefficient * distribution.entropy(found.policy)
        error = (found.values_norm - torch.from_numpy(self.goals)) / self.ppo.return_scale
        losses = -(gain * real).sum(), self.weight * (error.square().sum(-1) * real).sum()
        self.norms = []
        for loss in losses:
            parts = torch.autograd.grad(loss / real.sum(), shared, retain_graph=True)
            self.norms.append(float(torch.cat([part.ravel() for part in parts]).norm()))

    @property
    def weight(self) -> float:
        return float(self.ppo.value_loss_weight)

    def log_prob(self, made: dict[str, Any]) -> np.ndarray:
        actions, params = self.actions.reshape(len(self.real), -1), made["policy"]
        if self.discrete:
            chosen = np.take_along_axis(params, actions.astype(int), 1)[:, 0]
            return chosen - np.log(np.exp(params).sum(1))
        scaled = (actions - params) / np.exp(made["log_std"])
        return (-0.5 * scaled**2 - made["log_std"] - 0.5 * math.log(2 * math.pi)).sum(1)

    def mean(self, each: Callable[[dict[str, Any], np.ndarray], Any], of: Any = None) -> float:
        """Over the gradient steps that were taken, of what `each` gives of the rows that count."""
        taken = [made for made in self.steps if np.isfinite(made["norm"])]
        rows = [made["rows"][self.real[made["rows"]]] for made in of or taken]
        return float(np.mean([each(m, r) for m, r in zip(of or taken, rows, strict=True)]))

    def ratio(self, made: dict[str, Any], rows: np.ndarray) -> np.ndarray:
        return np.exp(self.log_prob(made) - self.log_probs.ravel())[rows]

    def value_losses(self, made: dict[str, Any], rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each sample and component, and whether the clip stops it."""
        scale = self.ppo.return_scale
        value, goal = made["values_norm"][rows], self.goals[rows]
        old = ((self.clip_center - self.center) / self.size)[rows]
        floor = np.maximum(np.abs(self.clip_center), self.std)[rows]
        width = self.ppo.value_clip_epsilon * floor / self.size
        moved = old + np.clip(value - old, -width, width)
        free, held = ((value - goal) / scale) ** 2, ((moved - goal) / scale) ** 2
        return np.maximum(free, held), (np.abs(value - old) > width) & (held > free)

    def episodes(self) -> list[tuple[float, int, int, int]]:
        """Return, length, row and environment of those that end here; cut ones do not."""
        envs = self.rewards.shape[1]
        self.open = [list(x) for x in self.before.open] if self.before else [[0.0, 0]] * envs
        found = []
        for t, n in np.ndindex(self.valid.shape):
            if self.valid[t, n]:
                total, length = self.open[n]
                paid = self.rewards[t, n].sum() / self.run.config.env.reward_scale
                self.open[n] = [total + paid, length + 1]
                if self.ended[t, n]:
                    found.append((*self.open[n], t, n))
            if self.ended[t, n]:
                self.open[n] = [0.0, 0]
        return found


def standard(columns: np.ndarray, real: np.ndarray) -> np.ndarray:
    return (columns - columns[real].mean(0)) / columns[real].std(0) * real[:, None]


def explained(returns: np.ndarray, values: np.ndarray) -> float:
    return float(1 - (returns - values).var() / returns.var())

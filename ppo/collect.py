"""Agent + environments -> Rollout, into buffers made once.

A step asks the network for the policy alone. Log-probabilities and values of the whole rollout
follow in one pass each: the same numbers, without T small forward passes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ppo import parallel
from ppo.agent import Agent
from ppo.data import Rollout, Step
from ppo.envs.base import Environments
from ppo.functional.returns import episode_sums
from ppo.randomness import generator


class Episodes(NamedTuple):
    """Of every step of a rollout, the episode so far; meaningful where `finished`."""

    finished: Tensor  # [T, N] bool
    returns: Tensor  # [T, N, K] unscaled
    lengths: Tensor  # [T, N]


class Collector:
    """Plays the policy in the environments and keeps what continues from batch to batch.

    Args:
        agent: its observation normalizer stands still during a rollout.
        value_scale: brings the critic's output into reward units.
        reward_scale: multiplies rewards; episode returns are reported without it.
        compiled: compile the policy step.
    """

    def __init__(
        self,
        agent: Agent,
        value_scale: torch.nn.Module,
        envs: Environments,
        num_steps: int,
        reward_scale: float,
        run_seed: int,
        device: torch.device,
        compiled: bool = False,
    ) -> None:
        self.agent, self.value_scale, self.envs = agent, value_scale, envs
        self.num_steps, self.reward_scale = num_steps, reward_scale
        self.run_seed, self.device = run_seed, device
        self._act = torch.compile(self.act) if compiled else self.act
        n, k = envs.num_envs, len(envs.component_names)
        self.sums = torch.zeros(n, k, device=device)
        self.lengths = torch.zeros(n, 1, device=device)
        self.current: Tensor | None = None
        self._buffers: dict[str, Tensor] = {}

    def reset(self) -> None:
        """Start episode 0 of every environment."""
        self.current = self.envs.reset().to(self.device)
        self.sums.zero_()
        self.lengths.zero_()

    def act(self, obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Policy parameters [N, P], actions [N, A], and the environment's actions."""
        params = self.agent.policy_params(obs)
        actions = self.agent.distribution.sample(params, noise)
        return params, actions, self.agent.distribution.to_env(actions)

    def noise(self, *counters: int, purpose: str = "actions") -> Tensor:
        """Noise of one rollout [T, N, P], from a counted generator."""
        distribution = self.agent.distribution
        shape = (self.num_steps, self.envs.num_envs, distribution.num_noise)
        source = generator(self.device, self.run_seed, purpose, *counters, parallel.rank())
        draw = torch.randn if distribution.normal_noise else torch.rand
        return draw(shape, generator=source, device=self.device)

    @torch.no_grad()
    def __call__(self, batch_number: int, attempt: int = 0) -> tuple[Rollout, Episodes]:
        """One rollout of T steps."""
        buffers, truncated_obs = self._play(self.noise(batch_number, attempt))
        return self._finish(buffers, truncated_obs)

    @torch.no_grad()
    def calibrate(self, num_steps: int) -> Tensor:
        """Raw observations [B, D] of a short rollout that is forgotten: only statistics remain."""
        self.reset()
        num_chunks = -(-num_steps // self.num_steps)
        seen = []
        for chunk in range(num_chunks):
            buffers, _ = self._play(self.noise(chunk, purpose="calibration"))
            seen.append(buffers["obs"][: num_steps - chunk * self.num_steps].flatten(0, 1).clone())
            self.current = buffers["obs"][-1]
        self.reset()
        return torch.cat(seen)

    def _play(self, noise: Tensor) -> tuple[dict[str, Tensor], list[tuple[int, Tensor, Tensor]]]:
        obs = self.current
        assert obs is not None, "reset() comes first"
        truncated_obs = []
        for t in range(self.num_steps):
            params, actions, env_actions = self._act(obs, noise[t])
            step = self.envs.step(env_actions)
            buffers = self._buffers or self._allocate(obs, params, actions)
            if t == 0:
                buffers["obs"][0].copy_(obs)
            self._store(buffers, t, params, actions, step)
            cut = step.truncated & step.valid
            if cut.device.type != "cpu":
                truncated_obs.append((t, cut, step.final_obs))
            elif cut.any():
                index = cut.nonzero().squeeze(-1)
                truncated_obs.append((t, index, step.final_obs[index]))
            obs = buffers["obs"][t + 1]
        return buffers, truncated_obs

    def _store(
        self, buffers: dict[str, Tensor], t: int, params: Tensor, actions: Tensor, step: Step
    ) -> None:
        buffers["obs"][t + 1].copy_(step.obs, non_blocking=True)
        buffers["params"][t].copy_(params)
        buffers["actions"][t].copy_(actions)
        buffers["rewards"][t].copy_(step.rewards, non_blocking=True)
        buffers["terminated"][t].copy_(step.terminated, non_blocking=True)
        buffers["truncated"][t].copy_(step.truncated, non_blocking=True)
        buffers["success"][t].copy_(step.success, non_blocking=True)
        buffers["valid"][t].copy_(step.valid, non_blocking=True)

    def _allocate(self, obs: Tensor, params: Tensor, actions: Tensor) -> dict[str, Tensor]:
        t, n = self.num_steps, self.envs.num_envs
        k = len(self.envs.component_names)

        def empty(
            *shape: int, like: Tensor | None = None, dtype: torch.dtype | None = None
        ) -> Tensor:
            kind = like.dtype if like is not None else dtype
            return torch.empty(shape, dtype=kind, device=self.device)

        self._buffers = {
            "obs": empty(t + 1, *obs.shape, like=obs),
            "params": empty(t, *params.shape, like=params),
            "actions": empty(t, *actions.shape, like=actions),
            "rewards": empty(t, n, k, dtype=torch.float32),
            "terminated": empty(t, n, dtype=torch.bool),
            "truncated": empty(t, n, dtype=torch.bool),
            "success": empty(t, n, dtype=torch.float32),
            "valid": empty(t, n, dtype=torch.bool),
        }
        return self._buffers

    def _finish(
        self, buffers: dict[str, Tensor], truncated_obs: list[tuple[int, Tensor, Tensor]]
    ) -> tuple[Rollout, Episodes]:
        obs, rewards = buffers["obs"], buffers["rewards"]
        self.current = obs[-1].clone()
        flat_params, flat_actions = (
            buffers["params"].flatten(0, 1),
            buffers["actions"].flatten(0, 1),
        )
        log_probs = self.agent.distribution.log_prob(flat_params, flat_actions)
        values = self._values(obs.flatten(0, 1)).unflatten(0, obs.shape[:2])
        next_values = values[1:].clone()
        self._bootstrap_truncated(next_values, truncated_obs)
        rollout = Rollout(
            obs=obs[:-1],
            actions=buffers["actions"],
            log_probs=log_probs.unflatten(0, rewards.shape[:2]),
            values=values[:-1],
            next_values=next_values,
            rewards=rewards * self.reward_scale,
            terminated=buffers["terminated"],
            truncated=buffers["truncated"],
            success=buffers["success"],
            valid=buffers["valid"],
        )
        return rollout, self._episodes(rollout, rewards)

    def _values(self, obs: Tensor) -> Tensor:
        """Values in reward units, [B, K]."""
        return self.value_scale.from_norm(self.agent.values_norm(obs))

    def _bootstrap_truncated(
        self, next_values: Tensor, truncated_obs: list[tuple[int, Tensor, Tensor]]
    ) -> None:
        """Where a time limit cut the episode, the next value is that of the state reached."""
        if not truncated_obs:
            return
        reached = self._values(torch.cat([obs for _, _, obs in truncated_obs]).to(self.device))
        parts = reached.split([obs.shape[0] for _, _, obs in truncated_obs])
        for (t, index, _), part in zip(truncated_obs, parts, strict=True):
            if index.dtype == torch.bool:
                next_values[t] = torch.where(index.unsqueeze(-1), part, next_values[t])
            else:
                next_values[t, index.to(self.device)] = part

    def _episodes(self, rollout: Rollout, rewards: Tensor) -> Episodes:
        ended = rollout.ended
        returns, self.sums = episode_sums(rewards, ended, self.sums)
        steps = rollout.valid.to(rewards.dtype).unsqueeze(-1)
        lengths, self.lengths = episode_sums(steps, ended, self.lengths)
        return Episodes(ended & rollout.valid, returns, lengths.squeeze(-1))

    def state_dict(self) -> dict[str, Tensor]:
        assert self.current is not None
        return {
            "sums": self.sums,
            "lengths": self.lengths,
            "obs": self.current,
            **{f"envs.{name}": value for name, value in self.envs.state_dict().items()},
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.sums.copy_(state["sums"])
        self.lengths.copy_(state["lengths"])
        saved = {name[5:]: value for name, value in state.items() if name.startswith("envs.")}
        obs = self.envs.load_state_dict(saved).to(self.device)
        self.current = state["obs"].to(self.device) if obs.shape != state["obs"].shape else obs

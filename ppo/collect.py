"""Agent + environments -> Rollout, into buffers made once.

A step asks the network for the policy alone. Log-probabilities and values of the whole rollout
follow in one pass each: the same numbers, without T small forward passes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ppo import parallel
from ppo.agent import Agent
from ppo.data import Rollout, Step
from ppo.envs.base import Environments
from ppo.envs.torch_env import TorchEnvironments
from ppo.functional.returns import episode_sums
from ppo.randomness import generator


Act = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


class Episodes(NamedTuple):
    """Of every step of a rollout, the episode so far; meaningful where `finished`."""

    finished: Tensor  # [T, N] bool
    returns: Tensor  # [T, N, K] unscaled
    lengths: Tensor  # [T, N]


class Played(NamedTuple):
    """What a rollout leaves behind, in buffers that the next rollout overwrites."""

    obs: Tensor  # [T + 1, N, ...]
    params: Tensor  # [T, N, P]
    actions: Tensor  # [T, N, A]
    rewards: Tensor  # [T, N, K]
    terminated: Tensor  # [T, N]
    truncated: Tensor  # [T, N]
    success: Tensor  # [T, N]
    valid: Tensor  # [T, N]
    cut: tuple[Tensor, Tensor, Tensor] | None  # steps [C], environments [C], obs reached [C, ...]


class HostPlayer:
    """Steps environments of the host one by one.

    Args:
        act: observations and noise -> policy parameters, actions, the environment's actions.
    """

    def __init__(self, act: Act, envs: Environments, device: torch.device) -> None:
        self.act, self.envs, self.device = act, envs, device
        self.buffers: dict[str, Tensor] = {}

    def play(self, obs: Tensor, noise: Tensor) -> Played:
        """As many steps as `noise` [T, N, P] has rows."""
        cut: list[tuple[Tensor, Tensor, Tensor]] = []
        for t in range(noise.shape[0]):
            params, actions, env_actions = self.act(obs, noise[t])
            step = self.envs.step(env_actions)
            if not self.buffers:
                self.buffers = self._allocate(noise.shape[0], obs, params, actions)
            if t == 0:
                self.buffers["obs"][0].copy_(obs)
            self._store(t, params, actions, step)
            stopped = step.truncated & step.valid
            if stopped.any():  # on the host: no device is asked
                where = stopped.nonzero().squeeze(-1)
                cut.append((torch.full_like(where, t), where, step.final_obs[where]))
            obs = self.buffers["obs"][t + 1]
        steps, envs, reached = (
            (torch.cat(parts).to(self.device) for parts in zip(*cut, strict=True))
            if cut
            else (None, None, None)
        )
        ends = None if steps is None else (steps, envs, reached)
        return Played(**self.buffers, cut=ends)

    def _store(self, t: int, params: Tensor, actions: Tensor, step: Step) -> None:
        rows = {"params": params, "actions": actions}
        for name in ("rewards", "terminated", "truncated", "success", "valid"):
            rows[name] = getattr(step, name)
        self.buffers["obs"][t + 1].copy_(step.obs, non_blocking=True)
        for name, row in rows.items():
            self.buffers[name][t].copy_(row, non_blocking=True)

    def _allocate(
        self, num_steps: int, obs: Tensor, params: Tensor, actions: Tensor
    ) -> dict[str, Tensor]:
        t, n, k = num_steps, self.envs.num_envs, len(self.envs.component_names)

        def empty(like: Tensor, first: int) -> Tensor:
            return torch.empty(first, *like.shape, dtype=like.dtype, device=self.device)

        flags = torch.empty(n, dtype=torch.bool)
        return {
            "obs": empty(obs, t + 1),
            "params": empty(params, t),
            "actions": empty(actions, t),
            "rewards": empty(torch.empty(n, k), t),
            "terminated": empty(flags, t),
            "truncated": empty(flags, t),
            "success": empty(torch.empty(n), t),
            "valid": empty(flags, t),
        }


class NativePlayer:
    """Steps environments that are pure functions on the device, several steps in one graph."""

    CHUNK = 16  # steps unrolled into one compiled graph

    def __init__(self, act: Act, envs: TorchEnvironments) -> None:
        self.act, self.envs = act, envs
        self._chunk = torch.compile(self.chunk)

    def play(self, obs: Tensor, noise: Tensor) -> Played:
        """As many steps as `noise` [T, N, P] has rows."""
        num_steps = noise.shape[0]
        size = max(c for c in range(1, self.CHUNK + 1) if num_steps % c == 0)
        first, parts = obs, []
        for rows in noise.split(size):
            flags = tuple(self.envs.may_end(ahead) for ahead in range(size))
            carry, obs, part = self._chunk(self.envs.carry, obs, rows, flags)
            self.envs.adopt(carry, size)
            parts.append(part)
        joined = [torch.cat(columns) for columns in zip(*parts, strict=True)]
        params, actions, next_obs, rewards, terminated, truncated, success, final_obs = joined
        return Played(
            torch.cat([first.unsqueeze(0), next_obs]),
            params,
            actions,
            rewards,
            terminated,
            truncated,
            success,
            torch.ones_like(terminated),
            self._cut(truncated, final_obs),
        )

    def chunk(
        self, carry: Any, obs: Tensor, noise: Tensor, may_end: tuple[bool, ...]
    ) -> tuple[Any, Tensor, list[Tensor]]:
        """Several steps as one pure function; columns are stacked over steps.

        Args:
            may_end: for each step, False where it is known that no episode ends in it.
        """
        envs, rows = self.envs, []
        for step_noise, flag in zip(noise.unbind(0), may_end, strict=True):
            params, actions, env_actions = self.act(obs, step_noise)
            carry, step = envs.advance(carry, env_actions, flag)
            obs = step.obs
            rows.append(
                (
                    params,
                    actions,
                    obs,
                    step.rewards,
                    step.terminated,
                    step.truncated,
                    step.success,
                    step.final_obs,
                )
            )
        return carry, obs, [torch.stack(column) for column in zip(*rows, strict=True)]

    def _cut(self, truncated: Tensor, final_obs: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
        if not self.envs.truncates:
            return None
        if truncated.device.type == "cpu":
            steps, envs = truncated.nonzero(as_tuple=True)
            return (steps, envs, final_obs[steps, envs]) if steps.numel() else None
        # A GPU is not asked how many there are: every state reached is evaluated.
        num_steps, num_envs = truncated.shape
        steps = torch.arange(num_steps, device=truncated.device).repeat_interleave(num_envs)
        envs = torch.arange(num_envs, device=truncated.device).repeat(num_steps)
        return steps, envs, final_obs.flatten(0, 1)


class Collector:
    """Plays the policy in the environments and keeps what continues from batch to batch.

    Args:
        agent: its observation normalizer stands still during a rollout.
        value_scale: brings the critic's output into reward units.
        reward_scale: multiplies rewards; episode returns are reported without it.
        compiled: compile the policy step, together with environments that live on the device.
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
        self.player: HostPlayer | NativePlayer
        on_device = isinstance(envs, TorchEnvironments)
        if on_device and (compiled or device.type != "cpu"):
            self.player = NativePlayer(self.act, envs)
        else:
            act = torch.compile(self.act) if compiled else self.act
            self.player = HostPlayer(act, envs, device)
        n, k = envs.num_envs, len(envs.component_names)
        self.sums = torch.zeros(n, k, device=device)
        self.lengths = torch.zeros(n, 1, device=device)
        self.current: Tensor | None = None

    def reset(self) -> None:
        """Start episode 0 of every environment."""
        self.current = self.envs.reset().to(self.device)
        self.sums.zero_()
        self.lengths.zero_()

    def restart_episodes(self) -> None:
        """Begin new episodes everywhere, for environments whose state cannot be saved."""
        self.reset()

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
        assert self.current is not None, "reset() comes first"
        played = self.player.play(self.current, self.noise(batch_number, attempt))
        self.current = played.obs[-1].clone()
        rollout = self._rollout(played)
        return rollout, self._episodes(rollout, played.rewards)

    @torch.no_grad()
    def calibrate(self, num_steps: int) -> Tensor:
        """Raw observations [B, D] of a short rollout that is forgotten: only statistics remain."""
        self.reset()
        seen = []
        for chunk in range(-(-num_steps // self.num_steps)):
            assert self.current is not None
            played = self.player.play(self.current, self.noise(chunk, purpose="calibration"))
            keep = min(self.num_steps, num_steps - chunk * self.num_steps)
            seen.append(played.obs[:keep].flatten(0, 1).clone())
            self.current = played.obs[-1].clone()
        self.reset()
        return torch.cat(seen)

    def _rollout(self, played: Played) -> Rollout:
        shape = played.rewards.shape[:2]
        log_probs = self.agent.distribution.log_prob(
            played.params.flatten(0, 1), played.actions.flatten(0, 1)
        )
        values = self._values(played.obs.flatten(0, 1)).unflatten(0, played.obs.shape[:2])
        next_values = values[1:].clone()
        if played.cut is not None:
            steps, envs, reached = played.cut
            at_limit = played.truncated[steps, envs].unsqueeze(-1)
            found = self._values(reached)
            # Where a time limit cut the episode, the next value is that of the state reached.
            next_values[steps, envs] = torch.where(at_limit, found, next_values[steps, envs])
        return Rollout(
            obs=played.obs[:-1],
            actions=played.actions,
            log_probs=log_probs.unflatten(0, shape),
            values=values[:-1],
            next_values=next_values,
            rewards=played.rewards * self.reward_scale,
            terminated=played.terminated,
            truncated=played.truncated,
            success=played.success,
            valid=played.valid,
        )

    def _values(self, obs: Tensor) -> Tensor:
        """Values in reward units, [B, K]."""
        return self.value_scale.from_norm(self.agent.values_norm(obs))

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

"""Stepping environments with a policy: on the host step by step, or on the device in one graph.

A step asks the network for the policy alone; what else a rollout needs follows in `collect.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ppo.core import torch_internals
from ppo.core.arguments import settled
from ppo.core.capturing import captured
from ppo.core.compiling import compiled, keep
from ppo.core.data import Cut, Step
from ppo.core.signals import Grace
from ppo.envs.base import Environments
from ppo.envs.torch_env import Carry, TorchEnvironments, advance
from ppo.networks.agent import Agent

Act = Callable[..., tuple[Tensor, ...]]
# What a step holds that ends no episode.
NOTHING = {"terminated": False, "truncated": False, "success": torch.nan, "valid": True}
States = tuple[Tensor, ...]  # [N, S] what the agent remembers; empty without memory


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
    cut: Cut | None
    states: States = ()  # [T + 1, N, S] before each step, zero where it begins an episode


class HostPlayer:
    """Steps environments of the host one by one.

    Args:
        act: observations, noise and states -> policy parameters, actions, the environment's
            actions, and the states after.
        ready: makes the noise of a rollout what `act` takes.
    """

    def __init__(
        self,
        act: Act,
        envs: Environments,
        device: torch.device,
        ready: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.act, self.envs, self.device = act, envs, device
        self.ready = ready or (lambda noise: noise)
        self.poll = Grace()
        self.buffers: dict[str, Tensor] = {}
        self._places: list[tuple[Tensor, ...]] = []

    def play(self, obs: Tensor, noise: Tensor, states: States = ()) -> Played:
        """As many steps as `noise` [T, N, P] has rows."""
        self._begin()
        self._forget_events()
        act = self.act
        for t, row in enumerate(self.ready(noise).unbind(0)):
            self.poll()
            if t == 1:  # from here on observations and states come from the buffers
                act = settled(self.act, obs, row, *states)
            params, actions, env_actions, *after = act(obs, row, *states)
            step = self.envs.step(env_actions)
            if not self.buffers:
                self.buffers = self._allocate(noise.shape[0], obs, params, actions, states)
                self._places = self._views(noise.shape[0])
                self._forget_events()
            if t == 0:
                self.buffers["obs"][0].copy_(obs)
                for first in states:
                    self.buffers["states"][0].copy_(first)
            self._store(t, params, actions, step)
            states = self._remember(t, after, step)
            if not step.uneventful:
                self._look(t, step)
            obs = self._places[t][0]
        return self._played(self._cut())

    def _begin(self) -> None:
        self._stopped: list[Cut] = []

    def _look(self, t: int, step: Step) -> None:
        """Keeps the states that a time limit cut off."""
        stopped = step.truncated & step.valid
        if stopped.any():  # on the host: no wait for a device
            where = stopped.nonzero().squeeze(-1)
            self._stopped.append((torch.full_like(where, t), where, step.final_obs[where]))

    def _cut(self) -> Cut | None:
        if not self._stopped:
            return None
        steps, envs, reached = (
            torch.cat(parts).to(self.device) for parts in zip(*self._stopped, strict=True)
        )
        return steps, envs, reached

    def _played(self, cut: Cut | None) -> Played:
        rows = dict(self.buffers)
        states = (rows.pop("states"),) if "states" in rows else ()
        return Played(**rows, cut=cut, states=states)

    def _remember(self, t: int, after: list[Tensor], step: Step) -> States:
        """The states of the next step, in the buffer."""
        for state in after:
            fresh = step.begins_anew.to(self.device)
            self.buffers["states"][t + 1].copy_(forget(state, fresh))
        return tuple(self.buffers["states"][t + 1] for _ in after)

    def _store(self, t: int, params: Tensor, actions: Tensor, step: Step) -> None:
        found: tuple[Tensor, ...] = (step.obs, params, actions, step.rewards)
        if not step.uneventful:
            found += (step.terminated, step.truncated, step.success, step.valid)
        for place, row in zip(self._places[t], found, strict=False):
            place.copy_(row, non_blocking=True)

    def _forget_events(self) -> None:
        """Every row is as after a step in which nothing ended, which is then not stored."""
        for name, value in NOTHING.items():
            if name in self.buffers:
                self.buffers[name].fill_(value)

    def _views(self, num_steps: int) -> list[tuple[Tensor, ...]]:
        """Where each step goes; the observation it leads to is that of the next."""
        names = ("params", "actions", "rewards", "terminated", "truncated", "success", "valid")
        return [
            (self.buffers["obs"][t + 1], *(self.buffers[name][t] for name in names))
            for t in range(num_steps)
        ]

    def _allocate(
        self, num_steps: int, obs: Tensor, params: Tensor, actions: Tensor, states: States
    ) -> dict[str, Tensor]:
        t, n, k = num_steps, self.envs.num_envs, len(self.envs.component_names)

        def empty(like: Tensor, first: int) -> Tensor:
            return torch.empty(first, *like.shape, dtype=like.dtype, device=self.device)

        flags = torch.empty(n, dtype=torch.bool)
        rows = {"params": params, "actions": actions, "rewards": torch.empty(n, k)}
        rows |= {"terminated": flags, "truncated": flags, "success": torch.empty(n), "valid": flags}
        found = {name: empty(like, t) for name, like in rows.items()} | {"obs": empty(obs, t + 1)}
        return found | ({"states": empty(states[0], t + 1)} if states else {})


class DevicePlayer(HostPlayer):
    """Steps environments whose tensors live on a device, whose numbers the host never waits for."""

    def _begin(self) -> None:
        self._reached: list[Tensor] = []

    def _look(self, t: int, step: Step) -> None:
        self._reached.append(step.final_obs.to(self.device))

    def _cut(self) -> Cut | None:
        return every_state(torch.stack(self._reached))


def every_state(final_obs: Tensor) -> Cut:
    """Every state reached [T, N, ...]: counting those that matter would wait for the GPU."""
    num_steps, num_envs = final_obs.shape[:2]
    steps = torch.arange(num_steps, device=final_obs.device).repeat_interleave(num_envs)
    envs = torch.arange(num_envs, device=final_obs.device).repeat(num_steps)
    return steps, envs, final_obs.flatten(0, 1)


def forget(state: Tensor, fresh: Tensor) -> Tensor:
    """States [N, S], zero where `fresh` [N]."""
    return state.masked_fill(fresh.unsqueeze(-1), 0.0)


class Actor(nn.Module):
    """Observations, noise and states -> policy parameters, actions, the environment's actions.

    With memory the states after follow.
    """

    def __init__(self, agent: Agent) -> None:
        super().__init__()
        self.agent = agent

    def forward(self, obs: Tensor, noise: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        return self.act(obs, self.agent.distribution.ready(noise), *states)

    def act(self, obs: Tensor, ready: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """`forward` from noise that is ready to be drawn from."""
        params, *after = self.agent.act(obs, *states)
        actions = self.agent.distribution.draw(params, ready)
        return params, actions, self.agent.distribution.to_env(actions), *after


class NativePlayer:
    """Steps environments that are pure functions on the device, many steps in one graph.

    On a CPU the graph is a loop, whose compilation takes as long for one step as for a thousand.
    On a GPU, where a loop would ask the host in every turn, it is CHUNK steps one after the other.

    Args:
        compile_it: the steps are compiled; else they are not, which only a GPU needs.
    """

    CHUNK = 8  # of 16 steps, a graph takes twice as long to compile

    def __init__(self, actor: Actor, envs: TorchEnvironments, compile_it: bool) -> None:
        self.actor, self.envs = actor, envs
        self.poll = Grace()
        self.scan = torch_internals.scan() if envs.device.type == "cpu" else None
        self.loops = self.scan is not None
        steps = self.loop if self.loops else self.chunk
        self._steps = captured(steps, envs.device)
        if compile_it:
            self._steps = compiled(steps, envs.device, loops=self.loops)

    def play(self, obs: Tensor, noise: Tensor, states: States = ()) -> Played:
        """As many steps as `noise` [T, N, P] has rows."""
        first, before, parts = obs, states, []
        for rows, may_end in self._pieces(noise):
            self.poll()
            carry, obs, states, part = keep(
                self._steps(self.envs.carry, obs, rows, may_end, self.envs.seed, *states)
            )
            self.envs.adopt(Carry(*carry), rows.shape[0])
            parts.append(part)
        joined = [torch.cat(columns) for columns in zip(*parts, strict=True)]
        params, actions, next_obs, rewards, terminated, truncated, success, final_obs = joined[:8]
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
            tuple(torch.cat([a.unsqueeze(0), b]) for a, b in zip(before, joined[8:], strict=True)),
        )

    def _pieces(self, noise: Tensor) -> list[tuple[Tensor, tuple[bool, ...]]]:
        """Noise in pieces of few different sizes, each with the steps in which an episode may end.

        Where all episodes have one length and a rollout is a whole number of them, the steps
        before the last need no reset: they are a loop, or graphs, of their own.
        """
        num_steps, period = noise.shape[0], self.envs.env.fixed_length or 0
        whole = period > 0 and num_steps % period == 0 and self.envs.may_end(period - 1)
        if not self.loops:
            size = max(
                c for c in range(1, self.CHUNK + 1)
                if num_steps % c == 0 and (not whole or period % c == 0)
            )  # fmt: skip
            flags = [not whole or self.envs.may_end(ahead) for ahead in range(num_steps)]
            return [
                (rows, tuple(flags[i * size : (i + 1) * size]))
                for i, rows in enumerate(noise.split(size))
            ]
        if not whole:
            return [(noise, (True,))]
        sizes = [period - 1, 1] * (num_steps // period)
        return [(rows, (rows.shape[0] == 1,)) for rows in noise.split(sizes) if rows.shape[0]]

    def loop(
        self,
        carry: Carry,
        obs: Tensor,
        noise: Tensor,
        may_end: tuple[bool, ...],
        seed: Tensor,
        *states: Tensor,
    ) -> tuple[tuple[Tensor, ...], Tensor, States, list[Tensor]]:
        """Several steps as one loop; `may_end` has one entry for all of them."""
        # A loop needs arguments that share no memory: parameters are views of one vector, and an
        # environment may show its state as the observation.
        weights = {name: p.clone() for name, p in self.actor.named_parameters()}
        ids, last = self.envs.env_ids, len(carry)

        def body(state: tuple[Tensor, ...], row: Tensor) -> tuple[Any, Any]:
            params, actions, env_actions, *after = functional_call(
                self.actor, weights, (state[last], row, *state[last + 1 :])
            )
            moved, step = advance(
                self.envs.env, Carry(*state[:last]), env_actions, ids, seed, may_end[0]
            )
            after = [forget(item, step.terminated | step.truncated) for item in after]
            # The loop takes no output that is another one or an input.
            columns = [item.clone() for item in _columns(params, actions, step, after)]
            return tuple(item.clone() for item in (*moved, step.obs, *after)), columns

        start = tuple(item.clone() for item in (*carry, obs, *states))
        assert self.scan is not None
        state, columns = self.scan(body, start, noise)
        return state[:last], state[last], state[last + 1 :], columns

    def chunk(
        self,
        carry: Carry,
        obs: Tensor,
        noise: Tensor,
        may_end: tuple[bool, ...],
        seed: Tensor,
        *states: Tensor,
    ) -> tuple[tuple[Tensor, ...], Tensor, States, list[Tensor]]:
        """Several steps one after the other, each with its own entry of `may_end`."""
        rows = []
        for step_noise, flag in zip(noise.unbind(0), may_end, strict=True):
            params, actions, env_actions, *after = self.actor(obs, step_noise, *states)
            carry, step = advance(self.envs.env, carry, env_actions, self.envs.env_ids, seed, flag)
            obs = step.obs
            states = tuple(forget(item, step.terminated | step.truncated) for item in after)
            rows.append(_columns(params, actions, step, states))
        columns = [torch.stack(column) for column in zip(*rows, strict=True)]
        return tuple(carry), obs, states, columns

    def _cut(self, truncated: Tensor, final_obs: Tensor) -> Cut | None:
        if not self.envs.truncates:
            return None
        if truncated.device.type == "cpu":
            steps, envs = truncated.nonzero(as_tuple=True)
            return (steps, envs, final_obs[steps, envs]) if steps.numel() else None
        return every_state(final_obs)


def _columns(params: Tensor, actions: Tensor, step: Step, states: Sequence[Tensor]) -> list[Tensor]:
    """What a rollout keeps of a step; the states are those of the next one."""
    ends = [step.terminated, step.truncated, step.success, step.final_obs]
    return [params, actions, step.obs, step.rewards, *ends, *states]

"""Agent + environments -> Rollout, into buffers made once.

A step asks the network for the policy alone. Log-probabilities and values of the whole rollout
follow in one pass each: the same numbers, without T small forward passes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ppo.algorithm.rollout.exploration import PINK, colored_count
from ppo.algorithm.rollout.players import (
    Actor,
    DevicePlayer,
    HostPlayer,
    NativePlayer,
    Played,
    States,
)
from ppo.core import parallel
from ppo.core.compiling import compiled, keep
from ppo.core.data import Cut, Rollout, begins_anew, is_end
from ppo.core.randomness import generator
from ppo.core.recording import faster, recorded
from ppo.envs.base import Environments
from ppo.envs.simulator import SimulatorEnvironments
from ppo.envs.torch_env import TorchEnvironments
from ppo.functional.noise import colored
from ppo.functional.returns import episode_sums
from ppo.networks.agent import Agent
from ppo.values.scale import ValueScale


class Episodes(NamedTuple):
    """Of every step of a rollout, the episode so far; meaningful where `finished`."""

    finished: Tensor  # [T, N] bool
    returns: Tensor  # [T, N, K] unscaled
    lengths: Tensor  # [T, N]


class Moment(NamedTuple):
    """Where a collector is between two batches; none of its tensors is changed in place."""

    sums: Tensor  # [N, K] returns of the running episodes
    lengths: Tensor  # [N, 1] steps of the running episodes
    current: Tensor  # [N, ...] observations to act on
    states: States
    envs: Callable[[], dict[str, Tensor]]  # gives the state of the environments


class Collector:
    """Plays the policy in the environments and keeps what continues from batch to batch.

    Args:
        agent: its observation normalizer stands still during a rollout.
        value_scale: brings the critic's output into reward units.
        reward_factor: multiplies rewards; episode returns are reported without it.
    """

    def __init__(
        self,
        agent: Agent,
        value_scale: ValueScale,
        envs: Environments,
        num_steps: int,
        reward_factor: float,
        run_seed: int,
        device: torch.device,
    ) -> None:
        self.agent, self.value_scale, self.envs = agent, value_scale, envs
        self.num_steps, self.reward_factor = num_steps, reward_factor
        self.run_seed, self.device = run_seed, device
        self.player: HostPlayer | NativePlayer
        n, k = envs.num_envs, len(envs.component_names)
        self.sums = torch.zeros(n, k, device=device)
        self.lengths = torch.zeros(n, 1, device=device)
        self.current: Tensor | None = None
        self.states: States = ()
        self._rewound: Moment | None = None

    def run_as(self, graphs: bool, batches: float) -> None:
        """From now on by compiled graphs, those of environments on the device included; or else
        eagerly and recorded, in so many batches of the run."""
        envs, device, actor = self.envs, self.device, Actor(self.agent)
        if isinstance(envs, TorchEnvironments) and (graphs or device.type != "cpu"):
            self.player = NativePlayer(actor, envs, graphs)
        else:
            waits = isinstance(envs, SimulatorEnvironments) and envs.device.type != "cpu"
            kind = DevicePlayer if waits else HostPlayer
            if graphs:  # a graph makes the noise ready at no cost
                self.player = kind(compiled(actor.forward, device), envs, device)
            else:
                ready = self.agent.distribution.ready
                act = recorded(actor.act, device, batches * self.num_steps)
                self.player = kind(act, envs, device, ready)
        self._finish = faster(graphs, device, batches)(self.finish)

    def mark(self) -> Moment:
        """This moment, for `rewind`: an unfinished batch can be dropped without a trace."""
        assert self.current is not None, "reset() comes first"
        return Moment(self.sums, self.lengths, self.current, self.states, self.envs.mark())

    def rewind(self, moment: Moment) -> None:
        """Back to the last mark, for `state_dict` only: the environments themselves stay where
        they are, so nothing more can be played until `reset` or `load_state_dict`."""
        self.sums, self.lengths, self.current, self.states, _ = moment
        self._rewound = moment

    def put_aside(self) -> Callable[[], None]:
        """Lends the environments out; the function that is returned takes them back.

        The running episodes then go on, bit for bit, or begin anew where the environments' state
        cannot be saved.
        """
        seed, state = self.envs.run_seed, None if self.current is None else self.state_dict()

        def take_back() -> None:
            self.envs.run_seed = seed
            self.envs.reports.take()  # of episodes that were not the training's
            if state is not None:
                self.load_state_dict(state)

        return take_back

    def reset(self) -> None:
        """Begin a new episode in every environment."""
        self._rewound = None
        self.current = self.envs.reset().to(self.device, copy=True)
        self._begin()

    def _begin(self) -> None:
        """Nothing has happened in the episodes that are running."""
        self.states = self.agent.initial_states(self.envs.num_envs)
        self.sums, self.lengths = torch.zeros_like(self.sums), torch.zeros_like(self.lengths)

    def noise(self, *counters: int, share: float = 0.0, purpose: str = "actions") -> Tensor:
        """Noise of one rollout [T, N, P], from a counted generator; only normal noise can be pink.

        Log-probabilities take each step for itself, whatever the color.

        Args:
            share: share of the environments, the first ones, whose noise is pink.
        """
        distribution, count = self.agent.distribution, self.envs.num_envs
        # Of all processes' environments, so that each has the same however they are shared.
        shape = (self.num_steps, parallel.world_size() * count, distribution.num_params)
        source = generator(self.device, self.run_seed, purpose, *counters, 0)
        draw = torch.randn if distribution.normal_noise else torch.rand
        white = draw(shape, generator=source, device=self.device)
        if parallel.is_active():
            white = white[:, parallel.rank() * count :][:, :count].contiguous()
        if not distribution.normal_noise:
            return white
        first = colored_count(share, self.envs.num_envs)
        if not first:
            return white
        return torch.cat([colored(white[:, :first], PINK), white[:, first:]], 1)

    @torch.no_grad()
    def __call__(
        self, batch_number: int, attempt: int = 0, colored_share: float = 0.0
    ) -> tuple[Rollout, Episodes]:
        """One rollout of T steps, a share of the environments with colored noise."""
        played = self._play(self.noise(batch_number, attempt, share=colored_share))
        rollout, episodes, self.sums, self.lengths = keep(
            self._finish(played._replace(cut=None), self.sums, self.lengths)
        )
        self._look_behind_time_limits(rollout, played.cut)
        return rollout, episodes

    def _play(self, noise: Tensor) -> Played:
        """Steps from where the last ones led; the next begin where these end."""
        assert self.current is not None and self._rewound is None, "reset() comes first"
        played = self.player.play(self.current, noise, self.states)
        self.current = played.obs[-1].clone()
        self.states = tuple(states[-1].clone() for states in played.states)
        return played

    @torch.no_grad()
    def start(self, calibration: int, colored_share: float) -> list[str]:
        """First observations, and the statistics that make the first batch's inputs normal.

        Args:
            calibration: steps of each environment, which are forgotten but for the statistics; none
                are taken where these are known already (those of a policy to start from), or not
                used.

        Returns:
            Notes for the user.
        """
        self.reset()
        normalizer = self.agent.normalizer
        if bool(normalizer.count) or not (normalizer.enabled and calibration):
            return []
        seen, valid = [], []
        for chunk in range(-(-calibration // self.num_steps)):
            played = self._play(self.noise(chunk, share=colored_share, purpose="calibration"))
            few = min(self.num_steps, calibration - chunk * self.num_steps)
            seen.append(played.obs[:few].flatten(0, 1).clone())
            valid.append(played.valid[:few].flatten().clone())
        self.reset()
        normalizer.update(torch.cat(seen), torch.cat(valid).float())
        steps = calibration * self.envs.num_envs * parallel.world_size()
        return [f"{steps:,} uncounted steps set the first observation statistics"]

    def finish(
        self, played: Played, sums: Tensor, lengths: Tensor
    ) -> tuple[Rollout, Episodes, Tensor, Tensor]:
        """Log-probabilities, values and episode sums of what was played, as one pure function.

        Args:
            sums: [N, K] returns and lengths: [N, 1] steps of the episodes that were running.

        Returns:
            The rollout, its episodes, and both sums as the next rollout begins with them.
        """
        shape = played.rewards.shape[:2]
        log_probs = self.agent.distribution.log_prob(
            played.params.flatten(0, 1), played.actions.flatten(0, 1)
        )
        before = [states.flatten(0, 1) for states in played.states]
        values = self._values(played.obs.flatten(0, 1), *before)
        values = values.unflatten(0, played.obs.shape[:2])
        rollout = Rollout(
            obs=played.obs[:-1],
            actions=played.actions,
            log_probs=log_probs.unflatten(0, shape),
            values=values[:-1],
            next_values=values[1:].clone(),
            rewards=played.rewards * self.reward_factor,
            terminated=played.terminated,
            truncated=played.truncated,
            success=played.success,
            valid=played.valid,
            context=self._context(played),
        )
        ended, steps = rollout.ended, played.valid.to(sums.dtype).unsqueeze(-1)
        # Returns and lengths are summed together, as columns of one recurrence.
        both = torch.cat([played.rewards, steps], -1)
        found, carried = episode_sums(both, ended, torch.cat([sums, lengths], -1))
        whole = is_end(played.terminated, played.truncated, played.valid)
        episodes = Episodes(whole, found[..., :-1], found[..., -1])
        return rollout, episodes, carried[:, :-1].clone(), carried[:, -1:].clone()

    def _context(self, played: Played) -> dict[str, Tensor]:
        """What the update needs to go through the sequences again."""
        if not played.states:
            return {}
        fresh = begins_anew(played.terminated, played.truncated, played.valid)
        starts = torch.cat([torch.zeros_like(fresh[:1]), fresh[:-1]])
        return {"states": played.states[0][:-1], "starts": starts}

    def _look_behind_time_limits(self, rollout: Rollout, cut: Cut | None) -> None:
        """Where a time limit cut the episode, the next value is that of the state reached."""
        if cut is None:
            return
        steps, envs, reached = cut
        at_limit = rollout.truncated[steps, envs].unsqueeze(-1)
        next_values = rollout.next_values
        # The memory of the episode's last step is not carried into the new one.
        before = [rollout.context["states"][steps, envs]] if rollout.context else []
        _, *after = self.agent.act(rollout.obs[steps, envs], *before) if before else (None,)
        next_values[steps, envs] = torch.where(
            at_limit, self._values(reached, *after), next_values[steps, envs]
        )

    def _values(self, obs: Tensor, *states: Tensor) -> Tensor:
        """Values in reward units, [B, K]."""
        return self.value_scale.from_norm(self.agent.values_norm(obs, *states))

    def state_dict(self) -> dict[str, Tensor]:
        assert self.current is not None
        memory = {"states": self.states[0]} if self.states else {}
        envs = self._rewound.envs() if self._rewound else self.envs.state_dict()
        return {
            **memory,
            "sums": self.sums,
            "lengths": self.lengths,
            "obs": self.current,
            **{f"envs.{name}": value for name, value in envs.items()},
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self._rewound = None
        self.sums = state["sums"].to(self.device, copy=True)
        self.lengths = state["lengths"].to(self.device, copy=True)
        self.states = (state["states"].to(self.device, copy=True),) if "states" in state else ()
        saved = {name[5:]: value for name, value in state.items() if name.startswith("envs.")}
        obs = self.envs.load_state_dict(saved).to(self.device, copy=True)
        self.current = state["obs"].to(self.device) if obs.shape != state["obs"].shape else obs
        if self.envs.restore_level == "boundary":  # other episodes begin than those that ran
            self._begin()

"""A trained policy with its normalization: raw observations in, environment actions out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ppo.algorithm.build import build_agent
from ppo.config import Config
from ppo.core.errors import UserError
from ppo.envs.changed import refuse_changes
from ppo.envs.host import masks
from ppo.envs.observations import ActionDecoder, flat_mask, flatten_observation, layout_of
from ppo.envs.spaces import restore
from ppo.networks.agent import Agent
from ppo.runs import checkpoint
from ppo.runs.folder import RunFolder


class Policy:
    """Acts for one environment or for several at once.

    A policy with memory remembers what it was shown since the last `reset`; call that where an
    episode begins. Without memory `reset` does nothing.

    Attributes:
        agent: the network, its observation statistics frozen.
        config: the settings of the run that it came from.
    """

    def __init__(
        self, agent: Agent, config: Config, observation_space: Any, action_space: Any
    ) -> None:
        self.agent, self.config = agent.eval(), config
        self.observation_space, self.action_space = observation_space, action_space
        self._masks_observed = masks.in_observation(observation_space, action_space)
        self.states: tuple[torch.Tensor, ...] = ()

    def check_environments(self, envs: Any, run: str) -> list[str]:
        """A line for each harmless way in which `envs` differ from those of `run`, its own.

        Raises:
            UserError: its actions or observations would mean something else there.
        """
        trained = self.observation_space, self.action_space
        return refuse_changes(trained, envs, run, self.agent.layout.num_mask)

    def reset(self, which: torch.Tensor | None = None) -> None:
        """Forgets what happened in the environments of `which` [N] bool; None: in all."""
        if which is None:
            self.states = ()
        else:
            fresh = which.unsqueeze(-1)
            self.states = tuple(
                state.masked_fill(fresh.to(state.device), 0.0) for state in self.states
            )

    @torch.no_grad()
    def predict(
        self,
        observation: Any,
        deterministic: bool = True,
        seed: int | None = None,
        action_mask: Any = None,
    ) -> Any:
        """The action for one raw observation, in the environment's own units and dtype.

        Args:
            observation: an element of the environment's observation space; of a Dict, the entries
                of `network.actor_keys` suffice.
            deterministic: the mode of the policy; otherwise a sample.
            seed: of the sample; None draws from torch's global generator.
            action_mask: [M] of 0 and 1, for a policy that was trained with masks; None: every
                action is valid.

        Raises:
            ValueError: the observation or the mask does not fit.
        """
        num_mask = self.agent.layout.num_mask
        if action_mask is not None and not num_mask:
            raise UserError("action_mask: this policy was trained without action masks")
        if num_mask and action_mask is None and self._masks_observed:
            action_mask = masks.of_observation(observation, self.action_space)
        if action_mask is not None:
            action_mask = flat_mask(self.action_space, action_mask)
        row = flatten_observation(
            self.observation_space,
            observation,
            num_mask,
            action_mask,
            self.config.network.actor_keys,
        )
        actions = self.act(torch.as_tensor(np.asarray(row)).unsqueeze(0), deterministic, seed)
        action = ActionDecoder(self.action_space, self.config.env.id).array(actions.numpy())[0]
        return action.item() if np.ndim(action) == 0 else action

    @torch.no_grad()
    def act(
        self, obs: torch.Tensor, deterministic: bool = True, seed: int | None = None
    ) -> torch.Tensor:
        """Environment actions for rows of observations [N, ...] (see ppo/core/layout.py)."""
        distribution = self.agent.distribution
        if self.states and self.states[0].shape[0] != obs.shape[0]:
            raise UserError(
                f"act: {obs.shape[0]} observations after {self.states[0].shape[0]}; a policy with "
                "memory needs reset() before it acts for another number of environments"
            )
        states = self.states or self.agent.initial_states(obs.shape[0])
        params, *after = self.agent.act(obs, *states)
        self.states = tuple(after)
        if deterministic:
            return distribution.to_env(distribution.mode(params))
        source = None if seed is None else torch.Generator().manual_seed(seed)
        draw = torch.randn if distribution.normal_noise else torch.rand
        noise = draw(obs.shape[0], distribution.num_noise, generator=source)
        return distribution.to_env(distribution.sample(params, noise))

    @torch.no_grad()
    def value(self, obs: torch.Tensor) -> torch.Tensor:
        """Values of flat observations in network units, [N, K]."""
        return self.agent.values_norm(obs)


def load_policy(
    run: str | Path, results: str | Path = "training_results", which: str = "best"
) -> Policy:
    """The policy of a run folder.

    Args:
        run: `run0007`, `latest`, or a path to a run folder.
        results: where run names are looked up.
        which: "best" (by evaluation; the newest where none was evaluated) or "latest".

    Raises:
        UserError: no such run, or none of its checkpoints can be read.
    """
    folder = RunFolder.open(Path(results), str(run))
    config, notes = Config.load_run(folder.path / "config.yaml")
    found = checkpoint.load_best(folder) if which == "best" else None
    loaded = found or checkpoint.load_latest(folder)
    if loaded is None:
        raise UserError(f"{folder.name} has no checkpoint yet")
    for note in notes:
        print(f"note: {folder.name} was trained with {note}", file=sys.stderr)
    try:
        return policy_of(loaded, config)
    except RuntimeError:
        if not notes:
            raise
        raise UserError(
            f"{folder.name}: this version cannot build its network, which was trained with "
            f"{notes[0]}"
        ) from None


def policy_of(loaded: checkpoint.Checkpoint, config: Config) -> Policy:
    """The policy inside a checkpoint."""
    observation_space = restore(loaded.meta["observation_space"])
    action_space = restore(loaded.meta["action_space"])
    layout = layout_of(observation_space, loaded.meta.get("num_mask", 0))
    agent, _ = build_agent(config, layout, action_space, len(loaded.meta["components"]))
    prefix = "objective.agent."
    agent.load_state_dict(
        {k[len(prefix) :]: v for k, v in loaded.tensors.items() if k.startswith(prefix)}
    )
    return Policy(agent, config, observation_space, action_space)

"""A trained policy with its normalization: raw observations in, environment actions out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ppo import checkpoint
from ppo.agent import Agent
from ppo.build import build_agent
from ppo.config import Config
from ppo.envs.observations import flatten_observation, observation_size
from ppo.errors import UserError
from ppo.run_folder import RunFolder
from ppo.spaces import restore


class Policy:
    """Acts for one environment or for several at once.

    Attributes:
        agent: the network, its observation statistics frozen.
        config: the settings of the run that it came from.
    """

    def __init__(
        self, agent: Agent, config: Config, observation_space: Any, action_space: Any
    ) -> None:
        self.agent, self.config = agent.eval(), config
        self.observation_space, self.action_space = observation_space, action_space

    @torch.no_grad()
    def predict(self, observation: Any, deterministic: bool = True, seed: int | None = None) -> Any:
        """The action for one raw observation, in the environment's own units and dtype.

        Args:
            observation: an element of the environment's observation space.
            deterministic: the mode of the policy; otherwise a sample.
            seed: of the sample; None draws from torch's global generator.
        """
        flat = flatten_observation(self.observation_space, observation)
        actions = self.act(torch.as_tensor(np.asarray(flat)).unsqueeze(0), deterministic, seed)
        action = actions[0].numpy()
        return action.item() if action.ndim == 0 else action.astype(self.action_space.dtype)

    @torch.no_grad()
    def act(
        self, obs: torch.Tensor, deterministic: bool = True, seed: int | None = None
    ) -> torch.Tensor:
        """Environment actions for flat observations [N, D]."""
        distribution = self.agent.distribution
        params = self.agent.policy_params(obs)
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
    config = Config.load(folder.path / "config.yaml")
    found = checkpoint.load_best(folder) if which == "best" else None
    loaded = found or checkpoint.load_latest(folder)
    if loaded is None:
        raise UserError(f"{folder.name} has no checkpoint yet")
    return policy_of(loaded, config)


def policy_of(loaded: checkpoint.Checkpoint, config: Config) -> Policy:
    """The policy inside a checkpoint."""
    observation_space = restore(loaded.meta["observation_space"])
    action_space = restore(loaded.meta["action_space"])
    agent, _ = build_agent(
        config, observation_size(observation_space), action_space, len(loaded.meta["components"])
    )
    prefix = "objective.agent."
    agent.load_state_dict(
        {k[len(prefix) :]: v for k, v in loaded.tensors.items() if k.startswith(prefix)}
    )
    return Policy(agent, config, observation_space, action_space)

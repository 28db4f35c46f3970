"""A trained policy with its normalization: raw observations in, environment actions out."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ppo.algorithm.build import build_agent
from ppo.config import Config
from ppo.core.errors import UserError
from ppo.envs.actions import ActionDecoder
from ppo.envs.changed import refuse_changes
from ppo.envs.host import masks
from ppo.envs.make import precise_of
from ppo.envs.observations import ObservationEncoder, layout_of
from ppo.envs.spaces import restore
from ppo.networks.agent import Agent
from ppo.policies.batches import is_of_reset, refuse_infinite, rows_of
from ppo.runs import checkpoint
from ppo.runs import trust as code
from ppo.runs.folder import RunFolder

MISFIT = "Error(s) in loading state_dict"  # what torch says of other shapes


class Policy:
    """Acts for one environment or for several at once.

    A policy with memory remembers what it was shown since the last `reset`; call that where an
    episode begins. Without memory `reset` does nothing.

    Attributes:
        agent: the network, its observation statistics frozen.
        config: the settings of the run that it came from.
        checkpoint: which one it was loaded from, in words; empty where there is none.
    """

    checkpoint = ""

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
        """Actions for raw observations, in the environment's own units and dtype.

        Args:
            observation: an element of the environment's observation space, or N of them: an array
                [N, ...], for Dict and Tuple in each entry, as vector environments give them.
                Of a Dict the entries of `network.actor_keys` suffice.
            deterministic: the mode of the policy; otherwise a sample.
            seed: seed of the sample; None draws from torch's global generator.
            action_mask: [M] of 0 and 1 (of N observations [N, M]), for a policy that was trained
                with masks; None: every action is valid.

        Returns:
            The action; of N observations an array [N, ...] of them.

        Raises:
            ValueError: the observation or the mask does not fit, or holds NaN or an infinity.
        """
        if action_mask is not None and not self.agent.layout.num_mask:
            raise UserError("action_mask: this policy was trained without action masks")
        if is_of_reset(self.observation_space, observation):
            raise UserError(
                "observation: a tuple of two, as reset() returns it; give the first: "
                "observation, info = env.reset()"
            )
        several = rows_of(self.observation_space, observation)
        alone = several is None
        if several is None:
            several, given = [observation], [action_mask]
        else:
            given = [None] * len(several) if action_mask is None else action_mask
        if len(given) != len(several):
            raise UserError(f"action_mask: {len(given)} masks for {len(several)} observations")
        rows = np.zeros((len(several), *self._encoder.shape), self._encoder.dtype)
        for row, one, mask in zip(rows, several, given, strict=True):
            row[...] = self._encoded(one, mask)
        refuse_infinite(self._encoder, rows, alone)
        actions = self.act(torch.as_tensor(rows), deterministic, seed).numpy()
        found = ActionDecoder(self.action_space, self.config.env.id).array(actions)
        if not alone:
            return found
        return found[0].item() if np.ndim(found[0]) == 0 else found[0]

    def _encoded(self, observation: Any, mask: Any) -> np.ndarray:
        """The row that the network reads."""
        num_mask = self.agent.layout.num_mask
        if num_mask and mask is None and self._masks_observed:
            mask = masks.of_observation(observation, self.action_space)
        if mask is not None:
            mask = masks.flat(self.action_space, mask)
        return self._encoder.encode(observation, mask)

    @functools.cached_property
    def _encoder(self) -> ObservationEncoder:
        layout, keys = self.agent.layout, self.config.network.actor_keys
        precise = [name for name, _ in layout.precise]
        return ObservationEncoder(
            self.observation_space, "the environment", layout.num_mask, keys, precise
        )

    @torch.no_grad()
    def act(
        self, obs: torch.Tensor, deterministic: bool = True, seed: int | None = None
    ) -> torch.Tensor:
        """Environment actions for rows of observations [N, ...] (see ppo/core/layout.py)."""
        distribution = self.agent.distribution
        device = self.agent.actor.weight.device
        obs = obs.to(device)
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
        noise = draw(obs.shape[0], distribution.num_params, generator=source).to(device)
        return distribution.to_env(distribution.sample(params, noise))


def load_policy(
    run: str | Path,
    results: str | Path = "training_results",
    which: str = "best",
    *,
    trust: bool = False,
) -> Policy:
    """The policy of a run folder.

    Args:
        run: `run0007`, `latest`, or a path to a run folder.
        results: where run names are looked up.
        which: "best" (by evaluation; the newest where none was evaluated) or "latest".
        trust: import what its config.yaml names, also where no run of yours has used it.

    Raises:
        UserError: no such run, or none of its checkpoints can be read, or it names code that is
            not known here.
    """
    folder = RunFolder.open(Path(results), str(run))
    config, notes = Config.load_run(folder.path / "config.yaml")
    for changed in code.check(config, folder, trust):
        say(changed)
    loaded = checkpoint_of(folder, which)
    for note in notes:
        say(f"{folder.name} was trained with {note}")
    try:
        policy = policy_of(loaded, config)
    except RuntimeError as error:
        if notes:
            why = f"this version cannot build its network, which was trained with {notes[0]}"
        elif str(error).startswith(MISFIT):
            why = "its checkpoint does not fit the network of its config.yaml; that, or code that "
            why += "it names, was changed since; put back what it was"
        else:
            raise
        raise UserError(f"{folder.name}: {why}") from None
    kind = "best" if loaded.path.name.startswith("best") else "latest"
    policy.checkpoint = f"{kind} checkpoint, batch {loaded.batch}"
    return policy


def say(note: str) -> None:
    """A line for the user beside what a mode prints."""
    print(f"note: {note}", file=sys.stderr)


def checkpoint_of(folder: RunFolder, which: str = "best") -> checkpoint.Checkpoint:
    """The best checkpoint of a run, or the latest, also where none was the best yet.

    Raises:
        UserError: it has none, or `which` is another word.
    """
    if which not in ("best", "latest"):
        raise UserError(f"which: {which!r}; allowed: best, latest")
    loaded = (checkpoint.load_best if which == "best" else checkpoint.load_latest)(folder)
    if loaded is None:
        raise UserError(f"{folder.name} has no checkpoint yet")
    return loaded


def policy_of(loaded: checkpoint.Checkpoint, config: Config) -> Policy:
    """The policy inside a checkpoint."""
    observation_space = restore(loaded.meta["observation_space"])
    action_space = restore(loaded.meta["action_space"])
    layout = layout_of(
        observation_space, loaded.meta.get("num_mask", 0), precise_of(config.env) or ()
    )
    agent, _ = build_agent(config, layout, action_space, len(loaded.meta["components"]))
    prefix = "objective.agent."
    agent.load_state_dict(
        {k[len(prefix) :]: v for k, v in loaded.tensors.items() if k.startswith(prefix)}
    )
    return Policy(agent, config, observation_space, action_space)

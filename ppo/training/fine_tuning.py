"""Runs that begin with what another one has learned: its actor, or all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ppo.algorithm.learner import Learner
from ppo.algorithm.snapshot import of_earlier_versions
from ppo.config import Config
from ppo.core.errors import UserError
from ppo.policies.policy import checkpoint_of, load_policy
from ppo.runs.folder import RunFolder

HELD_SAMPLES = 1e7  # weight of the statistics of a policy to start from: they hardly move
OF_THE_CRITIC = ("critic.", "critic_encoder.", "critic_memory.", "value_head.")
LEARNED = ("objective.agent.", "objective.value_scale.", "discount.", "reward_scale.")
OF_ENVIRONMENTS = ("reward_scale.carried",)  # discounted sums of episodes that are over
# What gives the critic's output its meaning, beside the shapes of its tensors.
UNITS = (
    "normalize_returns",
    "return_normalizer",
    "return_scale",
    "value_loss",
    "reward_scaling",
    "gamma_schedule",
)


@torch.no_grad()
def adopt_actor(agent: Any, other: Any, run: str) -> None:
    """Gives `agent` the actor, the encoder and the observation statistics of `other`.

    The statistics then count as many samples as no run sees: if they moved, so would the policy.

    Raises:
        UserError: the two networks differ.
    """
    own, taken = (
        {k: v for k, v in whose.state_dict().items() if not k.startswith(OF_THE_CRITIC)}
        for whose in (agent, other)
    )
    _refuse_others(own, taken, run, "network")
    agent.load_state_dict(taken, strict=False)
    agent.normalizer.count.clamp_(min=HELD_SAMPLES)


def adopt_all(learner: Learner, config: Config, folder: Path, run: str) -> list[str]:
    """Actor, critic and statistics of a run's best policy; events for the first record.

    The statistics go on moving from there, unlike those of an actor that starts alone. The state of
    the optimizer is new.

    Raises:
        UserError: networks, units of the critic or spaces differ; with the setting to change.
    """
    policy = load_policy(folder)
    events = policy.check_environments(learner.collector.envs, run)
    for name in UNITS:
        then, now = getattr(policy.config.ppo, name), getattr(config.ppo, name)
        if then != now:
            raise UserError(
                f"ppo.{name}: {now} differs from the {then} of {run}; train.initial_parts: all "
                f"needs ppo.{name}={then}, or write train.initial_parts: actor"
            )
    own = nn.Module.state_dict(learner)
    saved = checkpoint_of(RunFolder(folder))
    found = _learned(of_earlier_versions(saved.tensors, own))
    if not any(name.startswith("objective.value_scale.") for name in saved.tensors):
        raise UserError(
            f"train.initial_parts: all: {run} comes from --mode pretrain and has no critic; "
            "write train.initial_parts: actor"
        )
    _refuse_others(_learned(own), found, run, "network or critic")
    nn.Module.load_state_dict(learner, found, strict=False)
    return [*events, f"actor, critic and statistics start from {run}"]


def _learned(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: value
        for name, value in state.items()
        if name.startswith(LEARNED) and name not in OF_ENVIRONMENTS
    }


def _refuse_others(own: dict[str, Tensor], found: dict[str, Tensor], run: str, what: str) -> None:
    """
    Raises:
        UserError: a tensor is missing on one side, or has another shape.
    """
    for name in {**own, **found}:
        shapes = [part[name].shape if name in part else None for part in (own, found)]
        if shapes[0] != shapes[1]:
            raise UserError(
                f"train.initial_policy: {run}: its {what} differs in {name}; "
                "env and network must be as in that run"
            )

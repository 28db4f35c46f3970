"""Playing a policy without learning: return, length and success with a confidence interval."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ppo.config import Config
from ppo.core.randomness import stream_seed
from ppo.envs.base import Environments
from ppo.functional.bootstrap import mean_interval

EVALUATION_ENVS = 16  # played side by side, at most: others would meet other episodes


def shares(episodes: int, num_envs: int) -> Tensor:
    """[N] how many of the episodes each environment plays: numbers as equal as there can be.

    Taking whichever episodes end first would favor short ones.
    """
    return episodes // num_envs + (torch.arange(num_envs) < episodes % num_envs).long()


def play(
    envs: Environments,
    act: Callable[[Tensor], Tensor],
    episodes: int,
    forget: Callable[[Tensor | None], None] | None = None,
    poll: Callable[[], None] | None = None,
    max_steps: int | None = None,
) -> dict[str, np.ndarray]:
    """The first episodes of every environment, as `shares` has them.

    An episode that a fault cut has no return; the one after it is played in its place.

    Args:
        forget: told before the first step (None), and then which environments [N] bool begin an
            episode with the next observation; for policies with memory.
        poll: called before every step; what it raises ends the evaluation.
        max_steps: an episode that lasts longer counts as it is, and is the last of its environment,
            which cannot be told to begin another.

    Returns:
        returns, lengths, successes, whole: [episodes], unscaled; whole is 0 for an episode that
        went on.
    """
    n = envs.num_envs
    each, most = shares(episodes, n), math.inf if max_steps is None else max_steps
    obs = envs.reset()
    forget = forget or (lambda which: None)
    forget(None)
    # In float64: a long episode's return would be off by 1e-4 of itself.
    sums, lengths = torch.zeros(n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
    done = torch.zeros(n, dtype=torch.long)
    found: list[tuple[float, float, float, float]] = []
    while bool((done < each).any()):
        if poll is not None:
            poll()
        step = envs.step(act(obs))
        obs = step.obs
        forget(step.begins_anew)
        sums += step.rewards.double().sum(-1).cpu()
        lengths += step.valid.cpu()
        for i in step.finished.nonzero().squeeze(-1).tolist():
            if done[i] < each[i]:
                found.append((float(sums[i]), float(lengths[i]), float(step.success[i]), 1.0))
            done[i] += 1
        endless = (lengths >= most) & ~step.finished.cpu() & (done < each)
        for i in endless.nonzero().squeeze(-1).tolist():
            found.append((float(sums[i]), float(lengths[i]), float("nan"), 0.0))
            done[i] = each[i]
        fresh = step.begins_anew.cpu()  # also after a cut, whose episode has no return
        sums, lengths = (held.masked_fill(fresh, 0.0) for held in (sums, lengths))
    names = ("returns", "lengths", "successes", "whole")
    return dict(zip(names, np.asarray(found).T, strict=True))


def longest(config: Config) -> int:
    """Steps of an episode that is waited for where somebody asks for it: `evaluation.max_steps`,
    but for a run's own choice, which spares its training."""
    usual = type(config.evaluation).model_fields["max_steps"].default
    chosen = "evaluation.max_steps" in config.auto.settings
    return int(usual if chosen else config.evaluation.max_steps)


def evaluate(
    envs: Environments,
    policy: Any,
    episodes: int,
    seed: int,
    deterministic: bool = True,
    poll: Callable[[], None] | None = None,
    max_steps: int | None = None,
    note: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Mean return, standard deviation, 95 % interval, length and success rate over some episodes.

    Args:
        envs: closed by the caller. policy: has `act(obs [N, ...], deterministic, seed)`
            and, with memory, `reset(which)`.
        poll, max_steps: as in `play`.
        note: told in a line that some episodes did not end.
    """
    counter = itertools.count()

    def act(obs: Tensor) -> Tensor:
        return policy.act(obs, deterministic, stream_seed(seed, "evaluation", next(counter)))

    forget = getattr(policy, "reset", None)
    played = play(envs, act, episodes, forget, poll, max_steps)
    returns, endless = played["returns"], int((played["whole"] == 0).sum())
    if endless and note is not None:
        fewer = len(returns) < episodes
        missing = f"; {episodes} were wanted, but their environments play no other" if fewer else ""
        note(
            f"evaluation: {endless} of the {len(returns)} episodes played went on after "
            f"evaluation.max_steps {max_steps:,} and count as they were then{missing}"
        )
    known = played["successes"][np.isfinite(played["successes"])]
    low, high = mean_interval(returns, seed)
    return {
        "mean_return": float(returns.mean()),
        "std_return": float(returns.std()),
        "ci95": [low, high],
        "mean_length": float(played["lengths"].mean()),
        "success_rate": float(known.mean()) if len(known) else None,
        "episodes": len(returns),
    }

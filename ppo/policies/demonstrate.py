"""Playing episodes and keeping every step: for demonstrations and for measuring final errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ppo.config import Config
from ppo.core.errors import UserError
from ppo.envs.base import Environments
from ppo.envs.make import make_environments
from ppo.envs.precision import of_both_halves
from ppo.policies.demonstrations import Demonstrations, write
from ppo.policies.evaluate import on_variant
from ppo.policies.play import longest, shares
from ppo.policies.policy import load_policy, say

PLAYED_ENVS = 64  # at most, whose episodes are recorded
EXPERTS = ("DoubleIntegrator-v0",)
REPORTS_ERROR = ("DoubleIntegrator-v0", "ThreeScales-v0")  # their observations say what is missing


class Recording(NamedTuple):
    """Whole episodes, one after the other."""

    steps: Demonstrations
    components: np.ndarray  # [B, K] rewards
    final_obs: np.ndarray  # [E, D] the states that the episodes truly ended in
    successes: np.ndarray  # [E] 1, 0 or NaN
    env_id: str = ""  # where it is known

    @property
    def final_errors(self) -> np.ndarray:
        """[E] distance from the target; in environments of REPORTS_ERROR alone."""
        return np.hypot(self.final_obs[:, 2], self.final_obs[:, 3])


def record(
    envs: Environments,
    act: Callable[[Tensor], Tensor],
    num_episodes: int,
    forget: Callable[[Tensor | None], None] | None = None,
    max_steps: int | None = None,
) -> Recording:
    """The first episodes of every environment, as `ppo.policies.play.shares` has them.

    Args:
        act: raw observations [N, ...] -> actions in the environment's units.
        forget: as in `ppo.policies.play.play`, for policies with memory.
        max_steps: longest episode that is waited for.

    Raises:
        UserError: observations mix images and numbers, for which files have no form; or an episode
            does not end.
    """
    if envs.layout.is_packed:
        raise UserError("--mode demonstrate: observations of images beside numbers have no file")
    forget = forget or (lambda which: None)
    forget(None)
    each = shares(num_episodes, envs.num_envs)
    obs, columns = envs.reset(), []
    done, lengths = (torch.zeros(envs.num_envs, dtype=torch.long) for _ in range(2))
    while bool((done < each).any()):
        actions = act(obs)
        step = envs.step(actions)
        ended = step.finished
        keep = step.valid.cpu() & (done < each)
        flags = (step.success, keep, step.begins_anew)
        columns.append((obs, actions, step.rewards, ended, step.final_obs, *flags))
        done += ended.cpu()
        obs = step.obs
        forget(step.begins_anew)
        lengths = (lengths + 1).masked_fill(step.begins_anew.cpu(), 0)
        if max_steps is not None and bool(((lengths >= max_steps) & (done < each)).any()):
            raise UserError(
                f"--mode demonstrate: an episode has not ended after evaluation.max_steps "
                f"{max_steps:,}; a demonstration is made of whole episodes"
            )
    # [N, T, ...]: the steps of one environment after each other.
    obs_, actions_, rewards, ended_, final, success, keep_, fresh = (
        torch.stack([row.cpu() for row in column], 1).numpy()
        for column in zip(*columns, strict=True)
    )
    keep_ &= of_whole_episodes(ended_, fresh)
    if envs.layout.precise:
        obs_, final = (of_both_halves(rows, envs.layout) for rows in (obs_, final))
    elif envs.layout.num_mask:
        obs_, final = (rows[..., : envs.layout.num_floats] for rows in (obs_, final))
    ends = ended_[keep_]
    flat_actions = actions_[keep_]
    if flat_actions.dtype.kind != "f" and isinstance(envs.action_space.dtype, np.dtype):
        flat_actions = flat_actions.astype(np.int64)
    steps = Demonstrations(
        obs_[keep_], flat_actions.reshape(len(ends), -1), ends, rewards[keep_].sum(-1)
    )
    return Recording(steps, rewards[keep_], final[keep_][ends], success[keep_][ends])


def of_whole_episodes(ended: np.ndarray, fresh: np.ndarray) -> np.ndarray:
    """[N, T] bool: rows of episodes that ended here, and not of such as a fault cut.

    Args:
        ended: [N, T] bool, the last steps of whole episodes.
        fresh: [N, T] bool, rows after which an episode begins, whatever became of the last.
    """
    whole = np.zeros_like(ended)
    running = np.zeros_like(ended[:, 0])
    for t in reversed(range(ended.shape[1])):
        running = np.where(fresh[:, t], ended[:, t], running)
        whole[:, t] = running
    return whole


def expert_of(config: Config) -> Callable[[Tensor], Tensor]:
    """The best known way to act in an environment.

    Raises:
        UserError: none is known.
    """
    if config.env.id not in EXPERTS:
        raise UserError(
            f"--mode demonstrate: no expert is known for {config.env.id} (known: "
            f"{', '.join(EXPERTS)}); give a trained policy with --run"
        )
    from ppo.envs.native.double_integrator import optimal_control
    from ppo.envs.tasks.double_integrator import MAX_CONTROL

    def act(obs: Tensor) -> Tensor:
        return optimal_control(obs).clamp(-MAX_CONTROL, MAX_CONTROL).float()

    return act


def demonstrate(
    config: Config,
    path: str | Path,
    num_episodes: int,
    run: str | None = None,
    results: Any = None,
    overrides: Sequence[str] = (),
    trust: bool = False,
) -> Recording:
    """Plays episodes and writes them to a file.

    Args:
        run: whose policy acts (its mode), with the settings of that run; None: the expert of the
            environment.
        overrides: KEY=VALUE settings in place of those of `run`.
        trust: import what the run's config.yaml names.
    """
    path = Path(path).absolute()  # before an environment may change the working directory
    if run is None:
        act, env, forget = expert_of(config), config.env, None
        policy, max_steps = None, config.evaluation.max_steps
    else:
        policy = load_policy(run, results, trust=trust)
        on_variant(policy, overrides)
        act, env, forget = policy.act, policy.config.env, policy.reset
        max_steps = longest(policy.config)
    with make_environments(
        env,
        run_seed=config.system.seed,
        device=torch.device("cpu"),
        num_envs=min(num_episodes, PLAYED_ENVS),
    ) as envs:
        for note in policy.check_environments(envs, str(run)) if policy else ():
            say(note)
        recording = record(envs, act, num_episodes, forget, max_steps)._replace(env_id=env.id)
    write(path, recording.steps)
    return recording

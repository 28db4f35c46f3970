"""Laws of an environment: what the trainer needs beside what Gymnasium's own checker asks."""

from __future__ import annotations

import hashlib
from typing import Any

import gymnasium as gym
import torch

from ppo.config import EnvConfig
from ppo.core.errors import EnvironmentFault, UserError
from ppo.envs.look import random_actions
from ppo.envs.make import make_environments

STEPS, ENVS, SEED = 200, 2, 1


def check_environment(env: Any, steps: int = STEPS, **kwargs: Any) -> None:
    """The laws of an environment: it is stepped as in a run, twice from the same seed.

    Args:
        env: what `env.id` takes, or a class.
        steps: of each of two environments.
        kwargs: arguments of its constructor, as in `env.kwargs`.

    Raises:
        UserError: it breaks one, with the line of its code where that is known.
    """
    name = env if isinstance(env, str) else getattr(env, "__name__", repr(env))
    if isinstance(env, str):
        return _check(name, env, steps, kwargs)
    if not (isinstance(env, type) and issubclass(env, gym.Env)):
        raise UserError(f"{name}: must be an id of Gymnasium or a class that derives from gym.Env")
    env_id = f"Checked{name}-v0"
    make: Any = env
    gym.register(env_id, make)
    try:
        _check(name, env_id, steps, kwargs)
    finally:
        del gym.registry[env_id]


def _check(name: str, env_id: str, steps: int, kwargs: dict[str, Any]) -> None:
    config = EnvConfig(id=env_id, num_envs=ENVS, kwargs=kwargs)
    try:
        first, second = (history(config, SEED, steps) for _ in range(2))
    except EnvironmentFault as error:
        raise UserError(str(error).replace(env_id, name)) from error
    except UserError as error:
        raise UserError(*(line.replace(env_id, name) for line in error.messages)) from error
    for step, (one, other) in enumerate(zip(first, second, strict=True)):
        for what, a, b in zip(("observations", "rewards", "ends"), one, other, strict=True):
            if a != b:
                raise UserError(
                    f"{name}: two environments with the same seed and actions give different {what}"
                    f" at step {step}: draw all random numbers from self.np_random, which "
                    "super().reset(seed=seed) seeds; a resumed run would be another one"
                )


def history(config: EnvConfig, seed: int, steps: int, **options: Any) -> list[tuple[str, ...]]:
    """Digests of observations, rewards and ends, at the start and after each random step.

    Args:
        options: of `make_environments`.
    """
    cpu = torch.device("cpu")
    with make_environments(config, run_seed=seed, device=cpu, **options) as envs:
        envs.action_space.seed(seed)
        obs = envs.reset()
        found: list[tuple[str, ...]] = [(_digest(obs), "", "")]
        for _ in range(steps):
            step = envs.step(random_actions(envs, obs))
            obs = step.obs
            seen = obs, step.rewards, step.terminated | step.truncated
            found.append(tuple(map(_digest, seen)))
    return found


def _digest(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()

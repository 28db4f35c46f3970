"""Evaluating and rendering the policy of a run folder."""

from __future__ import annotations

import io
import numbers
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec

from ppo.core.blame import brief, raised
from ppo.core.errors import EnvironmentFault, UserError
from ppo.envs.base import Environments
from ppo.envs.factory import Factory
from ppo.envs.given import Given, read
from ppo.envs.host import masks
from ppo.envs.host.stacking import FrameStack
from ppo.envs.ids import find_spec
from ppo.envs.make import make_environments
from ppo.envs.wrapping import closing, make_single
from ppo.policies.pictures import picture
from ppo.policies.play import EVALUATION_ENVS, longest
from ppo.policies.play import evaluate as play_episodes
from ppo.policies.policy import Policy, load_policy, say
from ppo.runs import files
from ppo.runs.summary import changes_between

MAX_FRAMES = 1000
MODE = "rgb_array"
_OF_THE_POLICY = "belongs to the policy, which is played as it was trained"
# Settings of `env` that change nothing about the environments that a policy is played in.
_KEPT = {
    "env.num_envs": f"an evaluation steps up to {EVALUATION_ENVS} environments, whatever it is",
    "env.reward_scale": "returns are reported unscaled, whatever it is",
    "env.normalize_observations": _OF_THE_POLICY,
    "env.observation_clip": _OF_THE_POLICY,
    "env.observation_scale": _OF_THE_POLICY,
    "env.squash_observations": _OF_THE_POLICY,
    "env.calibration_steps": _OF_THE_POLICY,
}


def evaluate(
    policy: Policy | str | Path,
    env: Any = None,
    episodes: int = 100,
    deterministic: bool = True,
    seed: int = 0,
) -> dict[str, Any]:
    """Plays a policy in fresh environments.

    Args:
        policy: or the path of a run folder.
        env: an environment in any form that `Trainer(..., env=...)` takes, whose observations and
            actions are those that the policy was trained with; None: the policy's own, with its
            arguments.
        episodes: at most 16 environments play them side by side.
        deterministic: the mode of the policy; otherwise its actions are sampled.
        seed: of the episodes and of sampled actions; the same gives the same result.

    Returns:
        mean_return, std_return and ci95, its 95 % interval, in the environment's own units;
        mean_length in steps; success_rate from 0 to 1, None where none is reported; episodes.

    Raises:
        UserError: the policy does not fit the environment, or there is no such environment.
        EnvironmentFault: the environment failed.
    """
    if not isinstance(policy, Policy | str | os.PathLike):
        raise UserError(
            f"evaluate: a {type(policy).__name__} is no policy; give a run folder or a Policy, "
            "such as trainer.policy"
        )
    played = policy if isinstance(policy, Policy) else load_policy(policy)
    return evaluate_policy(played, episodes, seed, deterministic, "the policy", env)


def evaluate_policy(
    policy: Policy,
    episodes: int,
    seed: int,
    deterministic: bool = True,
    name: str = "it",
    env: Any = None,
    envs: Environments | None = None,
) -> dict[str, Any]:
    """`evaluate` on fresh environments of the policy's own configuration.

    Args:
        name: name of its run, for notes on environments that have changed since.
        env: other environments, in any form that `Trainer(..., env=...)` takes.
        envs: these, which stay open.
    """
    check_whole("evaluate: episodes", episodes, 1)
    check_whole("evaluate: seed", seed, 0)
    given = env if env is None or isinstance(env, Given) else read(env)
    fits = (given and given.num_envs) or EVALUATION_ENVS  # of an object that exists once
    count, cpu = min(episodes, EVALUATION_ENVS, fits), torch.device("cpu")
    section = policy.config.env
    if given is not None and given.id != section.id:  # its backend is one of another environment
        section = section.model_copy(update={"backend": "auto"})
    played = envs or make_environments(
        section, run_seed=seed, device=cpu, env=given, num_envs=count
    )
    played.run_seed = seed
    try:
        for note in policy.check_environments(played, name):
            say(note)
        limit = longest(policy.config)
        return play_episodes(
            played, policy, episodes, seed, deterministic, max_steps=limit, note=say
        )
    finally:
        if envs is None:
            played.close()


def check_whole(name: str, value: Any, least: int, most: int | None = None) -> None:
    """
    Raises:
        UserError: it is no whole number from `least` to `most` (None: there is no most).
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        end = "or more" if most is None else f"to {most}"
        raise UserError(f"{name}: {brief(value)}; allowed: a whole number, {least} {end}")


def on_variant(policy: Policy, overrides: Sequence[str]) -> list[str]:
    """Lets `policy` play in its environments with other `env.*` settings; the changes in words.

    Args:
        overrides: env.KEY=VALUE, as `--set` takes them.

    Raises:
        UserError: a setting is not valid, or changes nothing about the environments played in.
    """
    kept = [(text, _KEPT.get(text.partition("=")[0].strip())) for text in overrides]
    if any(reason for _, reason in kept):
        raise UserError(*(f"--set {text}: {reason}" for text, reason in kept if reason))
    trained = policy.config
    policy.config = trained.with_overrides(overrides)
    return changes_between(trained.to_dict(), policy.config.to_dict())


def render(policy: Policy, path: Path, seed: int, source: Any = None) -> Path:
    """One episode of a policy as an animated GIF.

    Args:
        path: its folder is made where it is not there.
        source: what makes one environment, a registration or a factory; None: the policy's own.

    Raises:
        UserError: the environment cannot draw, or a package that it draws with is missing.
        EnvironmentFault: it failed while it played.
    """
    from PIL import Image

    env = _drawing(policy, source)
    with closing(env):
        frames = _frames(env, policy, seed)
        told = (env.metadata or {}).get("render_fps")
        duration = 1000 / (told if isinstance(told, int | float) and told > 0 else 30)
    images = [Image.fromarray(frame) for frame in frames]
    file = io.BytesIO()
    images[0].save(file, "GIF", save_all=True, append_images=images[1:], duration=duration, loop=0)
    path.parent.mkdir(exist_ok=True)
    files.atomic_write(path, file.getvalue())
    return path


def refuse_undrawn(policy: Policy) -> None:
    """
    Raises:
        UserError: the policy's own environment cannot draw.
        EnvironmentFault: it failed when it was to.
    """
    name = policy.config.env.id
    with closing(_drawing(policy)) as env:
        _asked(name, "reset", env.reset, seed=0)
        _drawn(name, env)


def _drawing(policy: Policy, source: Any = None) -> gym.Env:
    """One environment that draws.

    Raises:
        UserError: it cannot be made, or declares no pictures and has no method to draw them.
    """
    settings = policy.config.env
    try:
        source = find_spec(settings.id) if source is None else source
        if not isinstance(source, EnvSpec | Factory) or getattr(source, "makes_all", False):
            raise UserError(f"env: {settings.id} steps many environments at once")
        env = make_single(settings, source, render_mode=MODE)
    except UserError as error:
        made = _made_without(settings, source) if "render_mode" in str(error) else None
        if made is None or made.render_mode != MODE:
            blind = made is not None and MODE not in (made.metadata or {}).get("render_modes", ())
            if made is not None:
                with closing(made):
                    pass
            why = _declares_none(settings.id) if blind else UserError(f"--render: {error}")
            raise why from error
        env = made  # a factory's own choice
    if type(env.unwrapped).render is gym.Env.render:
        with closing(env):
            raise _declares_none(settings.id)
    return FrameStack(env, settings.frame_stack) if settings.frame_stack > 1 else env


def _made_without(settings: Any, source: Any) -> gym.Env | None:
    """An environment whose factory takes no `render_mode`; None where there is none either."""
    try:
        return make_single(settings, source)
    except UserError:
        return None


def _declares_none(env_id: str) -> UserError:
    return UserError(
        f"--render: {env_id} declares no render mode {MODE}, so there is nothing to draw; give its "
        f"class metadata['render_modes'], an argument render_mode and a method render()"
    )


def _frames(env: gym.Env, policy: Policy, seed: int) -> list[np.ndarray]:
    """[H, W, 3] uint8 of every step of an episode, up to MAX_FRAMES."""
    name, masked = policy.config.env.id, bool(policy.agent.layout.num_mask)
    observation, info = _asked(name, "reset", env.reset, seed=seed)
    policy.reset()
    source = masks.find_source(env, info, "auto" if masked else "never", name)
    frames: list[np.ndarray] = []
    ended = False
    while not ended and len(frames) < MAX_FRAMES:
        frames.append(_drawn(name, env))
        args = env, observation, info, source
        mask = _asked(name, masks.METHOD, masks.read, *args) if masked else None
        try:
            action = policy.predict(observation, action_mask=mask)
        except ValueError as error:
            raise UserError(
                f"--render: {name}: one environment alone shows other observations than those that "
                f"the policy was trained on ({error})"
            ) from None
        observation, _, terminated, truncated, info = _asked(name, "step", env.step, action)
        ended = terminated or truncated
    return frames


def _drawn(name: str, env: gym.Env) -> np.ndarray:
    """[H, W, 3] uint8 of the environment as it stands."""
    found = _asked(name, "render", env.render)
    try:
        return picture(found)
    except ValueError as error:
        raise UserError(f"--render: {name} cannot draw itself: {error}") from None


def _asked(name: str, what: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What the environment answers.

    Raises:
        UserError: a package that it draws with is missing.
        EnvironmentFault: it raised an exception; with its place.
    """
    try:
        return method(*args, **kwargs)
    except gym.error.DependencyNotInstalled as error:
        raise UserError(f"--render: {str(error).splitlines()[0]}") from None
    except masks.Raised as error:
        raise EnvironmentFault(f"--render: {name}: {what} {raised(error.inner)}") from error
    except (Exception, SystemExit) as error:
        raise EnvironmentFault(f"--render: {name}: {what} {raised(error)}") from error

"""Evaluating and rendering the policy of a run folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from ppo.core.errors import UserError
from ppo.envs.host import masks
from ppo.envs.host.stacking import FrameStack
from ppo.policies.play import evaluate
from ppo.policies.policy import Policy, load_policy
from ppo.runs.folder import RunFolder

EVALUATION_ENVS = 16
MAX_FRAMES = 1000


def evaluate_run(
    run: str,
    results: Path,
    episodes: int,
    seed: int,
    deterministic: bool = True,
    which: str = "best",
) -> dict[str, Any]:
    """`evaluate` of a run's policy on fresh environments of its configuration."""
    folder = RunFolder.open(results, run)
    policy = load_policy(folder.path, results, which)
    return evaluate_policy(policy, episodes, seed, deterministic, folder.name)


def evaluate_policy(
    policy: Policy, episodes: int, seed: int, deterministic: bool = True, name: str = "it"
) -> dict[str, Any]:
    """`evaluate` on fresh environments of the policy's own configuration.

    Args:
        name: of its run, where the environments are no longer those that it was trained in.
    """
    from ppo.envs.make import make_environments

    count = min(episodes, EVALUATION_ENVS)
    envs = make_environments(
        policy.config.env, run_seed=seed, device=torch.device("cpu"), num_envs=count
    )
    try:
        for note in policy.check_environments(envs, name):
            print(f"note: {note}", file=sys.stderr)
        return evaluate(envs, policy, episodes, seed, deterministic)
    finally:
        envs.close()


def render_run(run: str, results: Path, seed: int, which: str = "best") -> Path:
    """One episode as an animated GIF in the run's videos folder.

    Raises:
        UserError: the environment cannot draw, or a package that it draws with is missing.
    """
    from PIL import Image

    folder = RunFolder.open(results, run).path
    policy = load_policy(folder, results, which)
    settings = policy.config.env
    try:
        env = gym.make(settings.id, render_mode="rgb_array", **settings.kwargs)
        if settings.frame_stack > 1:
            env = FrameStack(env, settings.frame_stack)
        frames = _frames(env, policy, seed)
    except gym.error.DependencyNotInstalled as error:
        raise UserError(f"--render: {str(error).splitlines()[0]}") from None
    except (TypeError, AttributeError, gym.error.Error) as error:
        raise UserError(f"--render: {settings.id} cannot draw itself ({error})") from None
    except ValueError as error:
        raise UserError(
            f"--render: {settings.id}: one environment alone shows other observations than those "
            f"that the policy was trained on ({error})"
        ) from None
    path = folder / "videos" / f"episode_{seed}.gif"
    path.parent.mkdir(exist_ok=True)
    images = [Image.fromarray(frame) for frame in frames]
    duration = 1000 / (env.metadata.get("render_fps") or 30)
    images[0].save(path, save_all=True, append_images=images[1:], duration=duration, loop=0)
    return path


def _frames(env: gym.Env, policy: Any, seed: int) -> list[np.ndarray]:
    observation, info = env.reset(seed=seed)
    policy.reset()
    masked = bool(policy.agent.layout.num_mask)
    source = masks.find_source(env, info, "auto" if masked else "never", policy.config.env.id)
    frames: list[np.ndarray] = []
    ended = False
    while not ended and len(frames) < MAX_FRAMES:
        frame = env.render()
        if not isinstance(frame, np.ndarray):
            raise TypeError("no rgb_array rendering")
        frames.append(frame)
        mask = masks.read(env, observation, info, source) if masked else None
        action = policy.predict(observation, action_mask=mask)
        observation, _, terminated, truncated, info = env.step(action)
        ended = terminated or truncated
    env.close()
    return frames

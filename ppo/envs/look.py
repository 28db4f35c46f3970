"""What is known of an environment before it is trained in, and what a look at it shows.

The same for the same seed on every machine and backend: no time, core or device is asked, and no
reward is looked at, so that no scale of rewards can matter.
"""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from ppo.config import Config, EnvConfig
from ppo.core.layout import Layout
from ppo.envs.actions import ActionDecoder
from ppo.envs.base import Environments
from ppo.envs.factory import Factory, Once
from ppo.envs.given import Given, is_simulator, read, saves_state
from ppo.envs.host import masks
from ppo.envs.make import choose_backend, make_environments
from ppo.envs.observations import ObservationEncoder, layout_of, without_text
from ppo.envs.vector_make import is_open
from ppo.envs.wrapping import closing, make_single

STEPS, SHARE = 2000, 50  # of the look: at most so many, and one in so many of the run
EPISODES = 20  # enough for a mean


class Facts(NamedTuple):
    """What choices may depend on, beside the settings.

    Attributes:
        parallel: made to be stepped many at once, such as a simulator in tensors, so that many
            cost little more than one.
        action_entries: of a continuous action; 0: actions are choices; None: nobody asked.
        steps: of the look; 0: there was none.
        lengths: of the episodes that ended in it.
        image_side: pixels, the shortest side of its images; 0: it shows none, or nobody asked.
        begins_anew: its state cannot be saved, so that episodes begin anew at each checkpoint.
    """

    parallel: bool
    action_entries: int | None = None
    steps: int = 0
    lengths: tuple[int, ...] = ()
    image_side: int = 0
    begins_anew: bool = False

    @property
    def mean_length(self) -> float | None:
        """Mean length of the look's episodes; None where none ended."""
        return sum(self.lengths) / len(self.lengths) if self.lengths else None


def facts_of(config: Config, env: Given | None, plays: bool) -> Facts:
    """
    Args:
        env: the environment where it was given as an object; None: that of `env.id`.
        plays: look at it. An object that exists once is not played in.

    Raises:
        UserError: the environment cannot be made.
    """
    given = read(config.env.id) if env is None else env
    if given.is_once:  # its number of environments says what it is made for
        actions, shown = (_space_of(given.source, name) for name in ("action", "observation"))
        side, anew = _side(layout_of(shown)), _begins_anew(given.source)
        return Facts(False, _entries(actions), image_side=side, begins_anew=anew)
    usual = config.env.model_copy(update={"backend": "auto"})
    parallel = choose_backend(usual, given.source) in ("torch", "own")
    section, seed = config.env, config.system.seed
    steps = min(STEPS, config.train.total_timesteps // SHARE) if plays else 0
    if parallel and not steps:
        return Facts(parallel)
    if section.backend == "async" and not steps:  # no process, and no step that might hang
        return _of_spaces(section, given)
    cpu = torch.device("cpu")
    with (
        contextlib.chdir("."),  # the run stays where it was started, wherever the environment goes
        make_environments(section, run_seed=seed, device=cpu, env=given, num_envs=1) as envs,
    ):
        found = _play(envs, seed, steps) if steps else (0, ())
        anew = envs.restore_level == "boundary"
        return Facts(parallel, _entries(envs.action_space), *found, _side(envs.layout), anew)


def _of_spaces(section: EnvConfig, given: Given) -> Facts:
    """What the spaces say of an environment that is made and not played in."""
    with (
        contextlib.chdir("."),
        closing(make_single(section, given.source)) as env,
    ):
        shown = ObservationEncoder(without_text(env.observation_space), given.id).layout
        ActionDecoder(env.action_space, given.id)  # refuses what cannot be acted in
        return Facts(False, _entries(env.action_space), image_side=_side(shown))


def _begins_anew(source: Any) -> bool:
    """Of an object that exists once: `Facts.begins_anew`."""
    if is_simulator(source):
        return not saves_state(source)
    return isinstance(source, gym.vector.VectorEnv) and not is_open(source)


def _space_of(source: Any, name: str) -> Any:
    """The space of a single environment: of an object, or of a factory's one instance."""
    owner: Any = source
    if isinstance(source, Factory) and isinstance(source.call, Once):
        owner = source.call.env
    return getattr(owner, f"single_{name}_space", None) or getattr(owner, f"{name}_space")


def _side(layout: Layout) -> int:
    sides = [side for image in layout.images for side in image.height_and_width]
    return min(sides, default=0)


def _entries(space: Any) -> int:
    return int(np.prod(space.shape)) if isinstance(space, gym.spaces.Box) else 0


def _play(envs: Environments, seed: int, most: int) -> tuple[int, tuple[int, ...]]:
    """Steps of random actions, and the lengths of the episodes that ended."""
    envs.action_space.seed(seed)
    obs, begun, lengths = envs.reset(), 0, []
    for played in range(1, most + 1):
        step = envs.step(random_actions(envs, obs))
        obs = step.obs
        if bool(step.finished[0]):
            lengths.append(played - begun)
        if bool(step.begins_anew[0]):
            begun = played
        if len(lengths) == EPISODES:
            return played, tuple(lengths)
    return most, tuple(lengths)


def random_actions(envs: Environments, obs: Tensor) -> Tensor:
    """Drawn from the action space, none that a mask rules out; [N, ...]."""
    space, layout = envs.action_space, envs.layout
    if not layout.num_mask:
        return torch.as_tensor(np.stack([space.sample() for _ in range(envs.num_envs)]))
    valid = obs[:, layout.mask_start : layout.mask_start + layout.num_mask].numpy() != 0
    return torch.as_tensor(np.stack([masks.sample(space, row) for row in valid]))

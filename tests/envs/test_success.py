"""What environments say of success at the end of an episode."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

from ppo.config import Config
from ppo.core.errors import UserError
from ppo.envs.given import read
from ppo.envs.host.checks import success
from ppo.envs.make import make_environments


def where() -> str:
    return "environment 3"


@pytest.mark.parametrize(
    ("given", "known"),
    [
        (True, 1.0), (np.False_, 0.0), (1, 1.0), (0.0, 0.0), (np.float32(0.5), 0.5),
        (torch.tensor([True]), 1.0), (np.zeros((1, 1)), 0.0),
    ],
)  # fmt: skip
def test_shares_and_arrays_of_one_entry_pass(given: Any, known: float) -> None:
    assert success(where, given) == known


@pytest.mark.parametrize("given", [None, math.nan, np.float64("nan"), torch.tensor(math.nan)])
def test_what_is_not_known_is_no_success(given: Any) -> None:
    assert math.isnan(success(where, given))


@pytest.mark.parametrize("given", ["no", [], {}, np.ones(2), 2, -0.5, torch.tensor(1.5)])
def test_what_is_neither_is_refused(given: Any) -> None:
    with pytest.raises(UserError, match=r"environment 3: info\['is_success'\] must be True, False"):
        success(where, given)


class Half(gym.Env):
    """Episodes of one step, each half a success."""

    observation_space, action_space = spaces.Box(-1, 1, (2,)), spaces.Discrete(2)

    def __init__(self, share: Any = 0.5) -> None:
        self.share = share

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        return np.zeros(2, np.float32), 1.0, True, False, {"is_success": self.share}


def played(env: Any) -> list[float]:
    section = Config.load(None, ["env.num_envs=2"]).env
    with make_environments(
        section, run_seed=1, device=torch.device("cpu"), num_envs=2, env=read(env)
    ) as envs:
        envs.reset()
        return envs.step(torch.zeros(2, dtype=torch.int64)).success.tolist()


@pytest.mark.parametrize("form", [Half, SyncVectorEnv([Half, Half])])
def test_half_a_success_is_half_a_success_in_every_form(form: Any) -> None:
    assert played(form) == [0.5, 0.5]


@pytest.mark.parametrize(("shares", "number"), [((0.5, 2), 1), (("yes", "no"), 0)])
def test_a_vector_environment_is_refused_in_the_same_words(shares: Any, number: int) -> None:
    given = SyncVectorEnv([lambda: Half(shares[0]), lambda: Half(shares[1])])
    with pytest.raises(UserError, match=rf"environment {number} .*info\['is_success'\] must be"):
        played(given)

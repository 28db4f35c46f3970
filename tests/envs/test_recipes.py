"""The recipes of docs/environments.md, each against a stand-in with the interface of its source."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import stand_ins
import torch
from env_tools import HOST

from ppo.config import EnvConfig
from ppo.envs import make_environments

PAGE = (Path(__file__).parents[2] / "docs" / "environments.md").read_text()
CODE = {
    re.search(r"^class (\w+)", text, re.MULTILINE)[1]: text  # type: ignore[index]
    for text in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
}
N = 4


def recipe(name: str) -> Any:
    scope: dict[str, Any] = {"__name__": "recipes"}
    exec(CODE[name], scope)
    return scope[name]


def test_every_recipe_is_short():
    assert set(CODE) == {"IsaacLab", "Mjlab", "ManiSkill", "Genesis", "Playground"}
    for text in CODE.values():
        assert len([line for line in text.splitlines() if line.strip()]) <= 30


@pytest.mark.parametrize(
    ("name", "stand_in"),
    [
        ("IsaacLab", stand_ins.Isaac),
        ("Mjlab", stand_ins.Mjlab),
        ("ManiSkill", stand_ins.ManiSkill),
        ("Genesis", stand_ins.Go2),
    ],
)
def test_a_recipe_gives_the_steps_of_its_simulator(name, stand_in):
    env = recipe(name)(stand_in(N))
    with make_environments(EnvConfig(), env=env, run_seed=1, device=HOST) as envs:
        assert envs.num_envs == N and envs.backend == "simulator"
        before = envs.reset()
        assert before.tolist() == [[0, 0]] * N
        ends = []
        for _ in range(12):
            step = envs.step(torch.zeros(N, 1))
            ended = step.terminated | step.truncated
            goes_on = before + 1
            reached = before if name == "Genesis" else goes_on
            assert torch.equal(step.final_obs[ended], reached[ended])
            assert torch.equal(step.obs, torch.where(ended[:, None], 0.0, goes_on))
            assert step.rewards.tolist() == [[1]] * N
            assert not step.truncated[1::2].any() and not step.terminated[::2].any()
            if name == "ManiSkill":
                assert torch.equal(step.success[ended] == 1, step.terminated[ended])
            ends.append(ended.tolist())
            before = step.obs
        assert [sum(column) for column in zip(*ends, strict=True)] == [4, 3, 4, 3]
        assert envs.drain_events() == []


@pytest.mark.slow
def test_the_recipe_of_playground(monkeypatch):
    """The stand-in: a State with `data` in place of Brax's `pipeline_state`."""
    pytest.importorskip("brax")
    import jax
    from flax import struct
    from jax import numpy as jnp

    @struct.dataclass
    class State:
        data: Any
        obs: Any
        reward: Any
        done: Any
        metrics: dict
        info: dict

    class Balance:
        observation_size, action_size = 2, 1

        def reset(self, key):
            place = jax.random.uniform(key)
            zero = jnp.zeros(())
            return State(place, jnp.stack([place, place]), zero, zero, {}, {})

        def step(self, state, action):
            place = state.data + 1 + action[0]
            done = jnp.where(place > 4, 1.0, 0.0)
            return state.replace(data=place, obs=jnp.stack([place, place]), reward=place, done=done)

    stand_in = SimpleNamespace(registry=SimpleNamespace(load=lambda env_id: Balance()))
    monkeypatch.setitem(sys.modules, "mujoco_playground", stand_in)
    factory = recipe("Playground")
    config = EnvConfig(kwargs={"env_id": "Balance", "episode_length": 3}, id="recipes:Playground")
    with make_environments(
        config, env=lambda num_envs: factory(num_envs=num_envs, **config.kwargs), run_seed=1,
        device=HOST, num_envs=N,
    ) as envs:  # fmt: skip
        first = envs.reset()
        steps = [envs.step(torch.zeros(N, 1)) for _ in range(3)]
    assert steps[2].truncated.all() and torch.equal(steps[2].obs, first)
    assert torch.allclose(steps[2].final_obs, first + 3)

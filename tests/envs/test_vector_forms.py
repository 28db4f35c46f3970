"""Episodes of a vector environment are what they are, in whatever form they are told."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from hypothesis import given
from hypothesis import settings as tried
from hypothesis import strategies as st

from ppo.envs.host.slot import Task
from ppo.envs.vector import VectorEnvironments


def told(draw) -> dict[str, Any]:
    """What a vector environment is, and how it tells it."""
    lengths = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    mode = draw(st.sampled_from([AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP]))
    return {
        "lengths": lengths,
        "cut": draw(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths))),
        "mode": mode,
        "declared": draw(st.sampled_from([mode, mode.value, mode.name.lower(), None, "next_step"])),
        "key": draw(st.sampled_from(["final_obs", "final_observation"])),
        "objects": draw(st.booleans()),  # as before Gymnasium 1.0: an observation, or None
        "columns": draw(st.tuples(st.booleans(), st.booleans(), st.booleans())),
        "rewards": draw(st.sampled_from([np.float64, np.float32, np.int64, np.float16])),
        "entries": draw(st.sampled_from([(), (1,), (2, 2)])),
        "named": draw(st.booleans()),
    }


class Told(VectorEnv):
    """Observes the steps of its episode, and is rewarded by them; env n takes lengths[n] steps."""

    def __init__(self, what: dict[str, Any]) -> None:
        self.what, self.num_envs = what, len(what["lengths"])
        box = spaces.Box(0, 99, what["entries"], np.float32)
        self.single_observation_space = spaces.Dict(steps=box) if what["named"] else box
        self.single_action_space = spaces.Discrete(2)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        declared = what["declared"]
        self.metadata = {} if declared is None else {"autoreset_mode": declared}

    def _show(self) -> Any:
        shown = np.stack([np.full(self.what["entries"], n, np.float32) for n in self.count])
        return {"steps": shown} if self.what["named"] else shown

    def _of_each(self, shown: Any) -> np.ndarray:
        """None where no episode ended."""
        each = np.full(self.num_envs, None, object)
        for env in np.flatnonzero(self.over):
            each[env] = {"steps": shown["steps"][env]} if self.what["named"] else shown[env]
        return each

    def reset(self, *, seed=None, options=None):
        self.count, self.over = np.zeros(self.num_envs), np.zeros(self.num_envs, bool)
        return self._show(), {}

    def step(self, actions):
        what, infos = self.what, {}
        dummy = self.over & (what["mode"] == AutoresetMode.NEXT_STEP)
        self.count = np.where(dummy, 0, self.count + 1)
        self.over = self.count >= what["lengths"]
        rewards = np.where(dummy, 77, self.count).astype(what["rewards"])
        flags = [self.over & ~np.array(what["cut"]), self.over & np.array(what["cut"])]
        if what["mode"] == AutoresetMode.SAME_STEP and self.over.any():
            reached = self._show()
            infos[what["key"]] = self._of_each(reached) if what["objects"] else reached
            infos["_" + what["key"]] = self.over
            self.count = np.where(self.over, 0, self.count)
        parts = zip([rewards, *flags], what["columns"], strict=True)
        found = [part[:, None] if column else part for part, column in parts]
        return self._show(), *found, infos


@tried(max_examples=80, deadline=None)
@given(st.data())
def test_episodes_are_what_they_are_however_they_are_told(data):
    what = told(data.draw)
    envs = VectorEnvironments(Told(what), "Told", Task({}, 0), 0)
    obs = envs.reset()
    assert (obs == 0).all()
    for env, (length, cut) in enumerate(zip(what["lengths"], what["cut"], strict=True)):
        seen = []
        obs = envs.reset()
        for _ in range(12):
            before, step = obs[env], envs.step(torch.zeros(envs.num_envs, dtype=torch.int64))
            obs = step.obs
            assert step.uneventful == bool(step.valid.all() and not step.begins_anew.any())
            if step.valid[env]:
                row = [before, step.final_obs[env], step.rewards[env]]
                ends = [bool(step.terminated[env]), bool(step.truncated[env])]
                seen.append([int(x.flatten()[0]) for x in row] + ends)
                assert all((x == x.flatten()[0]).all() for x in row)
            else:
                assert step.rewards[env] == 0 and not step.terminated[env] | step.truncated[env]
        steps = 12 if what["mode"] == AutoresetMode.SAME_STEP else 12 - 12 // (length + 1)
        want = [[i % length, i % length + 1, i % length + 1] for i in range(steps)]
        ends = [(i + 1) % length == 0 for i in range(steps)]
        assert seen == [w + [e and not cut, e and cut] for w, e in zip(want, ends, strict=True)]

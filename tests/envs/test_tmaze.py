"""The T-maze: its cue is shown once, its junction decides, its limit is four times its length."""

from __future__ import annotations

import pytest

from ppo.envs.tasks.tmaze import FORWARD, LEFT, RIGHT, WASTED, TMazeEnv


@pytest.mark.parametrize("wrong", [False, True])
def test_the_cue_says_where_to_turn(wrong):
    env, sides = TMazeEnv(3), set()
    for seed in range(20):
        obs, _ = env.reset(seed=seed)
        side = LEFT if obs[0] == -1.0 else RIGHT
        sides.add(side)
        assert obs.tolist() == [-1.0 if side == LEFT else 1.0, 0.0, 1.0, 1.0]
        for at in range(1, 4):
            obs, reward, *ends, info = env.step(FORWARD)
            assert obs.tolist() == [0.0, float(at == 3), 0.0, 1.0]
            assert (reward, ends, info) == (0.0, [False, False], {})
        turn = LEFT + RIGHT - side if wrong else side
        _, reward, *ends, info = env.step(turn)
        assert (reward, ends) == (-1.0 if wrong else 1.0, [True, False])
        assert info == {"is_success": not wrong}
    assert sides == {LEFT, RIGHT}


@pytest.mark.parametrize("length", [1, 3])
def test_steps_that_lead_nowhere_are_wasted_until_the_limit(length):
    env = TMazeEnv(length)
    env.reset(seed=0)
    for step in range(1, 4 * length + 1):
        obs, reward, ended, cut, info = env.step(LEFT)
        assert (reward, ended, cut) == (WASTED, False, step == 4 * length)
        assert obs.tolist() == [0.0, 0.0, 1.0, 1.0]
        assert info == ({"is_success": False} if cut else {})


def test_a_corridor_without_a_step_is_refused():
    with pytest.raises(TypeError, match="at least 1 step"):
        TMazeEnv(0)

"""What players keep of the steps in which a time limit cut an episode."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from ppo.algorithm.rollout.players import NativePlayer, every_state


def test_on_a_cpu_the_states_that_were_cut_off_are_kept_and_no_others():
    truncated = torch.tensor([[False, True, False], [True, False, False]])
    reached = torch.arange(12.0).reshape(2, 3, 2)
    player = SimpleNamespace(envs=SimpleNamespace(truncates=True))
    steps, envs, kept = NativePlayer._cut(player, truncated, reached)
    assert (steps.tolist(), envs.tolist()) == ([0, 1], [1, 0])
    assert kept.tolist() == [[2.0, 3.0], [6.0, 7.0]]
    assert NativePlayer._cut(player, truncated & False, reached) is None
    player.envs.truncates = False
    assert NativePlayer._cut(player, truncated, reached) is None


def test_on_a_device_every_state_is_kept_at_its_place():
    reached = torch.arange(12.0).reshape(2, 3, 2)
    steps, envs, kept = every_state(reached)
    assert torch.equal(reached[steps, envs], kept) and len(kept) == 6

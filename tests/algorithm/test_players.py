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


def pieces(num_steps, period, loops=True, may_end=lambda ahead: True):
    envs = SimpleNamespace(env=SimpleNamespace(fixed_length=period), may_end=may_end)
    player = SimpleNamespace(envs=envs, loops=loops, CHUNK=NativePlayer.CHUNK)
    found = NativePlayer._pieces(player, torch.arange(num_steps))
    assert torch.equal(torch.cat([rows for rows, _ in found]), torch.arange(num_steps))
    return [(len(rows), flags) for rows, flags in found]


def test_steps_before_the_end_of_episodes_of_one_length_are_a_loop_of_their_own():
    assert pieces(8, 4) == [(3, (False,)), (1, (True,))] * 2
    assert pieces(3, 1) == [(1, (True,))] * 3
    for num_steps, period, may_end in ((9, 4, True), (8, None, True), (8, 4, False)):
        assert pieces(num_steps, period, may_end=lambda _, ends=may_end: ends) == [
            (num_steps, (True,))
        ]


def test_without_loops_steps_come_in_chunks_of_one_size():
    ends = [False, False, False, True]
    assert (
        pieces(40, 4, loops=False, may_end=lambda ahead: ends[ahead % 4]) == [(4, tuple(ends))] * 10
    )


def test_chunks_of_rollouts_that_are_no_whole_episodes_are_all_alike():
    """Else each batch would have graphs of its own."""
    for period, may_end in ((3, lambda ahead: ahead % 3 == 2), (4, lambda ahead: ahead % 4 == 1)):
        assert set(pieces(40, period, loops=False, may_end=may_end)) == {(8, (True,) * 8)}

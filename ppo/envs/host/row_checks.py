"""Checks of all environments at once; those of rows cost far less than one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ppo.core.errors import UserError
from ppo.envs.changed import refuse_unlike
from ppo.envs.factory import factory_of
from ppo.envs.host.rows import Rows
from ppo.envs.host.slot import Slot
from ppo.envs.observations import without_text


def all_finite(numbers: np.ndarray) -> bool:
    """Whether every entry is: a finite sum, which is had sooner, has finite terms alone.

    The sum may overflow, so numpy must not warn of that.
    """
    return math.isfinite(np.add.reduce(numbers, axis=None)) or bool(np.isfinite(numbers).all())


def check_slots(slots: Sequence[Slot]) -> None:
    """
    Raises:
        UserError: two of them hold the same environment, or environments of unlike spaces.
    """
    first, *others = slots
    if len({id(slot.env.unwrapped) for slot in slots}) < len(slots):
        raise UserError(
            f"env.id: {first.spec.id} gives one and the same instance again; a factory must make a "
            f"new one in every call, {factory_of(first.env)}"
        )
    spaces, *unlike = [
        (without_text(slot.env.observation_space), slot.env.action_space) for slot in slots
    ]
    for slot, found in zip(others, unlike, strict=True):
        refuse_unlike(first.spec.id, spaces, found, (first.index, slot.index))


def first_outside(
    slots: Sequence[Slot], obs: np.ndarray, bounds: tuple[np.ndarray, np.ndarray]
) -> str | None:
    """The first entry of observations [N, D] outside their space, in words; None: all are in."""
    low, high = bounds
    outside = (obs < low) | (obs > high)
    if not outside.any():
        return None
    row, entry = (int(i) for i in np.argwhere(outside)[0])
    slot = slots[row]
    space: Any = slot.env.observation_space
    declared = f"[{space.low.reshape(-1)[entry]:g}, {space.high.reshape(-1)[entry]:g}]"
    return (
        f"environment {slot.index} ({slot.spec.id}) left its observation space: entry {entry} "
        f"was {obs[row, entry]:g}, declared {declared}"
    )


def check_sums(slots: Sequence[Slot], names: Sequence[str], rows: Rows) -> None:
    """Raises a UserError where the reward components of a step do not sum to its reward."""
    gap = np.abs(rows.rewards.sum(axis=1, dtype=np.float64) - rows.totals)
    allowed = 1e-4 * (np.abs(rows.rewards).sum(axis=1) + np.abs(rows.totals))
    wrong = np.flatnonzero((gap > allowed) & rows.valid)
    if wrong.size:
        row = int(wrong[0])
        parts = dict(zip(names, rows.rewards[row].tolist(), strict=True))
        raise UserError(
            f"env.id: {slots[row].spec.id}: info['reward_components'] must sum to the reward, but "
            f"environment {slots[row].index} gave {parts} and the reward {rows.totals[row]:g}"
        )

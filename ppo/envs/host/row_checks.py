"""Checks of the rows of all environments at once, which cost far less than one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ppo.core.errors import UserError
from ppo.envs.host.slot import Slot
from ppo.envs.workers.rows import Rows


def all_finite(numbers: np.ndarray) -> bool:
    """Whether every entry is: a finite sum, which is had sooner, has finite terms alone.

    The sum may overflow, so numpy must not warn of that.
    """
    return math.isfinite(np.add.reduce(numbers, axis=None)) or bool(np.isfinite(numbers).all())


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

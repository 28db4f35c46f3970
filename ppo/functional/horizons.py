"""The future of each step within its rollout, masked at episode ends."""

from __future__ import annotations

import torch
from torch import Tensor

from ppo.functional.returns import linear_recurrence


def until_end(ended: Tensor) -> tuple[Tensor, Tensor]:
    """Steps from each step to the end of its episode (1 at the last one), and where it is known.

    Args:
        ended: [T, N] bool.

    Returns:
        steps [T, N] float, known [T, N] bool: the episode ends within the rollout.
    """
    goes_on = (~ended).flip(0).float()
    steps = linear_recurrence(torch.ones_like(goes_on), goes_on).flip(0)
    known = linear_recurrence(ended.flip(0).float(), goes_on).flip(0)
    return steps, known > 0.5


def at_end(values: Tensor, ended: Tensor) -> Tensor:
    """The value that each step's episode has at its last step, [T, N]; 0 where not known."""
    here = torch.where(ended, values, torch.zeros_like(values))
    return linear_recurrence(here.flip(0), (~ended).flip(0).float()).flip(0)


def windows(rows: Tensor, horizon: int) -> Tensor:
    """The next `horizon` rows after each, [T, N, H, ...]; zeros beyond the rollout.

    Row h of step t is `rows[t + 1 + h]`.
    """
    padded = torch.cat([rows, torch.zeros_like(rows[:1]).expand(horizon, *rows.shape[1:])])
    length = rows.shape[0]
    return torch.stack([padded[1 + h : 1 + h + length] for h in range(horizon)], 2)


def window_mask(ended: Tensor, horizon: int) -> Tensor:
    """[T, N, H] bool: row h of `windows` belongs to the same episode and lies in the rollout."""
    length = ended.shape[0]
    # Nothing follows the last row, as nothing follows the end of an episode.
    padded = torch.cat([ended[:-1], torch.ones_like(ended[:1]).expand(horizon, -1)])
    ends = torch.stack([padded[h : h + length] for h in range(horizon)], -1)
    return ends.cumsum(-1) == 0

"""The unit of the value loss, in words, and settings that do not do what they look like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ppo.config.consistency import BINNED_LOSSES, LOGARITHMIC

if TYPE_CHECKING:
    from ppo.config.learning import PPOConfig

REWARDS = "squared rewards"
WIDEST = 2.0  # share of the old value; a relative clip beyond it holds nothing back


def value_loss_unit(ppo: PPOConfig) -> str:
    """What the value loss is measured in, for each reward component."""
    if ":" in ppo.value_loss:
        return f"the unit of {ppo.value_loss}"
    if ppo.value_loss in BINNED_LOSSES:
        return "nats of the bins' cross-entropy"
    if not ppo.normalize_returns:
        return REWARDS
    if ppo.return_normalizer in LOGARITHMIC:
        return "squared logarithms of rewards"
    if ppo.value_loss_unit == "network":
        return f"variances of its targets x {ppo.return_scale**2:g}"
    return "variances of its targets"


def warnings(ppo: PPOConfig) -> list[str]:
    """A line for each valid setting that does nothing of what its name promises."""
    width = ppo.value_clip_epsilon
    if ppo.value_clip_kind != "relative" or width <= WIDEST:
        return []
    return [
        f"warning: ppo.value_clip_epsilon {width:g} with ppo.use_relative_value_clip is +-"
        f"{100 * width:,.0f} % of the old value, which holds nothing back; write "
        "ppo.value_clip_epsilon=0.2, or ppo.use_relative_value_clip=false for an absolute clip"
    ]

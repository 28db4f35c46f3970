"""Prediction x Batch -> a named loss, and what is done to advantages before it."""

from ppo.core.registry import Registry

REGISTRY = Registry("ppo.losses", "loss")
ADVANTAGES = Registry("ppo.losses", "advantage scale")
AUXILIARY = Registry(
    "ppo.losses", "auxiliary loss", "auxiliary.losses", "ppo.losses.auxiliary:AuxiliaryLoss"
)

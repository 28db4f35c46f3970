"""From several losses to one: [J] -> total."""

from ppo.core.registry import Registry

REGISTRY = Registry("ppo.losses.balancers")

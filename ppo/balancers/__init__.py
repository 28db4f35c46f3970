"""How several losses become one: [J] -> total."""

from ppo.registry import Registry

REGISTRY = Registry("ppo.balancers")

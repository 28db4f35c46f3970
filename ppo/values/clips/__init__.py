"""How far a value may move in one batch."""

from ppo.core.registry import Registry

REGISTRY = Registry("ppo.values.clips")

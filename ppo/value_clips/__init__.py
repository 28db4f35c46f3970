"""How far a value may move in one batch."""

from ppo.registry import Registry

REGISTRY = Registry("ppo.value_clips")

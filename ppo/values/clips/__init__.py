"""Limits on the movement of a value in one batch."""

from ppo.core.registry import Registry

REGISTRY = Registry("ppo.values.clips")
